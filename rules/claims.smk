"""What the study says on each claim, and how often the rule behind the verdicts is wrong.

Outputs: tables/claims.parquet and claims.md; tables/verdicts.parquet (simulated studies).
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
            computed=planning.computed(config),
            weights=config["pruning"]["weights"],
        ),
        code=code("claims.py"),
    script:
        "../workflow/scripts/claims.py"


rule verdicts:
    output:
        TABLE.format(table="verdicts"),
    log:
        f"{LOGS}/verdicts.log",
    conda:
        "../envs/sgdtails.yaml"
    params:
        settings=settings(
            level=config["claims"]["level"],
            seed=config["claims"]["seed"],
            **config["claims"]["simulations"],
        ),
        code=code("verdicts.py"),
    script:
        "../workflow/scripts/verdicts.py"
