"""Initial networks, networks trained to the stop rule, their ergodic averages and the last iterates of these.

Outputs: initial/<initial network>/weights.safetensors; runs/<run>/converged, last and average.safetensors; training,
history, trajectory and averaging.parquet beside them.
"""


rule initial:
    input:
        dataset=dataset_of,
    output:
        weights=weights_of("initial", f"{INITIAL}/weights.safetensors"),
    log:
        f"{LOGS}/initial/{{initial}}.log",
    priority: PRIORITY["initial"]
    conda:
        "../envs/sgdtails.yaml"
    resources:
        mem_mb=retried(2000),
        runtime=retried(30),
    params:
        settings=initial_settings,
        code=lambda wildcards: model_code(wildcards, "initial.py"),
    script:
        "../workflow/scripts/initial.py"


rule train:
    input:
        dataset=dataset_of,
        initial=initial_of,
    output:
        converged=weights_of("converged", f"{RUN}/converged.safetensors"),
        history=f"{RUN}/history.parquet",
        trajectory=f"{RUN}/trajectory.parquet",
        row=f"{RUN}/training.parquet",
    log:
        f"{LOGS}/train/{{run}}.log",
    benchmark:
        f"{LOGS}/train/{{run}}.tsv"
    priority: PRIORITY["train"]
    conda:
        "../envs/sgdtails.yaml"
    threads: config["resources"]["threads"]
    resources:
        gpu=int(config["device"] != "cpu"),
        mem_mb=retried(config["resources"]["mem_mb"]),
        runtime=retried(config["resources"]["runtime"]),
    params:
        settings=lambda wildcards: step_settings(wildcards, "train"),
        code=lambda wildcards: model_code(wildcards, "train.py"),
    script:
        "../workflow/scripts/train.py"


rule average:
    input:
        dataset=dataset_of,
        converged=f"{RUN}/converged.safetensors",
    output:
        last=weights_of("last", f"{RUN}/last.safetensors"),
        average=weights_of("average", f"{RUN}/average.safetensors"),
        row=f"{RUN}/averaging.parquet",
    log:
        f"{LOGS}/average/{{run}}.log",
    benchmark:
        f"{LOGS}/average/{{run}}.tsv"
    priority: PRIORITY["average"]
    conda:
        "../envs/sgdtails.yaml"
    threads: config["resources"]["threads"]
    resources:
        gpu=int(config["device"] != "cpu"),
        mem_mb=retried(config["resources"]["mem_mb"]),
        runtime=retried(config["resources"]["runtime"]),
    params:
        settings=lambda wildcards: step_settings(wildcards, "average"),
        code=lambda wildcards: model_code(wildcards, "average.py"),
    script:
        "../workflow/scripts/average.py"


rule runs:
    input:
        training=per_run(f"{RUN}/training.parquet"),
        averaging=per_run(f"{RUN}/averaging.parquet"),
        tails=per_run(f"{RUN}/tails.parquet"),
    output:
        TABLE.format(table="runs"),
    log:
        f"{LOGS}/runs.log",
    conda:
        "../envs/sgdtails.yaml"
    params:
        settings=settings(
            index=config["index"],
            runs=RUN_NAMES,
            shapes=SHAPES,
            train_sizes=TRAIN_SIZES,
        ),
        code=code("runs.py"),
    script:
        "../workflow/scripts/runs.py"


rule collect:
    input:
        parts=per_run(f"{RUN}/{{{{table}}}}.parquet"),
        initial=lambda wildcards: per_initial(f"{INITIAL}/{wildcards.table}.parquet")
        * (wildcards.table not in ("history", "trajectory")),
    output:
        TABLE,
    log:
        f"{LOGS}/{{table}}.log",
    wildcard_constraints:
        table="history|trajectory|tails|readings|laws|compression",
    conda:
        "../envs/sgdtails.yaml"
    params:
        settings=settings(runs=RUN_NAMES),
        code=code("collect.py"),
    script:
        "../workflow/scripts/collect.py"
