"""Schemas of the tables that training and averaging write, and the columns that others share with them.

They are apart from the others so that a column added to a table of analysis retrains nothing.
"""

from typing import Any

import pyarrow as pa


def schema(*columns: tuple[str, Any, str, str]) -> pa.Schema:
    """Make a schema of columns (name, type, unit, meaning).

    Examples
    --------
    >>> schema(("alpha", pa.float64(), "1", "tail index")).field("alpha").metadata[b"unit"]
    b'1'
    """
    return pa.schema(
        [pa.field(name, type_, metadata={"unit": unit, "meaning": meaning}) for name, type_, unit, meaning in columns]
    )


TEXT, COUNT, REAL, FLAG = pa.string(), pa.int64(), pa.float64(), pa.bool_()
RUN = ("run", TEXT, "", "id of the run: model-dataset-b<batch size>-lr<step size>[-<variant>]-s<seed>")
TRAIN_NLL = ("train_nll", REAL, "nat", "mean cross-entropy over the training set; null where not finite")
TRAIN_ACCURACY = ("train_accuracy", REAL, "1", "share of the training set classified correctly")
PANEL = (
    ("dataset", TEXT, "", "name in config key datasets.sources"),
    ("model", TEXT, "", "name in config key models"),
    (
        "variant",
        TEXT,
        "",
        "what is not plain SGD: m<momentum>, wd<weight decay>, n<noise scale>a<its tail index>[-<its kind>]; else empty",
    ),
)
STATUS = (
    "status",
    TEXT,
    "",
    "converged, diverged (not finite, or at chance accuracy) or budget (iterations used up)",
)
TEST_NLL = ("test_nll", REAL, "nat", "mean cross-entropy over the test set; null where the weights are not finite")
TEST_ACCURACY = (
    *("test_accuracy", REAL, "1"),
    "share of the test set classified correctly; null where the weights are not finite",
)
SETTINGS = (
    *PANEL,
    ("batch_size", COUNT, "images", "b"),
    ("step_size", REAL, "1", "eta"),
    ("eta_over_b", REAL, "1", "step size / batch size"),
    ("momentum", REAL, "1", "mu: v <- mu v - eta g, w <- w + v"),
    ("weight_decay", REAL, "1", "lambda: g + lambda w in place of the gradient g"),
    ("noise_scale", REAL, "1", "sigma: g + sigma Z in place of it, Z of stable entries with scale 1"),
    ("noise_alpha", REAL, "1", "tail index of Z; 2 where there is no noise"),
    (
        "noise_kind",
        TEXT,
        "",
        "what the entries of a row of Z share: independent (nothing), neuron (one draw) or elliptical (the scale of a Gaussian row); "
        "independent where there is no noise",
    ),
    ("seed", COUNT, "", "seed of initialisation, permutations and noise"),
)
TRAINED = (
    STATUS,
    ("iterations", COUNT, "steps", "SGD steps when training stopped"),
    TRAIN_NLL,
    TRAIN_ACCURACY,
    TEST_NLL,
    TEST_ACCURACY,
)
AVERAGES = (
    ("average_test_accuracy", REAL, "1", "test accuracy of the averaged weights; null where there are none"),
    ("last_iterations", COUNT, "steps", "SGD steps, training included, at the last iterate; null where there is none"),
    ("last_converged", FLAG, "", "whether the last iterate meets the stop rule; null likewise"),
    ("last_train_nll", REAL, "nat", "mean cross-entropy of the last iterate over the training set; null likewise"),
    ("last_train_accuracy", REAL, "1", "share of the training set that it classifies correctly; null likewise"),
    ("last_test_nll", REAL, "nat", "its mean cross-entropy over the test set; null likewise"),
    ("last_test_accuracy", REAL, "1", "share of the test set that it classifies correctly; null likewise"),
)
SECONDS = (
    "seconds",
    REAL,
    "s",
    "wall time of training, and of averaging in table runs; runs side by side in one job share it equally",
)
MACHINE = (("device", TEXT, "", "cpu, or the GPU's name"), ("precision", TEXT, "", "fp32 or tf32"))
WEIGHTS = (
    "weights",
    TEXT,
    "",
    "initial, converged (at the gate where training stopped), last (last iterate of averaging) or average (mean of SGD's iterates)",
)
LAYER = (("layer", COUNT, "", "index from 0"), ("layer_name", TEXT, "", "name in the network"))
P = ("p", REAL, "1", "of the lp norm")
EPSILON = ("epsilon", REAL, "1", "largest relative error allowed")
KAPPA = ("kappa", REAL, "1", "smallest kept fraction of parameters whose relative error is at most epsilon")

SCHEMAS: dict[str, pa.Schema] = {
    "training": schema(RUN, *SETTINGS, *TRAINED, SECONDS, *MACHINE),
    "averaging": schema(
        RUN, ("status", TEXT, "", "averaged, diverged, or skipped (training did not converge)"), *AVERAGES, SECONDS
    ),
    "history": schema(
        RUN,
        ("iteration", COUNT, "steps", "SGD steps done at this gate"),
        TRAIN_NLL,
        TRAIN_ACCURACY,
        TEST_NLL,
        TEST_ACCURACY,
    ),
    "trajectory": schema(
        RUN,
        (
            "iteration",
            COUNT,
            "steps",
            "SGD steps done at this snapshot (config key snapshots); the last is where training ended",
        ),
        *LAYER,
        ("estimator", TEXT, "", "mmo_multivariate, from one random order, the same for all runs and iterations"),
        ("k1", COUNT, "observations", "block length; null: the aggregate over all of them"),
        (
            "alpha",
            REAL,
            "1",
            "unclipped, from random signs as in table tails; infinite where 1/alpha <= 0; null where the layer has no estimate",
        ),
        (
            "alpha_low",
            REAL,
            "1",
            "lower end of a 95% interval: Student's t over at least 8 blocks, else null; of the aggregate, as long in 1/alpha "
            "as the median interval over K1",
        ),
        ("alpha_high", REAL, "1", "upper end"),
        ("alpha_published", REAL, "1", "the median over K1 without signs, clipped at 2; aggregates only"),
        ("observations", COUNT, "observations", "N"),
        ("dimension", COUNT, "1", "d, numbers in one observation"),
        ("log_norm_dispersion", REAL, "1", "standard deviation of the log norms of the observations"),
        (
            "kappa",
            REAL,
            "1",
            "kappa of the layer's entries at p = 2 and epsilon = 0.1, as in table compression; aggregates only",
        ),
        ("reason", TEXT, "", "why there is no estimate; else null"),
    ),
}
