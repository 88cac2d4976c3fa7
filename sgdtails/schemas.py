"""The tables of this workflow: name, type, unit and meaning of every column."""

from typing import Any

import pyarrow as pa


def _schema(*columns: tuple[str, Any, str, str]) -> pa.Schema:
    return pa.schema(
        [pa.field(name, type_, metadata={"unit": unit, "meaning": meaning}) for name, type_, unit, meaning in columns]
    )


_text, _count, _real = pa.string(), pa.int64(), pa.float64()
_RUN = ("run", _text, "", "id of the run: model-dataset-b<batch size>-lr<step size>-s<seed>")
_TRAIN_NLL = ("train_nll", _real, "nat", "mean cross-entropy over the training set; null where not finite")
_TRAIN_ACCURACY = ("train_accuracy", _real, "1", "share of the training set classified correctly")
_PANEL = (
    ("dataset", _text, "", "name in config key datasets.sources"),
    ("model", _text, "", "name in config key models"),
)
_STATUS = (
    "status",
    _text,
    "",
    "converged, diverged (not finite, or at chance accuracy) or budget (iterations used up)",
)
_TEST_NLL = ("test_nll", _real, "nat", "mean cross-entropy over the test set; null where the weights are not finite")
_TEST_ACCURACY = (
    *("test_accuracy", _real, "1"),
    "share of the test set classified correctly; null where the weights are not finite",
)
_SETTINGS = (
    *_PANEL,
    ("batch_size", _count, "images", "b"),
    ("step_size", _real, "1", "eta"),
    ("eta_over_b", _real, "1", "step size / batch size"),
    ("seed", _count, "", "seed of initialisation and permutations"),
)
_TRAINED = (
    _STATUS,
    ("iterations", _count, "steps", "SGD steps when training stopped"),
    _TRAIN_NLL,
    _TRAIN_ACCURACY,
    _TEST_NLL,
    _TEST_ACCURACY,
)
_AVERAGED = ("average_test_accuracy", _real, "1", "test accuracy of the averaged weights; null where there are none")
_SECONDS = ("seconds", _real, "s", "wall time of training, and of averaging in table runs")
_WEIGHTS = ("weights", _text, "", "initial, final (last iterate of training) or average (ergodic average)")
_LAYER = (("layer", _count, "", "index from 0"), ("layer_name", _text, "", "name in the network"))
_P = ("p", _real, "1", "of the lp norm")
_EPSILON = ("epsilon", _real, "1", "largest relative error allowed")
_KAPPA = ("kappa", _real, "1", "smallest kept fraction of parameters whose relative error is at most epsilon")
_PRUNED = (
    _WEIGHTS,
    ("method", _text, "", "layer_magnitude, global_magnitude, singular_value, node or kernel"),
    ("ratio", _real, "1", "share of terms removed, as asked for"),
    ("parameters_left", _count, "parameters", "of the whole network; factors of rank r hold r*(m+n+1)"),
    ("pruned_ratio", _real, "1", "1 - parameters left / parameters, over the layers subject to pruning"),
    ("stored_parameters", _count, "numbers", "to store the network in this form: medians, factors and indices counted"),
    ("multiply_adds", _count, "1", "for one image in this form, adding the medians back included"),
    (
        "relative_error_l1",
        _real,
        "1",
        "l1 norm of what was removed / l1 norm of the centred weights, layers subject to pruning",
    ),
    ("relative_error_l2", _real, "1", "the same in l2"),
    _TEST_NLL,
    _TEST_ACCURACY,
    (
        "train_nll",
        _real,
        "nat",
        "mean cross-entropy over the training set; null unless config key pruning.evaluate asks for it",
    ),
    ("train_accuracy", _real, "1", "share of the training set classified correctly; null likewise"),
    ("relative_test_accuracy", _real, "1", "test accuracy / that of the same weights before pruning"),
)
_MACHINE = (("device", _text, "", "cpu, or the GPU's name"), ("precision", _text, "", "fp32 or tf32"))

SCHEMAS: dict[str, pa.Schema] = {
    "training": _schema(_RUN, *_SETTINGS, *_TRAINED, _SECONDS, *_MACHINE),
    "averaging": _schema(
        _RUN, ("status", _text, "", "averaged, diverged, or skipped (training did not converge)"), _AVERAGED, _SECONDS
    ),
    "runs": _schema(_RUN, *_SETTINGS, *_TRAINED, _AVERAGED, _SECONDS, *_MACHINE),
    "history": _schema(
        _RUN, ("iteration", _count, "steps", "SGD steps done at this gate"), _TRAIN_NLL, _TRAIN_ACCURACY
    ),
    "tails": _schema(
        _RUN,
        _WEIGHTS,
        *_LAYER,
        ("estimator", _text, "", "mmo_multivariate (MMO15, Corollary 2.4) or mmo_univariate (Corollary 2.2)"),
        ("k1", _count, "observations", "block length; null: the published aggregate over all of them"),
        ("alpha", _real, "1", "median over permutations, unclipped; infinite where the estimate of 1/alpha is <= 0"),
        ("alpha_published", _real, "1", "the aggregate clipped at 2, as published; null in rows of one k1"),
        ("alpha_low", _real, "1", "lower end of a 95% interval from the spread over blocks; null for the aggregate"),
        ("alpha_high", _real, "1", "upper end of that interval"),
        ("observations", _count, "observations", "N"),
        ("dimension", _count, "1", "d, numbers in one observation"),
        ("log_norm_dispersion", _real, "1", "standard deviation of the log norms of the observations"),
    ),
    "histograms": _schema(
        _RUN,
        *_PANEL,
        ("layer_name", _text, "", "the layer with most weights"),
        ("alpha", _real, "1", "its published tail index, and that of the stable sample"),
        (
            "series",
            _text,
            "",
            "half_a, half_b (a random partition of the averaged weights), all, or stable (simulated)",
        ),
        ("low", _real, "1", "lower edge of the bin"),
        ("high", _real, "1", "upper edge of the bin"),
        ("density", _real, "1", "share of the series in the bin / width of the bin"),
    ),
    "compression": _schema(
        _RUN,
        _WEIGHTS,
        *_LAYER,
        ("structure", _text, "", "what is a term: entries, columns (linear), kernels (convolution) or singular_values"),
        _P,
        _EPSILON,
        _KAPPA,
    ),
    "pruned": _schema(_RUN, *_PRUNED),
    "pruning": _schema(_RUN, _STATUS, *_PRUNED),
    "latency": _schema(
        _RUN,
        *_PANEL,
        ("ratio", _real, "1", "share of columns removed from each layer but the head"),
        ("parameters", _count, "parameters", "of the network whose removed columns are 0"),
        ("smaller_parameters", _count, "parameters", "of the network without those columns and the rows that fed them"),
        ("seconds", _real, "s", "to classify the test set with removed columns at 0, fastest of several"),
        ("smaller_seconds", _real, "s", "the same with the smaller network"),
        ("difference", _real, "1", "largest difference of their outputs / largest output"),
        _TEST_ACCURACY,
    ),
    "synthetic": _schema(
        ("draw", _count, "", "index from 0: the three structures of one draw share alpha"),
        ("structure", _text, "", "independent entries, elliptical columns or an elliptical layer"),
        ("alpha", _real, "1", "tail index of the law that was sampled"),
        _P,
        _EPSILON,
        _KAPPA,
    ),
    "magnitudes": _schema(
        ("alpha", _real, "1", "tail index of the SaS(1) law that was sampled"),
        ("low", _real, "1", "lower edge of the bin of |x|"),
        ("high", _real, "1", "upper edge of the bin"),
        ("count", _count, "draws", "in the bin"),
        ("share", _real, "1", "sum of x^2 in the bin / sum of x^2 of all draws"),
    ),
    "theory": _schema(
        ("epsilon", _real, "1", "relative error of the compressed network"),
        ("kappa", _real, "1", "kept fraction of parameters"),
        ("p_epsilon", _real, "1", "the factor of Theorem 7 for even d"),
        ("bound", _real, "1", "its simpler upper bound"),
    ),
    "table1": _schema(*_PANEL, ("parameters", _count, "parameters", "weights of the network")),
    "table2": _schema(
        *_PANEL,
        ("eta_over_b_lowest", _real, "1", "smallest step size / batch size of the run table"),
        ("eta_over_b_highest", _real, "1", "largest step size / batch size of the run table"),
        ("runs", _count, "runs", "in the run table"),
        ("converged", _count, "runs", "that converged"),
    ),
}
