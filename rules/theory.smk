"""The paper's bounds, evaluated for the study's own networks.

Outputs: runs/<run>/bounds.parquet and perturbation.parquet, and the tables of all of them.
"""


rule perturbation:
    input:
        dataset=dataset_of,
        trained=pruned_weights,
        training=f"{RUN}/training.parquet",
        averaging=f"{RUN}/averaging.parquet",
    output:
        perturbation=f"{RUN}/perturbation.parquet",
    log:
        f"{LOGS}/perturbation/{{run}}.log",
    benchmark:
        f"{LOGS}/perturbation/{{run}}.tsv"
    group:
        PRUNING
    conda:
        "../envs/sgdtails.yaml"
    threads: config["resources"]["threads"]
    resources:
        gpu=int(config["device"] != "cpu"),
        mem_mb=retried(3000),
        runtime=retried(60),
    params:
        settings=lambda wildcards: theory_settings(wildcards, "perturbation"),
        code=code("perturbation.py"),
    script:
        "../workflow/scripts/perturbation.py"


rule bounds:
    input:
        dataset=dataset_of,
        trained=pruned_weights,
        tails=f"{RUN}/tails.parquet",
        training=f"{RUN}/training.parquet",
        averaging=f"{RUN}/averaging.parquet",
    output:
        bounds=f"{RUN}/bounds.parquet",
    log:
        f"{LOGS}/bounds/{{run}}.log",
    benchmark:
        f"{LOGS}/bounds/{{run}}.tsv"
    group:
        PRUNING
    conda:
        "../envs/sgdtails.yaml"
    threads: config["resources"]["threads"]
    resources:
        gpu=int(config["device"] != "cpu"),
        mem_mb=retried(3000),
        runtime=retried(30),
    params:
        settings=lambda wildcards: theory_settings(wildcards, "bounds"),
        code=code("bounds.py"),
    script:
        "../workflow/scripts/bounds.py"


rule collect_theory:
    input:
        parts=lambda wildcards: expand(
            f"{RUN}/{{table}}.parquet",
            run=CHAINS if wildcards.table == "perturbation" else RUNS,
            table=wildcards.table,
        ),
    output:
        TABLE,
    log:
        f"{LOGS}/theory/{{table}}.log",
    wildcard_constraints:
        table="perturbation|bounds",
    conda:
        "../envs/sgdtails.yaml"
    params:
        settings=settings(runs=RUN_NAMES),
        code=code("collect.py"),
    script:
        "../workflow/scripts/collect.py"
