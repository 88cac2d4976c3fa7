"""A study as one page that opens anywhere.

Output: report.html. Not part of the target all. `make report` makes it of what is there, and nothing else; the target report finishes
the study first.
"""


rule report:
    input:
        tables=lambda _: reported("tables"),
        figures=lambda _: reported("figures"),
        training=lambda _: reported("training"),
        averaging=lambda _: reported("averaging"),
        templates=expand(
            "{base}/workflow/report/{file}",
            base=BASE,
            file=["page.html", "page.css", "page.js", "captions.yaml"],
        ),
    output:
        report(f"{STUDY}/report.html", category="Report"),
    log:
        f"{LOGS}/report.log",
    conda:
        "../envs/sgdtails.yaml"
    params:
        settings=lambda _: json.dumps(config, sort_keys=True),
        missing=lambda _: unreported(),
        code=code("report.py"),
    script:
        "../workflow/scripts/report.py"
