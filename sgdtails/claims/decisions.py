"""Claims of the paper, tested on the tables of a study: the rows of table ``claims``."""

import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from sgdtails.claims import statistics
from sgdtails.claims.claim_evidence import Evidence, Settings
from sgdtails.claims.claim_kinds import KINDS
from sgdtails.claims.claim_quantities import Study, described
from sgdtails.claims.verdicts import SIGNS, decide, for_panels


def rows(claims: Mapping[str, Mapping[str, Any]], study: Study, settings: Settings) -> Iterator[dict[str, Any]]:
    """Rows of table ``claims``: each claim in each panel that it concerns; one undecided row if it concerns none."""
    for name, claim in claims.items():
        measured = {
            panel: found
            for panel, runs in study.panels.items()
            if (found := KINDS[claim["kind"]](claim, study, runs, settings)) is not None
        }
        if not measured:
            nothing = Evidence("none", why_not="No panel has the quantities that this claim is about.")
            measured = {"all": nothing}
        tested = [found for found in measured.values() if not found.why_not and not math.isnan(found.p)]
        adjusted = statistics.holm(np.array([found.p for found in tested], dtype=float)).tolist()
        by_panel = {id(found): value for found, value in zip(tested, adjusted, strict=True)}
        panels = sum(not found.why_not for found in measured.values())
        for panel, found in measured.items():
            row = _row(name, panel, claim, found, by_panel.get(id(found), math.nan), settings.level, panels)
            yield row | {"quantities": described(study, claim)}


def _row(
    name: str, panel: str, claim: Mapping[str, Any], found: Evidence, p_holm: float, level: float, panels: int
) -> dict[str, Any]:
    verdict, reason = ("undecided", found.why_not)
    if not found.why_not:
        low, high = found.interval(for_panels(claim["supports"], panels))
        verdict, reason = decide(
            claim["supports"],
            effect=found.effect,
            low=low,
            high=high,
            p_holm=p_holm,
            level=level,
            margin=claim.get("margin", math.nan),
        )
        if verdict == "undecided" and claim["supports"] in SIGNS and found.smallest_p >= level:
            reason += f" {found.n} points can give no p-value below {found.smallest_p:.2g}."
        if panels > 1 and claim["supports"] not in SIGNS:
            reason += f" It is widened for {panels} panels."
    margin = f" {claim['margin']:g}" if "margin" in claim else ""
    values = {
        **{"effect": found.effect, "effect_low": found.low, "effect_high": found.high},
        **{"slope": found.slope, "p": found.p, "p_holm": p_holm},
    }
    return {
        **{"claim": name, "panel": panel, "statement": claim["statement"], "source": claim["where"]},
        **{"supports": claim["supports"] + margin, "effect_name": found.effect_name},
        **{key: None if math.isnan(value) else value for key, value in values.items()},
        **{"n": found.n, "seeds": found.seeds, "excluded": found.excluded.total()},
        "excluded_why": "; ".join(f"{count} {why}" for why, count in sorted(found.excluded.items())),
        **{"verdict": verdict, "reason": reason},
    }
