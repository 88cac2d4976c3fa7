"""Samples of stable laws.

Outputs: tables/synthetic.parquet (figure 8) and magnitudes.parquet (figure 12).
"""


rule synthetic:
    output:
        TABLE,
    log:
        f"{LOGS}/{{table}}.log",
    wildcard_constraints:
        table="synthetic|magnitudes",
    conda:
        "../envs/sgdtails.yaml"
    params:
        settings=lambda wildcards: settings(**config[wildcards.table]),
        code=code("synthetic.py"),
    script:
        "../workflow/scripts/synthetic.py"
