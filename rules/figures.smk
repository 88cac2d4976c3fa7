"""Figures and the paper's two tables, from tables alone.

Outputs: figures/fig01 to fig12, as PDF and PNG; tables/table1 and table2, as Parquet and Markdown.
`snakemake --cores all -- fig01 figure_profiles` makes these two figures and what they need.
"""

for figure in FIGURE_TABLES:

    rule:
        name:
            figure_target(figure)
        input:
            expand(f"{FIGURE}.{{kind}}", figure=figure, kind=["pdf", "png"]),


rule figure:
    input:
        lambda wildcards: tables_of(wildcards.figure),
    output:
        f"{FIGURE}.pdf",
        f"{FIGURE}.png",
    log:
        f"{LOGS}/figures/{{figure}}.log",
    wildcard_constraints:
        figure="|".join(FIGURE_TABLES),
    group:
        "figures"
    conda:
        "../envs/sgdtails.yaml"
    params:
        settings=lambda wildcards: settings(**FIGURE_SETTINGS.get(wildcards.figure, {})),
        code=code("figure.py"),
    script:
        "../workflow/scripts/figure.py"


rule paper_table:
    input:
        runs=TABLE.format(table="runs"),
        initial=one_initial_per_panel,
    output:
        table=TABLE,
        text=f"{STUDY}/tables/{{table}}.md",
    log:
        f"{LOGS}/{{table}}.log",
    wildcard_constraints:
        table="table[12]",
    conda:
        "../envs/sgdtails.yaml"
    params:
        settings=settings(runs=RUN_NAMES),
        code=code("paper_table.py"),
    script:
        "../workflow/scripts/paper_table.py"
