"""How far the estimators can be trusted, on samples whose law is known.

Outputs: calibration/<structure>_<N>x<d>.parquet; tables/calibration.parquet and confusion.parquet.
`snakemake --cores all calibration confusion` makes these two tables alone.
"""

SAMPLE = f"{STUDY}/calibration/{{structure}}_{{observations}}x{{dimension}}.parquet"


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
        code=code("calibration_sample.py"),
    script:
        "../workflow/scripts/calibration_sample.py"


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


rule confusion:
    output:
        TABLE.format(table="confusion"),
    log:
        f"{LOGS}/confusion.log",
    conda:
        "../envs/sgdtails.yaml"
    resources:
        mem_mb=retried(1000),
        runtime=retried(60),
    params:
        settings=settings(**config["confusion"]),
        code=code("confusion.py"),
    script:
        "../workflow/scripts/confusion.py"
