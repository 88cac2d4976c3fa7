"""The rule that turns an effect, its interval and its p-value into a verdict, and how often the rule is wrong."""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sgdtails.claims import statistics
from sgdtails.claims.relations import two_lines
from sgdtails.claims.statistics import Draws

Reals = NDArray[np.float64]
LEVEL = 0.95  # of intervals
VERDICTS = ("supported", "contradicted", "undecided")
SIGNS = {"positive": 1.0, "negative": -1.0}
# What supports a claim: an effect of this sign, or an interval on this side of the margin.
SUPPORTS = (*SIGNS, "within", "above", "below")
DESIGNS = {"paper": (48, 31, 18, 52, 36, 30), "demo": (12, 12, 8)}  # runs per panel


def decide(
    supports: str, *, effect: float, low: float, high: float, p_holm: float, level: float, margin: float = math.nan
) -> tuple[str, str]:
    """Decide a claim in one panel.

    Parameters
    ----------
    supports : str
        ``positive``, ``negative``: decided if p_holm < level and the interval excludes 0, by the sign of the effect.
        ``within``: supported if the interval lies inside (-margin, margin), contradicted if it lies outside.
        ``above``, ``below``: supported if it lies on that side of the margin, contradicted if it lies on the other.
    effect, low, high : float
        The effect and its interval.
    p_holm : float
        Its p-value, adjusted over panels.
    level : float
        Level of tests of signs.
    margin : float
        With ``within``, ``above`` and ``below``.

    Returns
    -------
    tuple of str
        The verdict, and one sentence why.

    Examples
    --------
    >>> decide("positive", effect=0.5, low=0.1, high=0.8, p_holm=0.01, level=0.05)
    ('supported', 'The effect has the claimed sign.')
    """
    interval = f"[{round(low, 9):.3g}, {round(high, 9):.3g}]"
    if math.isnan(low) or math.isnan(high) or math.isnan(effect):
        return "undecided", "The effect or its interval is undefined."
    if supports not in SIGNS:
        return _by_margin(supports, low, high, margin, interval)
    if math.isnan(p_holm):
        return "undecided", "There is no p-value."
    if not p_holm < level:
        return "undecided", f"The adjusted p-value, {p_holm:.2g}, is not below {level:g}."
    if low <= 0 <= high:
        return "undecided", f"The interval {interval} holds 0."
    if effect * SIGNS[supports] > 0:
        return "supported", "The effect has the claimed sign."
    return "contradicted", "The effect has the opposite sign."


def for_panels(supports: str, panels: int) -> float:
    """Return the level of the intervals behind verdicts on a claim in so many panels (Bonferroni); a sign's p-values are adjusted instead."""
    return LEVEL if supports in SIGNS else 1 - (1 - LEVEL) / max(panels, 1)


def _by_margin(supports: str, low: float, high: float, margin: float, interval: str) -> tuple[str, str]:
    if supports == "within":
        inside, outside = -margin < low and high < margin, low > margin or high < -margin
    elif supports == "above":
        inside, outside = low > margin, high < margin
    else:
        inside, outside = high < margin, low > margin
    place = f"{supports} {'+-' if supports == 'within' else ''}{margin:g}"
    if inside:
        return "supported", f"The whole interval {interval} lies {place}."
    if outside:
        return "contradicted", f"No part of the interval {interval} lies {place}."
    return "undecided", f"Only a part of the interval {interval} lies {place}."


Interval = Callable[[float], tuple[float, float]]  # at a level
Measured = tuple[float, Interval, float]  # effect, interval and p-value


@dataclass(frozen=True)
class Rule:
    """Hold one kind of claim to simulate: what supports it, and the true effects of its simulated studies by name."""

    supports: str
    truths: Mapping[str, float]
    measure: Callable[[float, Draws, np.random.Generator], Measured]
    margin: float = math.nan


def _correlated(rho: float, size: tuple[int, ...], rng: np.random.Generator) -> tuple[Reals, Reals]:
    """Draw standard normal pairs whose Spearman correlation is rho (Pearson's is 2 sin(pi rho/6))."""
    r = 2 * math.sin(math.pi * rho / 6)
    x, noise = rng.standard_normal((2, *size))
    return x, r * x + math.sqrt(1 - r * r) * noise


def _rank(x: Reals, y: Reals, draws: Draws, control: Reals | None = None) -> Measured:
    effect, null = statistics.rank_correlation(x, y, draws.orders, control)
    values = statistics.resampled_rank_correlation(x, y, draws.counts, control)
    interval = partial(statistics.percentile_interval, values, len(draws.counts))
    return effect, interval, statistics.p_value(null, effect, exact=draws.exact_orders)


def _correlation(rho: float, draws: Draws, rng: np.random.Generator) -> Measured:
    return _rank(*_correlated(rho, draws.counts.shape[:1], rng), draws)


def _partial(rho: float, draws: Draws, rng: np.random.Generator) -> Measured:
    """Measure two variables that both follow a third, ordered one: uncontrolled they would correlate at 0.5 or so."""
    n = len(draws.counts)
    control = np.sort(rng.standard_normal(n))
    x, y = _correlated(rho, (n,), rng)
    return _rank(x + control, y + control, draws, control)


def _clustered(rho: float, draws: Draws, rng: np.random.Generator) -> Measured:
    """Measure four layers whose variables are runs' effects, correlated at rho, plus noise of a quarter of their variance."""
    shared = _correlated(rho, draws.counts.shape[:1], rng)
    x, y = (part + 0.5 * rng.standard_normal((4, len(part))) for part in shared)
    return _rank(x, y, draws)


def _difference(mean: float, draws: Draws, rng: np.random.Generator) -> Measured:
    """Measure normal differences of standard deviation 1."""
    n = len(draws.counts)
    sample = mean + rng.standard_normal(n)
    effect, null = statistics.mean_difference(sample, draws.signs)
    interval = partial(statistics.mean_interval, sample, sample @ draws.counts / n)
    return effect, interval, statistics.p_value(null, effect, exact=draws.exact_signs)


def _turn(beyond: float, draws: Draws, rng: np.random.Generator) -> Measured:
    """Measure y that rises at a slope of 2 up to the middle of x, and falls at ``beyond`` from there on, with noise of 0.5."""
    x, noise = rng.uniform(-1, 1, len(draws.counts)), rng.standard_normal(len(draws.counts))
    found = two_lines.fit(x, 2 * np.minimum(x, 0) - beyond * np.maximum(x, 0) + 0.5 * noise, shape="peak", fewest=5)
    if found is None:
        return math.nan, lambda _: (math.nan, math.nan), math.nan
    return found.effect, found.interval, found.p


_STRENGTHS = {"positive": 0.6, "weakly positive": 0.3, "null": 0.0, "weakly negative": -0.3, "negative": -0.6}
_THREE = {"positive": 0.6, "null": 0.0, "negative": -0.6}
RULES: dict[str, Rule] = {
    "correlation": Rule("positive", _STRENGTHS, _correlation),
    "partial correlation": Rule("positive", _THREE, _partial),
    "layers within runs": Rule("positive", _THREE, _clustered),
    "paired difference": Rule("positive", {"positive": 1.0, "null": 0.0, "negative": -1.0}, _difference),
    "equivalence": Rule("within", {"inside": 0.0, "at the margin": 1.0, "outside": 2.0}, _difference, margin=1.0),
    "threshold": Rule("above", {"above": 0.95, "at the margin": 0.8, "below": 0.3}, _correlation, margin=0.8),
    "two lines": Rule("positive", {"falls beyond": 2.0, "flat beyond": 0.0, "rises on": -2.0}, _turn),
}
_RIGHT = {
    "positive": "supported",
    "weakly positive": "supported",
    "inside": "supported",
    "above": "supported",
    "negative": "contradicted",
    "weakly negative": "contradicted",
    "outside": "contradicted",
    "below": "contradicted",
    "falls beyond": "supported",
    "rises on": "contradicted",
    "flat beyond": "undecided",
    "null": "undecided",
    "at the margin": "undecided",
}


def simulate(*, studies: int, permutations: int, bootstrap: int, level: float, seed: int) -> Iterator[dict[str, Any]]:
    """Simulate studies whose truth is known: rows of table ``verdicts``, how often each rule says what.

    Studies have the panels of DESIGNS and independent panels. All studies share their permutations and resamples,
    one set per panel size; data are drawn from generators seeded by (seed, rule, design, truth).
    """
    sizes = {n for design in DESIGNS.values() for n in design}
    shared = {
        n: statistics.draws(n, permutations=permutations, bootstrap=bootstrap, rng=np.random.default_rng([seed, n]))
        for n in sorted(sizes)
    }
    for number, (name, rule) in enumerate(RULES.items()):
        for place, (design, panels) in enumerate(DESIGNS.items()):
            for index, (truth, value) in enumerate(rule.truths.items()):
                rng = np.random.default_rng([seed, number, place, index])
                measured = np.array(
                    [[_measured(rule, value, shared[n], rng, len(panels)) for n in panels] for _ in range(studies)]
                )
                common = {"rule": name, "design": design, "truth": truth, "true_effect": value, "studies": studies}
                yield from (common | row for row in _shares(rule, truth, measured, panels, level))


def _measured(rule: Rule, value: float, draws: Draws, rng: np.random.Generator, panels: int) -> list[float]:
    """Measure effect and p-value of one panel, its 95% interval, and the interval that a verdict is by."""
    effect, interval, p = rule.measure(value, draws, rng)
    return [effect, p, *interval(LEVEL), *interval(for_panels(rule.supports, panels))]


def _shares(rule: Rule, truth: str, measured: Reals, panels: tuple[int, ...], level: float) -> Iterator[dict[str, Any]]:
    """Count shares of verdicts of (studies, panels, 6) numbers of ``_measured``."""
    effect, p, low, high, *by = np.moveaxis(measured, -1, 0)
    said = np.array(
        [
            decide(rule.supports, effect=e, low=a, high=b, p_holm=q, level=level, margin=rule.margin)[0]
            for e, a, b, q in zip(effect.flat, by[0].flat, by[1].flat, statistics.holm(p).flat, strict=True)
        ]
    ).reshape(p.shape)
    value = rule.truths[truth]
    covers = None if rule.measure in (_partial, _clustered) and value else holds(low, high, value)
    yield from shares(said, covers, right=_RIGHT[truth], panels=panels)


def holds(low: Reals, high: Reals, value: float) -> Reals:
    """Say which intervals hold a value: 1 or 0, NaN where there is no interval."""
    return np.where(np.isnan(low + high), math.nan, (low <= value) & (value <= high))


def shares(
    said: NDArray[np.str_], covers: Reals | None, *, right: str, panels: tuple[int, ...]
) -> Iterator[dict[str, Any]]:
    """Count shares of verdicts (studies, panels) of which only ``right`` is true: of all panels together, then of each size.

    ``covers`` says which intervals hold the true effect, where that is known: 1 or 0, NaN where there is no interval.
    """
    wrong = (said != "undecided") & (said != right)
    groups: list[tuple[int | None, NDArray[np.bool_]]] = [(None, np.ones(len(panels), dtype=bool))]
    groups += [(n, np.array(panels) == n) for n in dict.fromkeys(panels)]
    for n, chosen in groups:
        yield {
            "n": n,
            **{verdict: float((said[:, chosen] == verdict).mean()) for verdict in VERDICTS},
            "wrong": float(wrong[:, chosen].mean()),
            "any_wrong": float(wrong[:, chosen].any(axis=1).mean()),
            "coverage": None
            if covers is None or np.isnan(covers[:, chosen]).all()
            else float(np.nanmean(covers[:, chosen])),
        }
