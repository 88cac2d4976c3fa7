"""Tail indices and laws of every layer of every network, and the histograms behind figure 2.

Outputs: tails, readings and laws.parquet of each run and each initial network; tables/histograms.parquet and profiles.parquet.
"""


rule tails:
    input:
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
        settings=settings(**study.analysis("tails")),
        code=code("tails.py", *own_modules(config["tails"]["own"].values())),
    script:
        "../workflow/scripts/tails.py"


rule initial_tails:
    input:
        initial=f"{INITIAL}/weights.safetensors",
    output:
        tails=f"{INITIAL}/tails.parquet",
        readings=f"{INITIAL}/readings.parquet",
    log:
        f"{LOGS}/initial_tails/{{initial}}.log",
    conda:
        "../envs/sgdtails.yaml"
    resources:
        mem_mb=retried(1000),
        runtime=retried(30),
    params:
        settings=settings(**study.analysis("tails", initial=True)),
        code=code("tails.py", *own_modules(config["tails"]["own"].values())),
    script:
        "../workflow/scripts/tails.py"


rule laws:
    input:
        average=f"{RUN}/average.safetensors",
    output:
        laws=f"{RUN}/laws.parquet",
    log:
        f"{LOGS}/laws/{{run}}.log",
    benchmark:
        f"{LOGS}/laws/{{run}}.tsv"
    group:
        ANALYSIS
    conda:
        "../envs/sgdtails.yaml"
    resources:
        mem_mb=retried(1000),
        runtime=retried(30),
    params:
        settings=settings(**study.analysis("laws")),
        code=code("laws.py"),
    script:
        "../workflow/scripts/laws.py"


rule initial_laws:
    input:
        initial=f"{INITIAL}/weights.safetensors",
    output:
        laws=f"{INITIAL}/laws.parquet",
    log:
        f"{LOGS}/initial_laws/{{initial}}.log",
    conda:
        "../envs/sgdtails.yaml"
    resources:
        mem_mb=retried(1000),
        runtime=retried(30),
    params:
        settings=settings(**study.analysis("laws", initial=True)),
        code=code("laws.py"),
    script:
        "../workflow/scripts/laws.py"


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
        settings=settings(study=RUN_NAMES, **config["histograms"]),
        code=code("histograms.py"),
    script:
        "../workflow/scripts/histograms.py"


rule profiles:
    input:
        runs=TABLE.format(table="runs"),
        readings=TABLE.format(table="readings"),
        average=per_run(f"{RUN}/average.safetensors"),
        initial=per_initial(f"{INITIAL}/weights.safetensors"),
    output:
        TABLE.format(table="profiles"),
    log:
        f"{LOGS}/profiles.log",
    conda:
        "../envs/sgdtails.yaml"
    threads: 4
    resources:
        mem_mb=retried(2000),
        runtime=retried(60),
    params:
        settings=settings(
            study=RUN_NAMES,
            **config["profiles"],
            tails={
                key: config["tails"][key]
                for key in ("centring", "block_lengths", "square_root", "orders")
            },
        ),
        code=code("profiles.py"),
    script:
        "../workflow/scripts/profiles.py"
