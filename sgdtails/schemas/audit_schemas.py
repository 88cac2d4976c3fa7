"""Schemas of the tables of an audited checkpoint."""

import pyarrow as pa

from sgdtails.schemas.law_schemas import FITTED
from sgdtails.schemas.run_schemas import COUNT, EPSILON, FLAG, LAYER, REAL, TEXT, schema

_CHECKPOINT = ("checkpoint", TEXT, "", "name of the folder of results: that of the file or of the torchvision model")
_STRUCTURE = (
    *("structure", TEXT, ""),
    "what is a term: entries (centred), magnitudes (entries as they are), columns (of a matrix in its orientation), kernels (of a convolution) or singular_values",
)

_NUMBERS = pa.list_(pa.field("element", COUNT))  # as Parquet names it

SCHEMAS: dict[str, pa.Schema] = {
    "audit": schema(
        _CHECKPOINT,
        *LAYER,
        (
            "parameter",
            TEXT,
            "",
            "array of the file that the layer, or a part of one, lies in; null where the layer is computed",
        ),
        ("kind", TEXT, "", "linear, attention, embedding, recurrent, expert, convolution or pointwise convolution"),
        ("orientation", TEXT, "", "what one observation, one row, is, and why"),
        ("shape", TEXT, "", "of the layer in that orientation: rows first; for a convolution outputs, inputs, kernel"),
        ("dtype", TEXT, "", "of the numbers in the file"),
        ("parameters", COUNT, "parameters", "of the layer"),
        ("observations", COUNT, "observations", "rows, or kernels, that estimates and curves are made from"),
        (
            *("observations_left_out", COUNT, "observations"),
            "at random: those beyond config key audit.entries, or of a number of observations without block lengths",
        ),
        *(
            (f"{prefix}{name}", type_, unit, f"{meaning} {words}")
            for prefix, words in (("", "(rows: mmo_multivariate)"), ("entries_", "(single entries: mmo_univariate)"))
            for name, type_, unit, meaning in (
                ("alpha", REAL, "1", "tail index, unclipped, as in table tails"),
                ("alpha_low", REAL, "1", "lower end of its 95% interval"),
                ("alpha_high", REAL, "1", "upper end of that interval"),
                ("interval_holds", FLAG, "", "whether the interval is known to cover about as often as it says"),
                ("alpha_published", REAL, "1", "the value by the paper's rule, clipped at 2"),
                ("skewed", FLAG, "", "whether that lies outside the interval"),
                (
                    *("driven_by", TEXT, ""),
                    "whether large norms or small norms put the index below 2; null where its interval reaches 1.9",
                ),
            )
        ),
        (
            "zero_share",
            REAL,
            "1",
            "share of the weights that are exactly zero; the estimate of entries leaves them out",
        ),
        ("dead", COUNT, "observations", "rows, or kernels, that are zero or far smaller than the others; left out"),
        ("dead_rows", _NUMBERS, "", "numbers from 0 of the rows, or filters, that hold nothing else"),
        ("alpha_with_dead", REAL, "1", "alpha with the dead rows; null where there are none"),
        ("entries_alpha_with_zeros", REAL, "1", "entries_alpha with zeros and dead rows; null where there are none"),
        ("log_norm_dispersion", REAL, "1", "standard deviation of the log norms of the rows"),
        ("reading", TEXT, "", "stable-like, finite-variance-like, scale-mixture-like or undecided"),
        (
            "votes",
            COUNT,
            "readings",
            "of five, from other permutations each, that give this word; 0: none has a majority",
        ),
        ("why", TEXT, "", "why the layer has this reading"),
        ("decides", TEXT, "", "what would decide; null for a reading other than undecided"),
        ("law", TEXT, "", "that entries or rows follow: label of table laws; null where there are no laws"),
        ("law_best", TEXT, "", "the law of the lowest BIC; null likewise"),
        (
            "law_rival",
            TEXT,
            "",
            "the next best that does not contain it as a special or limiting case, as rival of table laws; null likewise",
        ),
        ("law_margin", REAL, "nat", "half the difference of both BIC, per weight; null likewise"),
        ("law_tail_index", REAL, "1", "that the best law implies, as in table laws; null likewise"),
        ("block_lengths", COUNT, "1", "K1s of the profile of rows"),
        ("below_gaussian", COUNT, "1", "K1s at which that profile lies below the band of Gaussian layers"),
        ("below_shuffled", COUNT, "1", "K1s at which it lies below the band of the layer's entries in random order"),
        ("gap_gaussian", REAL, "1", "median over K1s of the alpha of Gaussian layers less that of the layer"),
        ("gap_shuffled", REAL, "1", "the same of the layer's entries in random order"),
        ("entries_below_gaussian", COUNT, "1", "K1s at which the profile of entries lies below the Gaussian band"),
        ("rank_90", COUNT, "singular values", "the fewest that hold 90% of the sum of squares; layer not centred"),
        ("rank_90_share", REAL, "1", "of all singular values"),
        ("effective_rank", REAL, "singular values", "exp of the entropy of the singular values' shares of their sum"),
        ("effective_rank_share", REAL, "1", "of all singular values"),
        ("spectrum_rows", COUNT, "rows", "of the layer as (rows, the rest) that singular values are taken of"),
        ("reason", TEXT, "", "why something is missing; null where nothing is"),
    ),
    "audit_profiles": schema(
        _CHECKPOINT,
        *LAYER,
        ("estimator", TEXT, "", "mmo_multivariate (rows) or mmo_univariate (entries)"),
        (
            *("series", TEXT, ""),
            "observed, or a null: gaussian (normal entries) or shuffled (the layer's entries in random order)",
        ),
        ("k1", COUNT, "observations", "block length"),
        ("alpha", REAL, "1", "median over permutations and, of a null, over replicates"),
        ("alpha_low", REAL, "1", "least of the replicates"),
        ("alpha_high", REAL, "1", "largest of the replicates"),
    ),
    "audit_curves": schema(
        _CHECKPOINT,
        *LAYER,
        _STRUCTURE,
        ("ratio", REAL, "1", "share of the terms removed, smallest first"),
        ("relative_error", REAL, "1", "l2 norm of what is removed / l2 norm of all; singular values: not centred"),
    ),
    "audit_compression": schema(
        _CHECKPOINT,
        *LAYER,
        _STRUCTURE,
        EPSILON,
        (
            *("kappa", REAL, "1"),
            "smallest kept fraction of parameters with at most that relative l2 error; of singular values r*(m+n+1)/(m*n), m x n of spectrum_rows rows",
        ),
    ),
    "audit_laws": schema(
        _CHECKPOINT,
        *LAYER,
        *FITTED,
        ("reason", TEXT, "", "why there are no laws, or what was left out; else null"),
    ),
    "audit_skipped": schema(
        _CHECKPOINT,
        ("name", TEXT, "", "of an array that no layer is made from, or of a file beside the checkpoint"),
        ("shape", TEXT, "", "of the array; null for a single number and for a file"),
        ("dtype", TEXT, "", "of its numbers; null for a file"),
        ("reason", TEXT, "", "why it was left out"),
    ),
    "audit_accuracy": schema(
        _CHECKPOINT,
        ("ratio", REAL, "1", "share of the entries removed from each layer but embeddings, as asked for"),
        ("pruned_ratio", REAL, "1", "share really removed, of these layers together"),
        ("measure", TEXT, "", "name that the evaluation function gives its number"),
        ("value", REAL, "", "that number"),
    ),
    "audit_comparison": schema(
        ("base", TEXT, "", "name of the first checkpoint"),
        ("tuned", TEXT, "", "name of the second"),
        *LAYER,
        ("shape", TEXT, "", "of the layer in its orientation: rows first"),
        ("status", TEXT, "", "changed, unchanged, not finite, other shape, in the first only or in the second only"),
        *(
            (f"{prefix}_{name}", REAL, "1", f"{meaning} (rows of {words})")
            for prefix, words in (("base", "the first"), ("tuned", "the second"), ("change", "their difference"))
            for name, meaning in (
                ("alpha", "tail index, unclipped"),
                ("alpha_low", "lower end of its 95% interval"),
                ("alpha_high", "upper end of that interval"),
            )
        ),
        ("change_norm", REAL, "1", "l2 norm of the difference over that of the first"),
        ("change_cosine", REAL, "1", "cosine of the angle between the difference and the first"),
        ("change_reading", TEXT, "", "reading of the difference, as in table audit"),
        ("change_why", TEXT, "", "why it has this reading"),
        ("change_effective_rank_share", REAL, "1", "effective rank of the difference over full rank"),
    ),
    "audit_series": schema(
        _CHECKPOINT,
        (
            "step",
            COUNT,
            "",
            "last whole number in the name of the file, or of its folder; else the place in the series",
        ),
        *LAYER,
        *(
            (f"{prefix}{name}", REAL, "1", f"{meaning} ({words})")
            for prefix, words in (("", "rows"), ("entries_", "single entries"))
            for name, meaning in (
                ("alpha", "tail index, unclipped"),
                ("alpha_low", "lower end of its 95% interval"),
                ("alpha_high", "upper end of that interval"),
            )
        ),
        ("zero_share", REAL, "1", "share of the weights that are exactly zero"),
        ("dead", COUNT, "observations", "rows, or kernels, that are zero or far smaller than the others"),
        ("reason", TEXT, "", "why something is missing; null where nothing is"),
    ),
}
