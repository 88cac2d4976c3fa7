"""Images of every source in one form.

Outputs: data/<dataset>.safetensors (uint8 images and labels, both splits, with the constants that normalise them).
Their files are no input but a digest of their contents: by times, or by being away, they would prepare and train again.
"""


rule dataset:
    input:
        known_dataset,
    output:
        DATASET,
    log:
        f"{LOGS}/dataset/{{dataset}}.log",
    priority: PRIORITY["dataset"]
    conda:
        "../envs/sgdtails.yaml"
    resources:
        mem_mb=retried(4000),
        runtime=retried(60),
    params:
        settings=lambda wildcards: dataset_settings(wildcards.dataset),
        code=code("dataset.py"),
    script:
        "../workflow/scripts/dataset.py"
