"""The audit of one checkpoint as an object: its tables, its page, its plan."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sgdtails.audit import audit_inputs, checkpoints, layers
from sgdtails.audit import plan as plans
from sgdtails.audit.page import html, markdown, sections
from sgdtails.audit.page.blocks import Page
from sgdtails.config import resources, validation
from sgdtails.errors import InputError, unknown
from sgdtails.io import storage

if TYPE_CHECKING:
    import pyarrow as pa

_SETTINGS = ("seed", "entries", "nulls", "epsilon", "exclude")


@dataclass(frozen=True, eq=False)
class Audit:
    """The audit of one checkpoint. A notebook shows it as a page.

    Attributes
    ----------
    name, source : str
        What tables call it, and the file, the model or ``state_dict``.
    rows : dict of str to list of dict
        Rows of its tables, less the checkpoint: ``audit`` has one per layer.
    arrays : int
        How many arrays the checkpoint has.
    read_as : str
        What the file was read as.
    title : str
        What the page calls it; the name where it is empty.
    """

    name: str
    source: str
    rows: layers.Rows = field(repr=False)
    arrays: int
    read_as: str = ""
    title: str = ""

    @cached_property
    def page(self) -> Page:
        """The page."""
        return self._page()

    def _page(self, figure: str | None = None, *, with_files: bool = False) -> Page:
        return sections.page(
            self.title or self.name,
            self.source,
            self.rows,
            arrays=self.arrays,
            read_as=self.read_as,
            figure=figure,
            with_files=with_files,
        )

    def markdown(self, *, with_files: bool = False) -> str:
        """Write the page as Markdown.

        Parameters
        ----------
        with_files : bool
            True if tables and plan lie beside the page, which then names them.

        Returns
        -------
        str
            Text that ends with a new line.
        """
        return markdown.write(self._page(with_files=with_files))

    def html(self, figure: str | None = None, *, with_files: bool = False) -> str:
        """Write the page as HTML.

        Parameters
        ----------
        figure : str, optional
            Name of the figure's file beside the page.
        with_files : bool
            True if tables and plan lie beside the page, which then names them.

        Returns
        -------
        str
            A whole document.
        """
        return html.write(self._page(figure, with_files=with_files))

    def plan(self) -> dict[str, Any]:
        """Say which share of each parameter can go, for ``torch.nn.utils.prune``: see ``sgdtails.audit.plan``.

        Returns
        -------
        dict
            What ``plan.json`` holds.
        """
        return plans.plan(self.name, self.rows)

    def table(self, name: str = "audit") -> "pa.Table":
        """Give a table, such as ``audit``, ``audit_profiles`` or ``audit_compression``.

        Parameters
        ----------
        name : str
            Its name in docs/tables.md.

        Returns
        -------
        pyarrow.Table
            Its rows; ``.to_pandas()`` makes it one of pandas.
        """
        import pyarrow as pa

        from sgdtails.schemas import audit_schemas

        rows = [{"checkpoint": self.name} | row for row in self.rows.get(name, [])]
        return pa.Table.from_pylist(rows, schema=audit_schemas.SCHEMAS[name])

    def write(self, *, text: str | Path, html: str | Path, plan: str | Path) -> None:
        """Write the page, as Markdown and as HTML with ``audit.png`` and tables beside it, and the plan.

        Parameters
        ----------
        text, html, plan : str or pathlib.Path
            Where to.
        """
        page = self.html("audit.png", with_files=True)
        contents = {text: self.markdown(with_files=True), html: page, plan: plans.write(self.plan())}
        for path, content in contents.items():
            with storage.atomic(path) as temporary:
                temporary.write_text(content, encoding="utf-8")

    def _repr_markdown_(self) -> str:
        return self.markdown()

    def _repr_html_(self) -> str:
        return html.fragment(self.page)


def settings(part: str | None = None, exclude: Iterable[str] = ()) -> dict[str, Any]:
    """Give the settings of an audit as ``config/config.yaml`` has them.

    Parameters
    ----------
    part : str, optional
        Of a file with several networks the one that is asked for.
    exclude : iterable of str
        Patterns of names of arrays that are no layers, beside those of the config.

    Returns
    -------
    dict
        Key ``audit``, without a function that evaluates and without weights for a model.

    Examples
    --------
    >>> settings()["seed"]
    0
    """
    path = resources.base() / "config/config.yaml"
    found: dict[str, Any] = validation.read_yaml(path, "config")["audit"]
    return found | {"evaluate": None, "weights": None, "part": part, "exclude": [*found["exclude"], *exclude]}


def audit(
    checkpoint: str | Path | Mapping[str, Any], *, name: str | None = None, part: str | None = None, **changed: Any
) -> Audit:
    """Audit a checkpoint; progress goes to stderr.

    Parameters
    ----------
    checkpoint : str, pathlib.Path or mapping
        A file, ``torchvision:MODEL``, or a network's arrays by name, such as ``model.state_dict()``.
    name : str, optional
        What the audit is called; without it, the file's name.
    part : str, optional
        Of a checkpoint with several networks the one that is asked for.
    **changed
        ``seed``, ``entries``, ``nulls``, ``epsilon`` and ``exclude`` other than those of ``config/config.yaml``.

    Returns
    -------
    Audit
        Tables, page and plan.

    Raises
    ------
    InputError
        For a file that is no state dict, or has no matrices, and for an unknown setting.

    Examples
    --------
    >>> import numpy as np
    >>> weights = np.random.default_rng(0).standard_normal((64, 32)).astype(np.float32)
    >>> found = audit({"fc.weight": weights}, nulls={"replicates": 2, "entries": 1024})
    >>> found.rows["audit"][0]["layer_name"], found.plan()["by_error"]["0.1"][0]["module"]
    ('fc', 'fc')
    """
    for key in changed:
        if key not in _SETTINGS:
            raise unknown("setting", key, "sgdtails.audit", _SETTINGS)
    chosen = {key: value for key, value in settings().items() if key in _SETTINGS} | changed
    if isinstance(checkpoint, Mapping):
        source, state = "state_dict", audit_inputs.of_mapping(checkpoint, "state_dict", part)
    else:
        source = str(checkpoint)
        try:
            state = audit_inputs.read(source, weights=None, seed=chosen["seed"], part=part)
        except InputError as error:  # there is no config here
            raise InputError(f"{error}".replace(f"{checkpoints.KEY}:", f"checkpoint {source}:")) from error
    rows = layers.audit(state, where=source, **chosen)
    return Audit(name or checkpoints.title(source), source, rows, len(state), state.read_as)
