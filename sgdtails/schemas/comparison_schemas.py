"""Schemas of the tables that compare networks: dependence between weights, errors beside simulated ones, paired differences."""

import pyarrow as pa

from sgdtails.schemas.run_schemas import COUNT, LAYER, PANEL, REAL, RUN, TEXT, WEIGHTS, P, schema

_COMPARISON = ("comparison", TEXT, "", "what is compared by what, as in config key compare: y by x")

SCHEMAS: dict[str, pa.Schema] = {
    "dependence": schema(
        RUN,
        WEIGHTS,
        *LAYER,
        (
            "measure",
            TEXT,
            "",
            "row_dispersion, column_dispersion, within_rows, within_columns or next_layer (docs/claims.md)",
        ),
        (
            "value",
            REAL,
            "1",
            "dispersion: variance of log norms less that of shuffled entries; else the squared distance "
            "correlation, without bias. 0 on average for independent weights; null where there is none",
        ),
        ("p", REAL, "1", "share of shuffles or permutations that reach the value, 1 added above and below"),
        ("observations", COUNT, "observations", "rows, columns or units of the layer"),
        ("dimension", COUNT, "1", "numbers in each of them"),
    ),
    "errors": schema(
        RUN,
        WEIGHTS,
        *LAYER,
        (
            "structure",
            TEXT,
            "",
            "what is kept: the largest entries (Theorem 2), eigenvalues of the sample covariance (3) or columns (4)",
        ),
        ("kappa", REAL, "1", "share of terms that is kept"),
        P,
        ("alpha", REAL, "1", "the layer's tail index, as config key index has it; null without one"),
        ("measured", REAL, "1", "relative error of the layer"),
        ("simulated", REAL, "1", "mean over stable samples of the layer's shape and tail index; null without one"),
        ("simulated_low", REAL, "1", "least of them"),
        ("simulated_high", REAL, "1", "largest of them"),
    ),
    "compared": schema(
        _COMPARISON,
        RUN,
        *PANEL,
        ("x_name", TEXT, "", "column of table runs by which runs are compared"),
        ("x", REAL, "", "its value; null where it is a text"),
        ("x_text", TEXT, "", "its value as a text"),
        ("y_name", TEXT, "", "what is compared, in words"),
        ("y", REAL, "", "its value"),
        ("colour_name", TEXT, "", "column that gives points their colour; null without one"),
        ("colour", TEXT, "", "its value"),
        ("pair", TEXT, "", "what paired runs have in common"),
    ),
    "comparisons": schema(
        _COMPARISON,
        ("x_name", TEXT, "", "column of table runs by which runs are compared"),
        ("y_name", TEXT, "", "what is compared, in words"),
        ("colour_name", TEXT, "", "column whose values have rows of their own; null without one"),
        ("colour", TEXT, "", "its value; null for all of them together"),
        ("x_from", TEXT, "", "value of x from which the difference is taken: the first one that was measured"),
        ("x_to", TEXT, "", "value of x at which it is taken; null where all runs have the same"),
        ("pairs", COUNT, "pairs", "of converged runs that differ by x alone"),
        ("difference", REAL, "", "mean of y at the second value less y at the first; null without pairs"),
        ("low", REAL, "", "lower end of its 95% interval; null for a single pair"),
        ("high", REAL, "", "upper end"),
        ("p", REAL, "1", "two-sided, from changes of sign of the differences; null likewise"),
        ("missing", TEXT, "", "why pairs of the run table are missing, or why it has none; null if all are there"),
    ),
}
