"""What the study says on each claim.

Outputs: tables/claims.parquet and claims.md.
"""


rule claims:
    input:
        **{
            table: TABLE.format(table=table)
            for table in (
                "runs",
                "tails",
                "compression",
                "pruning",
                "synthetic",
                "histograms",
                *sorted(CLAIMED),
            )
        },
        claims=CLAIMS,
    output:
        table=TABLE.format(table="claims"),
        text=f"{STUDY}/tables/claims.md",
    log:
        f"{LOGS}/claims.log",
    conda:
        "../envs/sgdtails.yaml"
    params:
        settings=settings(
            **{
                key: value
                for key, value in config["claims"].items()
                if key != "simulations"
            },
            index=config["index"],
            computed=config_schema.computed(config),
            weights=config["pruning"]["weights"],
        ),
        code=code("claims.py"),
    script:
        "../workflow/scripts/claims.py"
