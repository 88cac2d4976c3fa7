"""Tables that need no training: estimators, classes, theorems and verdicts on data whose truth is known.

Outputs: calibration/<structure>_<N>x<d>.parquet; tables/calibration, confusion, labels, kesten, synthetic (figure 8), magnitudes
(figure 12), theory (figure 11), theorems and verdicts.parquet.
`snakemake --cores all calibration confusion` makes these two tables alone. A job copies its table where another study has made it
with the same settings: results/.simulations (sgdtails/io/shared.py).
"""

SAMPLE = f"{STUDY}/calibration/{{structure}}_{{observations}}x{{dimension}}.parquet"

# The settings of each table, and the functions that make its rows of them.
SIMULATION = {
    "confusion": (
        config["confusion"],
        ["sgdtails.tail_index.calibration.confusion_rows"],
    ),
    "labels": (
        config["labels"] | {key: config["laws"][key] for key in ("margin", "evidence")},
        ["sgdtails.tail_index.laws.simulated.label_rows"],
    ),
    "kesten": (config["kesten"], ["sgdtails.theory.kesten.kesten_rows"]),
    "synthetic": (config["synthetic"], ["sgdtails.theory.synthetic.synthetic_rows"]),
    "magnitudes": (config["magnitudes"], ["sgdtails.theory.synthetic.magnitude_rows"]),
    "theory": (config["theory"], ["sgdtails.theory.bounds.theory_rows"]),
    "theorems": (config["theorems"], ["sgdtails.theory.theorems.theorem_rows"]),
    "verdicts": (
        {key: config["claims"][key] for key in ("level", "seed")}
        | config["claims"]["simulations"],
        [
            "sgdtails.claims.verdicts.simulate",
            "sgdtails.claims.simulated_studies.simulate",
        ],
    ),
}
CALIBRATION = ["sgdtails.tail_index.calibration.calibration_rows"]


for table, (given, functions) in SIMULATION.items():

    rule:
        name:
            table
        output:
            TABLE.format(table=table),
        log:
            f"{LOGS}/{table}.log",
        benchmark:
            f"{LOGS}/{table}.tsv"
        conda:
            "../envs/sgdtails.yaml"
        resources:
            mem_mb=retried(1000),
            runtime=retried(60),
        params:
            settings=settings(**given),
            table=table,
            functions=functions,
            code=code("simulate.py", *own_modules(functions)),
        script:
            "../workflow/scripts/simulate.py"


rule calibration_sample:
    output:
        SAMPLE,
    log:
        f"{LOGS}/calibration/{{structure}}_{{observations}}x{{dimension}}.log",
    benchmark:
        f"{LOGS}/calibration/{{structure}}_{{observations}}x{{dimension}}.tsv"
    wildcard_constraints:
        structure="[a-z]+",
        observations="[0-9]+",
        dimension="[0-9]+",
    conda:
        "../envs/sgdtails.yaml"
    resources:
        mem_mb=retried(1000),
        runtime=retried(600),
    params:
        settings=lambda wildcards: settings(
            structure=wildcards.structure,
            shape=[int(wildcards.observations), int(wildcards.dimension)],
            **{key: config["calibration"][key] for key in ("alpha", "layers", "seed")},
        ),
        table="calibration",
        functions=CALIBRATION,
        code=code("simulate.py", *own_modules(CALIBRATION)),
    script:
        "../workflow/scripts/simulate.py"


rule calibration:
    input:
        parts=[
            SAMPLE.format(
                structure=structure, observations=shape[0], dimension=shape[1]
            )
            for structure in config["calibration"]["structures"]
            for shape in config["calibration"]["shapes"]
        ],
    output:
        TABLE.format(table="calibration"),
    log:
        f"{LOGS}/calibration.log",
    conda:
        "../envs/sgdtails.yaml"
    params:
        settings=settings(
            **{key: config["calibration"][key] for key in ("structures", "shapes")}
        ),
        code=code("collect.py"),
    script:
        "../workflow/scripts/collect.py"
