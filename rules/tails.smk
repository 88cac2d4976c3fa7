"""Tail indices of every layer of every run, and the histograms behind figure 2.

Outputs: runs/<run>/tails.parquet and readings.parquet; tables/histograms.parquet and profiles.parquet.
"""


rule tails:
    input:
        initial=f"{RUN}/initial.safetensors",
        trained=pruned_weights,
        average=f"{RUN}/average.safetensors",
    output:
        tails=f"{RUN}/tails.parquet",
        readings=f"{RUN}/readings.parquet",
    log:
        f"{LOGS}/tails/{{run}}.log",
    benchmark:
        f"{LOGS}/tails/{{run}}.tsv"
    group:
        ANALYSIS
    conda:
        "../envs/sgdtails.yaml"
    resources:
        mem_mb=retried(1000),
        runtime=retried(30),
    params:
        settings=settings(weights=config["pruning"]["weights"], **config["tails"]),
        code=code("tails.py", *own_modules(config["tails"]["own"].values())),
    script:
        "../workflow/scripts/tails.py"


rule histograms:
    input:
        runs=TABLE.format(table="runs"),
        tails=TABLE.format(table="tails"),
        averages=per_run(f"{RUN}/average.safetensors"),
    output:
        TABLE.format(table="histograms"),
    log:
        f"{LOGS}/histograms.log",
    conda:
        "../envs/sgdtails.yaml"
    params:
        settings=settings(**config["histograms"]),
        code=code("histograms.py"),
    script:
        "../workflow/scripts/histograms.py"


rule profiles:
    input:
        runs=TABLE.format(table="runs"),
        readings=TABLE.format(table="readings"),
        average=per_run(f"{RUN}/average.safetensors"),
        initial=per_run(f"{RUN}/initial.safetensors"),
    output:
        TABLE.format(table="profiles"),
    log:
        f"{LOGS}/profiles.log",
    conda:
        "../envs/sgdtails.yaml"
    resources:
        mem_mb=retried(1000),
        runtime=retried(60),
    params:
        settings=settings(
            **config["profiles"],
            tails={
                key: config["tails"][key]
                for key in ("centring", "block_lengths", "square_root", "orders")
            },
        ),
        code=code("profiles.py"),
    script:
        "../workflow/scripts/profiles.py"
