"""Figures drawn from tables alone.

Outputs: figures/fig01, fig02 and fig07, as PDF and PNG.
"""


rule figure:
    input:
        lambda wildcards: expand(TABLE, table=FIGURE_TABLES[wildcards.figure]),
    output:
        f"{FIGURE}.pdf",
        f"{FIGURE}.png",
    log:
        f"{LOGS}/{{figure}}.log",
    conda:
        "../envs/sgdtails.yaml"
    params:
        code=code("figure.py"),
    script:
        "../workflow/scripts/figure.py"
