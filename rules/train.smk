"""Networks trained to the stop rule, and their ergodic averages.

Outputs: runs/<run>/initial, final and average.safetensors; training, history and averaging.parquet beside them.
"""


rule train:
    input:
        dataset=dataset_of,
    output:
        initial=f"{RUN}/initial.safetensors",
        final=f"{RUN}/final.safetensors",
        history=f"{RUN}/history.parquet",
        row=f"{RUN}/training.parquet",
    log:
        f"{LOGS}/train/{{run}}.log",
    benchmark:
        f"{LOGS}/train/{{run}}.tsv"
    conda:
        "../envs/sgdtails.yaml"
    threads: config["resources"]["threads"]
    resources:
        gpu=int(config["device"] != "cpu"),
        mem_mb=config["resources"]["mem_mb"],
        runtime=config["resources"]["runtime"],
    params:
        settings=lambda wildcards: run_settings(wildcards, stop=config["stop"]),
        code=lambda wildcards: model_code(wildcards, "train.py"),
    script:
        "../workflow/scripts/train.py"


rule average:
    input:
        dataset=dataset_of,
        final=f"{RUN}/final.safetensors",
    output:
        average=f"{RUN}/average.safetensors",
        row=f"{RUN}/averaging.parquet",
    log:
        f"{LOGS}/average/{{run}}.log",
    benchmark:
        f"{LOGS}/average/{{run}}.tsv"
    conda:
        "../envs/sgdtails.yaml"
    threads: config["resources"]["threads"]
    resources:
        gpu=int(config["device"] != "cpu"),
        mem_mb=config["resources"]["mem_mb"],
        runtime=config["resources"]["runtime"],
    params:
        settings=lambda wildcards: run_settings(wildcards, average=config["average"]),
        code=lambda wildcards: model_code(wildcards, "average.py"),
    script:
        "../workflow/scripts/average.py"


rule runs:
    input:
        training=per_run(f"{RUN}/training.parquet"),
        averaging=per_run(f"{RUN}/averaging.parquet"),
    output:
        TABLE.format(table="runs"),
    log:
        f"{LOGS}/runs.log",
    conda:
        "../envs/sgdtails.yaml"
    params:
        code=code("runs.py"),
    script:
        "../workflow/scripts/runs.py"


rule collect:
    input:
        per_run(f"{RUN}/{{{{table}}}}.parquet"),
    output:
        TABLE,
    log:
        f"{LOGS}/{{table}}.log",
    wildcard_constraints:
        table="history|tails|readings|compression",
    conda:
        "../envs/sgdtails.yaml"
    params:
        code=code("collect.py"),
    script:
        "../workflow/scripts/collect.py"
