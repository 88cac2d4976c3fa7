"""Figures drawn from tables alone.

Outputs: figures/fig01, fig02 and fig07, as PDF and PNG.
"""


rule figure:
    input:
        lambda wildcards: expand(TABLE, table=FIGURE_TABLES[wildcards.figure]),
    output:
        f"{FIGURE}.pdf",
        f"{FIGURE}.png",
    params:
        code=code("figure.py"),
    log:
        f"{LOGS}/{{figure}}.log",
    conda:
        "../envs/sgdtails.yaml"
    script:
        "../workflow/scripts/figure.py"
