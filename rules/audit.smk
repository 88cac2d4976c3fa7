"""What given checkpoints look like, without their data: `snakemake --cores all audit --config checkpoint=my.safetensors`.

Outputs: results/audit/<name>/audit.md, audit.html, audit.pdf, audit.png, plan.json and Parquet tables, one folder per checkpoint.
"""

AUDIT = "results/audit/{audit}"
AUDIT_PAGES = ("audit.md", "audit.html", "plan.json", "audit.pdf", "audit.png")
AUDIT_TABLES = (
    "audit",
    "profiles",
    "curves",
    "compression",
    "accuracy",
)  # of the figure

if config["checkpoint"]:
    checkpoints()  # a missing file is said before anything is planned


rule audit:
    input:
        lambda _: expand(f"{AUDIT}/{{file}}", audit=checkpoints(), file=AUDIT_PAGES),


rule audit_checkpoint:
    input:
        checkpoint_files,
    output:
        **{table: f"{AUDIT}/{table}.parquet" for table in AUDIT_TABLES},
        laws=f"{AUDIT}/laws.parquet",
        skipped=f"{AUDIT}/skipped.parquet",
        text=f"{AUDIT}/audit.md",
        html=f"{AUDIT}/audit.html",
        plan=f"{AUDIT}/plan.json",
    log:
        f"{AUDIT}/logs/audit.log",
    benchmark:
        f"{AUDIT}/logs/audit.tsv"
    wildcard_constraints:
        audit="[A-Za-z0-9_][A-Za-z0-9_.-]*",
    conda:
        "../envs/sgdtails.yaml"
    threads: 2
    resources:
        mem_mb=retried(4000),
        runtime=retried(240),
    params:
        settings=lambda wildcards: settings(
            source=checkpoints()[wildcards.audit], **config["audit"]
        ),
        code=code("audit.py", (config["audit"]["evaluate"] or "").rpartition(".")[0]),
    script:
        "../workflow/scripts/audit.py"


rule audit_figure:
    input:
        expand(f"{AUDIT}/{{table}}.parquet", table=AUDIT_TABLES, allow_missing=True),
    output:
        multiext(f"{AUDIT}/{{figure}}", ".pdf", ".png"),
    log:
        f"{AUDIT}/logs/{{figure}}_figure.log",
    wildcard_constraints:
        audit="[A-Za-z0-9_][A-Za-z0-9_.-]*",
        figure="audit",
    conda:
        "../envs/sgdtails.yaml"
    params:
        settings=settings(),
        code=code("figure.py"),
    script:
        "../workflow/scripts/figure.py"
