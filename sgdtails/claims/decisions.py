"""Claims of the paper, tested on the tables of a study: the rows of table ``claims``."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from sgdtails.claims import statistics
from sgdtails.claims.evidence import Evidence, Settings
from sgdtails.claims.kinds import KINDS
from sgdtails.claims.quantities import described
from sgdtails.claims.study import Run, Study, families
from sgdtails.claims.verdicts import SIGNS, decide, for_panels
from sgdtails.config import claimed_tables

Claim = Mapping[str, Any]


def claim_rows(claims: Mapping[str, Claim], study: Study, settings: Settings) -> Iterator[dict[str, Any]]:
    """Test each claim in each panel that it concerns.

    Parameters
    ----------
    claims : mapping of str to mapping
        Claims by name, from ``definitions.read``.
    study : Study
        Tables of the study.
    settings : Settings
        How claims are tested.

    Yields
    ------
    dict
        Rows of table ``claims``; one undecided row of a claim that concerns no panel.
    """
    for name, claim in claims.items():
        measured = {
            panel: found
            for panel, runs in _panels(claim, study).items()
            if (found := KINDS[claim["kind"]](claim, study, runs, settings)) is not None
        }
        if not measured:
            nothing = Evidence("none", why_not=_absent(claim, study))
            measured = {"all": nothing}
        tested = [found for found in measured.values() if not found.why_not and not math.isnan(found.p)]
        adjusted = statistics.holm(np.array([found.p for found in tested], dtype=float)).tolist()
        by_panel = {id(found): value for found, value in zip(tested, adjusted, strict=True)}
        panels = sum(not found.why_not for found in measured.values())
        for panel, found in measured.items():
            row = _row(name, panel, claim, found, by_panel.get(id(found), math.nan), settings.level, panels)
            yield row | {"quantities": described(study, claim)}


def _panels(claim: Claim, study: Study) -> Mapping[str, Sequence[Run]]:
    """Group the runs that are tested together: of a panel; for a trend, those that differ by its column alone.

    One setting at a time can change between panels, too, such as the width: there a kind of model is tested as a whole.
    """
    if claim["kind"] == "trend":
        return families(study.runs.to_pylist(), claim["x"])
    return study.kinds if claim.get("statistic") == "granulated_kendall" else study.panels


def _absent(claim: Claim, study: Study) -> str:
    """Say why no panel has what a claim is about."""
    missing = sorted(name for name in claimed_tables.of_content(claim) if not getattr(study, name).num_rows)
    if missing:
        return f"Not computed: the study has no table {' and no table '.join(missing)}."
    gaps = [part for part in claim.values() if isinstance(part, dict) and part.get("of") == "generalisation_gap"]
    if any(part.get("weights", study.weights) == "average" for part in gaps):
        return "The averaged networks were evaluated on the test set only."
    return "No panel has the quantities that this claim is about."


def _row(
    name: str, panel: str, claim: Claim, found: Evidence, p_holm: float, level: float, panels: int
) -> dict[str, Any]:
    verdict, reason = _decided(claim, found, p_holm, level, panels)
    margin = f" {claim['margin']:g}" if "margin" in claim else ""
    values = {
        "effect": found.effect,
        "effect_low": found.low,
        "effect_high": found.high,
        "slope": found.slope,
        "p": found.p,
        "p_holm": p_holm,
    }
    known = {key: None if math.isnan(value) else value for key, value in values.items()}
    return known | {
        "claim": name,
        "panel": panel,
        "statement": claim["statement"],
        "source": claim["where"],
        "supports": claim["supports"] + margin,
        "effect_name": found.effect_name,
        "n": found.n,
        "seeds": found.seeds,
        "excluded": found.excluded.total(),
        "excluded_why": "; ".join(f"{count} {why}" for why, count in sorted(found.excluded.items())),
        "verdict": verdict,
        "reason": reason,
    }


def _decided(claim: Claim, found: Evidence, p_holm: float, level: float, panels: int) -> tuple[str, str]:
    """Decide, and say why."""
    if found.why_not:
        return "undecided", found.why_not
    supports = claim["supports"]
    low, high = found.interval(for_panels(supports, panels))
    verdict, reason = decide(
        supports,
        effect=found.effect,
        low=low,
        high=high,
        p_holm=p_holm,
        level=level,
        margin=claim.get("margin", math.nan),
    )
    if verdict == "undecided" and supports in SIGNS and found.smallest_p >= level:
        reason += f" {found.n} points can give no p-value below {found.smallest_p:.2g}."
    if panels > 1 and supports not in SIGNS:
        reason += f" It is widened for {panels} panels."
    return verdict, f"{reason} {found.remark}".rstrip()
