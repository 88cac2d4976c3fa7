"""How compressible networks are: by relative error, by what a pruned network still does, and by time.

Outputs: compression.parquet and pruned.parquet of each run, compression.parquet of each initial network, and with
pruning.initial pruned.parquet of these; tables/pruning.parquet and latency.parquet.
"""


rule compression:
    input:
        trained=pruned_weights,
    output:
        compression=f"{RUN}/compression.parquet",
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
        settings=settings(**study.analysis("compression")),
        code=code("compression.py"),
    script:
        "../workflow/scripts/compression.py"


rule initial_compression:
    input:
        initial=f"{INITIAL}/weights.safetensors",
    output:
        compression=f"{INITIAL}/compression.parquet",
    log:
        f"{LOGS}/initial_compression/{{initial}}.log",
    conda:
        "../envs/sgdtails.yaml"
    resources:
        mem_mb=retried(2000),
        runtime=retried(30),
    params:
        settings=settings(**study.analysis("compression", initial=True)),
        code=code("compression.py"),
    script:
        "../workflow/scripts/compression.py"


rule prune:
    input:
        dataset=dataset_of,
        trained=pruned_weights,
    output:
        pruned=f"{RUN}/pruned.parquet",
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
        settings=lambda wildcards: prune_settings(
            wildcards, weights=config["pruning"]["weights"]
        ),
        code=prune_code,
    script:
        "../workflow/scripts/prune.py"


if config["pruning"]["initial"]:

    rule initial_prune:
        input:
            dataset=dataset_of,
            initial=f"{INITIAL}/weights.safetensors",
        output:
            pruned=f"{INITIAL}/pruned.parquet",
        log:
            f"{LOGS}/initial_prune/{{initial}}.log",
        conda:
            "../envs/sgdtails.yaml"
        threads: config["resources"]["threads"]
        resources:
            gpu=int(config["device"] != "cpu"),
            mem_mb=retried(3000),
            runtime=retried(60),
        params:
            settings=lambda wildcards: prune_settings(wildcards),
            code=prune_code,
        script:
            "../workflow/scripts/prune.py"


rule pruning:
    input:
        runs=TABLE.format(table="runs"),
        parts=per_run(f"{RUN}/pruned.parquet"),
        initial=per_initial(f"{INITIAL}/pruned.parquet") * config["pruning"]["initial"],
    output:
        TABLE.format(table="pruning"),
    log:
        f"{LOGS}/pruning.log",
    conda:
        "../envs/sgdtails.yaml"
    params:
        settings=settings(runs=RUN_NAMES, initial=config["pruning"]["initial"]),
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
            runs=RUN_NAMES,
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
