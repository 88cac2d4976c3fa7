"""Networks compared with each other: does a quantity change with a column of the run table, such as width?

Outputs: tables/comparisons.parquet, comparisons.md and compared.parquet (config key compare); dependence.parquet of each run and each initial
network and errors.parquet of each run, and the tables of all of them, where a claim or a comparison names them.
"""


rule dependence:
    input:
        average=f"{RUN}/average.safetensors",
    output:
        dependence=f"{RUN}/dependence.parquet",
    log:
        f"{LOGS}/dependence/{{run}}.log",
    benchmark:
        f"{LOGS}/dependence/{{run}}.tsv"
    group:
        ANALYSIS
    conda:
        "../envs/sgdtails.yaml"
    resources:
        mem_mb=retried(1000),
        runtime=retried(30),
    params:
        settings=settings(**study.analysis("dependence")),
        code=code("dependence.py"),
    script:
        "../workflow/scripts/dependence.py"


rule initial_dependence:
    input:
        initial=f"{INITIAL}/weights.safetensors",
    output:
        dependence=f"{INITIAL}/dependence.parquet",
    log:
        f"{LOGS}/initial_dependence/{{initial}}.log",
    conda:
        "../envs/sgdtails.yaml"
    resources:
        mem_mb=retried(1000),
        runtime=retried(30),
    params:
        settings=settings(**study.analysis("dependence")),
        code=code("dependence.py"),
    script:
        "../workflow/scripts/dependence.py"


rule errors:
    input:
        trained=pruned_weights,
        tails=f"{RUN}/tails.parquet",
    output:
        errors=f"{RUN}/errors.parquet",
    log:
        f"{LOGS}/errors/{{run}}.log",
    benchmark:
        f"{LOGS}/errors/{{run}}.tsv"
    group:
        ANALYSIS
    conda:
        "../envs/sgdtails.yaml"
    resources:
        mem_mb=retried(2000),
        runtime=retried(30),
    params:
        settings=settings(**study.analysis("errors")),
        code=code("errors.py"),
    script:
        "../workflow/scripts/errors.py"


rule collect_comparisons:
    input:
        parts=lambda wildcards: per_run(f"{RUN}/{wildcards.table}.parquet"),
        initial=lambda wildcards: per_initial(f"{INITIAL}/{wildcards.table}.parquet")
        * (wildcards.table == "dependence"),
    output:
        TABLE,
    log:
        f"{LOGS}/{{table}}.log",
    wildcard_constraints:
        table="|".join(claimed_tables.ON_DEMAND),
    conda:
        "../envs/sgdtails.yaml"
    params:
        settings=settings(runs=RUN_NAMES),
        code=code("collect.py"),
    script:
        "../workflow/scripts/collect.py"


rule compare:
    input:
        **{
            table: TABLE.format(table=table)
            for table in (
                "runs",
                *sorted(claimed_tables.of_content(config["compare"])),
            )
        },
    output:
        compared=TABLE.format(table="compared"),
        comparisons=TABLE.format(table="comparisons"),
        text=f"{STUDY}/tables/comparisons.md",
    log:
        f"{LOGS}/compare.log",
    conda:
        "../envs/sgdtails.yaml"
    params:
        settings=settings(
            compare=config["compare"],
            index=config["index"],
            weights=config["pruning"]["weights"],
            claims={
                key: value
                for key, value in config["claims"].items()
                if key not in ("path", "simulations")
            },
        ),
        code=code("compare.py"),
    script:
        "../workflow/scripts/compare.py"
