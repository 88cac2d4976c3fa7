"""A finished study as one page that opens anywhere.

Output: report.html. Not part of the target all; `make report` makes it and nothing else.
"""


rule report:
    input:
        tables=lambda _: finished("tables"),
        figures=lambda _: finished("figures"),
        training=lambda _: finished("training"),
        averaging=lambda _: finished("averaging"),
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
        code=code("report.py"),
    script:
        "../workflow/scripts/report.py"
