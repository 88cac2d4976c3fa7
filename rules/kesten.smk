"""Ground truth: SGD whose tail index an equation gives exactly, against every estimator.

Outputs: tables/kesten.parquet (figure kesten).
"""


rule kesten:
    output:
        TABLE.format(table="kesten"),
    log:
        f"{LOGS}/kesten.log",
    benchmark:
        f"{LOGS}/kesten.tsv"
    conda:
        "../envs/sgdtails.yaml"
    resources:
        mem_mb=retried(1000),
        runtime=retried(60),
    params:
        settings=settings(**config["kesten"]),
        code=code("kesten.py"),
    script:
        "../workflow/scripts/kesten.py"
