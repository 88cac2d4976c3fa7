"""Networks trained to the stop rule, their ergodic averages and the last iterates of these.

Outputs: runs/<run>/initial, converged, last and average.safetensors; training, history and averaging.parquet beside them.
With runs_per_job above 1 runs train side by side in fleets first, and a run's own job only writes its files.
"""

for stage, fleet, members in fleets():

    rule:
        name:
            f"{stage}_{fleet}"
        input:
            dataset=DATASET.format(dataset=RUNS[members[0]]["dataset"]),
            converged=(
                expand(f"{RUN}/converged.safetensors", run=members)
                if stage == "average"
                else []
            ),
        output:
            [fleet_mark(stage, run) for run in members],
        log:
            f"{LOGS}/fleets/{stage}_{fleet}.log",
        benchmark:
            f"{LOGS}/fleets/{stage}_{fleet}.tsv"
        priority: PRIORITY[stage]
        conda:
            "../envs/sgdtails.yaml"
        threads: config["resources"]["threads"]
        resources:
            gpu=int(config["device"] != "cpu"),
            mem_mb=retried(config["resources"]["mem_mb"]),
            runtime=retried(config["resources"]["runtime"]),
        params:
            stage=stage,
            settings=settings(
                **{run: json.loads(stage_settings(stage, run)) for run in members}
            ),
            code=stage_code(stage, members[0]),
            checkpoints=CHECKPOINTS,
        script:
            "../workflow/scripts/fleet.py"


rule train:
    input:
        fleet_marks("train"),
        dataset=dataset_of,
    output:
        initial=f"{RUN}/initial.safetensors",
        converged=f"{RUN}/converged.safetensors",
        history=f"{RUN}/history.parquet",
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
        settings=lambda wildcards: stage_settings("train", wildcards.run),
        code=lambda wildcards: stage_code("train", wildcards.run),
        checkpoints=CHECKPOINTS,
    script:
        "../workflow/scripts/train.py"


rule average:
    input:
        fleet_marks("average"),
        dataset=dataset_of,
        converged=f"{RUN}/converged.safetensors",
    output:
        last=f"{RUN}/last.safetensors",
        average=f"{RUN}/average.safetensors",
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
        settings=lambda wildcards: stage_settings("average", wildcards.run),
        code=lambda wildcards: stage_code("average", wildcards.run),
        checkpoints=CHECKPOINTS,
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
        settings=settings(index=config["index"], runs=RUN_NAMES, shapes=SHAPES),
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
        settings=settings(runs=RUN_NAMES),
        code=code("collect.py"),
    script:
        "../workflow/scripts/collect.py"
