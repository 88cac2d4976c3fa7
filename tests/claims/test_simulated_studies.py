"""Studies of which nothing is true, judged as real ones are."""

import numpy as np
import pytest
from scipy.stats import binom

from sgdtails.claims import definitions, simulated_studies, standard_errors
from sgdtails.claims.kinds import KINDS
from sgdtails.claims.simulated_studies import NULLS

SETTINGS = {"permutations": 499, "bootstrap": 300, "level": 0.05, "seed": 0}


def test_every_kind_of_claim_is_simulated_as_a_file_could_state_it():
    assert {null.claim["kind"] for null in NULLS.values()} == set(KINDS)
    assert len(
        definitions.checked({f"n{number}": null.claim for number, null in enumerate(NULLS.values())}, "f")
    ) == len(NULLS)


@pytest.mark.parametrize("name", NULLS)
def test_what_is_not_true_is_seldom_decided(name):
    """Bounds that chance breaks once in 10,000 times; docs/claims.md has the rates themselves, of 1,000 studies."""
    rows = list(simulated_studies.simulate(studies=(studies := 8), nulls={name: NULLS[name]}, **SETTINGS))
    for row in (row for row in rows if row["n"] is None):
        assert row["any_wrong"] <= binom.ppf(0.9999, studies, 0.05) / studies
        assert row["supported"] + row["contradicted"] + row["undecided"] == pytest.approx(1)
    assert {row["design"] for row in rows} == {"paper", "demo"}


@pytest.mark.parametrize("name", ["paired_difference of distances, columns", "paired_difference, one initial network"])
def test_errors_that_runs_share_do_not_average_out(name, monkeypatch):
    """Were runs taken as independent of each other, such studies would be decided most of the time."""
    monkeypatch.setattr(standard_errors, "shared_shifts", lambda *_, bootstrap, seed: np.zeros(bootstrap))
    rows = simulated_studies.simulate(studies=12, nulls={name: NULLS[name]}, **SETTINGS)
    assert next(row["any_wrong"] for row in rows if row["n"] is None) > 0.25


def test_studies_are_what_their_seed_makes_them():
    name = "rank_correlation"
    first, second = (
        list(simulated_studies.simulate(studies=2, nulls={name: NULLS[name]}, **SETTINGS)) for _ in range(2)
    )
    assert first == second
