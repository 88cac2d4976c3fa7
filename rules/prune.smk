"""How compressible networks are: by relative error, by what a pruned network still does, and by time.

Outputs: runs/<run>/compression.parquet and pruned.parquet; tables/pruning.parquet and latency.parquet.
"""


rule compression:
    input:
        initial=f"{RUN}/initial.safetensors",
        trained=pruned_weights,
    output:
        f"{RUN}/compression.parquet",
    log:
        f"{LOGS}/compression/{{run}}.log",
    benchmark:
        f"{LOGS}/compression/{{run}}.tsv"
    group:
        ANALYSIS
    conda:
        "../envs/sgdtails.yaml"
    resources:
        mem_mb=retried(2000),
        runtime=retried(30),
    params:
        settings=settings(
            weights=config["pruning"]["weights"],
            centring=config["pruning"]["centring"],
            **config["compression"],
        ),
        code=code("compression.py"),
    script:
        "../workflow/scripts/compression.py"


rule prune:
    input:
        dataset=dataset_of,
        initial=f"{RUN}/initial.safetensors",
        trained=pruned_weights,
    output:
        f"{RUN}/pruned.parquet",
    log:
        f"{LOGS}/prune/{{run}}.log",
    benchmark:
        f"{LOGS}/prune/{{run}}.tsv"
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
        settings=lambda wildcards: run_settings(
            wildcards,
            weights=config["pruning"]["weights"],
            evaluate=config["pruning"]["evaluate"],
            methods={
                method: config["pruning"][method] for method in METHODS[wildcards.run]
            },
            own=config["pruning"]["own"],
            adaptive=config["pruning"]["adaptive"],
            centring=config["pruning"]["centring"],
            exempt=EXEMPT[RUNS[wildcards.run]["model"]],
        ),
        code=lambda wildcards: model_code(
            wildcards, "prune.py", *own_modules(OWN_METHODS.values())
        ),
    script:
        "../workflow/scripts/prune.py"


rule pruning:
    input:
        runs=TABLE.format(table="runs"),
        parts=per_run(f"{RUN}/pruned.parquet"),
    output:
        TABLE.format(table="pruning"),
    log:
        f"{LOGS}/pruning.log",
    conda:
        "../envs/sgdtails.yaml"
    params:
        code=code("pruning.py"),
    script:
        "../workflow/scripts/pruning.py"


rule latency:
    input:
        runs=TABLE.format(table="runs"),
        weights=expand(pruned_weights(None), run=CHAINS),
        datasets=expand(
            DATASET, dataset=sorted({RUNS[run]["dataset"] for run in CHAINS})
        ),
    output:
        TABLE.format(table="latency"),
    log:
        f"{LOGS}/latency.log",
    conda:
        "../envs/sgdtails.yaml"
    threads: config["resources"]["threads"]
    resources:
        gpu=int(config["device"] != "cpu"),
        mem_mb=retried(3000),
        runtime=retried(30),
    params:
        settings=settings(
            p=config["pruning"]["node"]["p"],
            centring=config["pruning"]["centring"],
            weights=config["pruning"]["weights"],
            device=config["device"],
            precision=config["precision"],
            threads=config["resources"]["threads"],
            **config["latency"],
        ),
        code=code("latency.py"),
    script:
        "../workflow/scripts/latency.py"
