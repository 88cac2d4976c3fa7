"""The verdict of a page: what it says of a network from the labels and laws of its layers and what can go."""

import math

import pytest

from sgdtails.audit.page.verdict import verdict

LIGHT = {"layer_name": "a", "alpha": 1.9, "driven_by": None, "law": "laplace", "law_tail_index": math.inf}
HEAVY = LIGHT | {"reading": "stable-like", "law": "stable", "law_tail_index": 1.5}
MIXTURE, FINITE, OPEN = (
    LIGHT | {"reading": word} for word in ("scale-mixture-like", "finite-variance-like", "undecided")
)
NOTHING = LIGHT | {"reading": "undecided", "alpha": None, "law": None, "law_tail_index": None}
SAY_SO = "How sure: the likeliest laws say so, too"


@pytest.mark.parametrize(
    ("layers", "said"),
    [
        (
            [MIXTURE, MIXTURE, MIXTURE, OPEN],
            "No layer looks like a heavy-tailed law: 3 have rows of unequal size, 1 is undecided. "
            f"{SAY_SO}, but the undecided layer may still be heavy-tailed.",
        ),
        ([MIXTURE, FINITE], f"No layer looks like a heavy-tailed law: 1 has rows of unequal size, 1 has a light tail. {SAY_SO}."),
        ([MIXTURE], f"The layer does not look like a heavy-tailed law: it has rows of unequal size. {SAY_SO}."),
        ([HEAVY], f"The layer looks like a heavy-tailed law. {SAY_SO}."),
        ([HEAVY, OPEN], f"1 of 2 layers looks like a heavy-tailed law: a; the other is undecided. {SAY_SO}."),
        (
            [HEAVY] * 5 + [FINITE] * 2,
            f"5 of 7 layers look like a heavy-tailed law: a, a, a and 2 more; of the others 2 have light tails. {SAY_SO}.",
        ),
        (
            [HEAVY, HEAVY | {"law_tail_index": 3.0}, HEAVY | {"driven_by": "small norms"}],
            "2 of 3 layers look like a heavy-tailed law: a, a; the other has a low index only since some of its rows are small. "
            "How sure: not very, since the likeliest law of 1 of these has finite variance.",
        ),
        (
            [HEAVY, *[FINITE] * 19],
            "1 of 20 layers looks like a heavy-tailed law: a; of the others 19 have light tails. "
            f"{SAY_SO}; so few of so many may be chance.",
        ),
        (
            [MIXTURE, OPEN | {"law_tail_index": 1.2}],
            "No layer looks like a heavy-tailed law: 1 has rows of unequal size, 1 is undecided. "
            "How sure: not very, since the likeliest law of 1 layer has infinite variance.",
        ),
        (
            [OPEN, OPEN],
            "It is undecided whether any of the 2 layers looks like a heavy-tailed law. "
            "The likeliest laws speak against it: none has infinite variance.",
        ),
        (
            [OPEN | {"law_tail_index": 1.2}, NOTHING],
            "It is undecided whether any of the 2 layers looks like a heavy-tailed law; 1 has no tail index. "
            "The likeliest laws speak for it in 1 layer: infinite variance.",
        ),
        ([OPEN | {"law": None}], "It is undecided whether the layer looks like a heavy-tailed law."),
        ([NOTHING], "No layer has a tail index, so nothing can be said of heavy tails: the table says why."),
    ],
)  # fmt: skip
def test_tails_come_first_then_how_sure_that_is(layers, said):
    assert "".join(verdict(layers, None)) == said


@pytest.mark.parametrize(("share", "word"), [(0.23, "no easier"), (0.28, "no easier"), (0.4, "easier")])
def test_pruning_is_compared_with_gaussian_weights(share, word):
    said = "".join(verdict([OPEN], share))
    assert said.endswith(
        f" Pruning is {word} than for Gaussian weights: {share:.0%} can go at a relative error of 10%, 27% of Gaussian ones."
    )
