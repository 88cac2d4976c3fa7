"""Lay the site out as the repository is, so that the same relative links work on GitHub, in an editor and on the site.

MkDocs takes pages from one folder; README.md, the pages of studies and the files that pages link to lie outside of it. This hook
of MkDocs replaces its list of files by `PAGES` and whatever they link to, each under its path in the repository.
"""

import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[2]
PAGES = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "config/README.md", "docs/*.md", "studies/*/README.md")
EXTRA = ("docs/site/extra.css", "docs/site/iframe-worker.js")
LINK = re.compile(r"\]\((?!https?:|mailto:|#)([^)#\s]+)")


def linked(page: Path) -> set[Path]:
    """List the files that a Markdown page links to; MkDocs complains of those that do not exist."""
    targets = {(page.parent / link).resolve() for link in LINK.findall(page.read_text(encoding="utf-8"))}
    return {target for target in targets if target.is_file() and target.is_relative_to(ROOT)}


def site_files() -> list[str]:
    """List the pages and all files that they link to, as paths in the repository."""
    found = {path for pattern in PAGES for path in ROOT.glob(pattern)}
    waiting = list(found)
    while waiting:
        page = waiting.pop()
        new = linked(page) - found if page.suffix == ".md" else set()
        found |= new
        waiting += new
    return sorted(path.relative_to(ROOT).as_posix() for path in found)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Replace the files of docs/ in MkDocs's list; those of the theme stay."""
    theme = [file for file in files if file.src_dir != config.docs_dir]
    return Files(
        theme + [File.generated(config, name, abs_src_path=str(ROOT / name)) for name in [*site_files(), *EXTRA]]
    )
