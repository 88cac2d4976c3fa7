"""The paper's theory, evaluated.

Outputs: tables/theory.parquet (figure 11).
"""


rule theory:
    output:
        TABLE.format(table="theory"),
    log:
        f"{LOGS}/theory.log",
    conda:
        "../envs/sgdtails.yaml"
    params:
        settings=settings(**config["theory"]),
        code=code("theory.py"),
    script:
        "../workflow/scripts/theory.py"
