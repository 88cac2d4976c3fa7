"""Schemas of the tables of laws: those fitted to layers, and how layers of known laws are labelled."""

import pyarrow as pa

from sgdtails.schemas.run_schemas import COUNT, LAYER, REAL, RUN, TEXT, WEIGHTS, schema

FITTED = (
    (
        "observed",
        TEXT,
        "",
        "what the law is of: entries, or rows (kernels of a convolution) of which it is isotropic",
    ),
    (
        *("law", TEXT, ""),
        "entries: gaussian, laplace, uniform, generalised_normal, student_t, normal_inverse_gaussian, stable; rows: gaussian, "
        "multivariate_t, lognormal_scales (Gaussian rows of lognormal scale), elliptical_stable; null where there is none",
    ),
    ("observations", COUNT, "observations", "entries, or rows"),
    ("dimension", COUNT, "1", "numbers in an observation: 1 of entries"),
    (
        *("scale", REAL, "1"),
        "of the weights, by maximum likelihood: standard deviation of gaussian and of a row at the median of lognormal_scales, "
        "half-width of uniform, sigma of stable (ch.f. exp(-|sigma t|^alpha)), delta of normal_inverse_gaussian",
    ),
    ("scale_low", REAL, "1", "lower end of its 95% interval, if observations are independent"),
    ("scale_high", REAL, "1", "upper end"),
    (
        *("shape", REAL, "1"),
        "degrees of freedom of t, alpha of stable, power of generalised_normal, steepness alpha*delta of "
        "normal_inverse_gaussian, standard deviation of log scales of lognormal_scales; null for a law without",
    ),
    ("shape_low", REAL, "1", "lower end of its 95% interval, likewise"),
    ("shape_high", REAL, "1", "upper end; infinite where the likelihood has no other"),
    (
        *("tail_index", REAL, "1"),
        "that the law implies: degrees of freedom of t, alpha of stable, infinite for lighter tails",
    ),
    (
        "log_likelihood",
        REAL,
        "nat",
        "of the centred weights, per weight: laws of entries and of rows are comparable",
    ),
    ("bic", REAL, "nat", "-2 log likelihood + parameters * log(weights)"),
    (
        *("vuong_z", REAL, "1"),
        "Vuong's statistic against the stable law of the same observations, with Schwarz's penalty; positive: nearer than the "
        "stable law; null for that law and where both have the same densities",
    ),
    ("vuong_p", REAL, "1", "its two-sided p-value"),
    ("distance", REAL, "1", "Kolmogorov's, of the magnitudes of entries or norms of rows, from the law"),
)  # a law of one layer

SCHEMAS: dict[str, pa.Schema] = {
    "laws": schema(
        RUN,
        WEIGHTS,
        *LAYER,
        *FITTED,
        (
            "fit_p",
            REAL,
            "1",
            "p-value of that distance in a random part of the layer, by parametric bootstrap; null without replicates",
        ),
        ("fit_size", COUNT, "observations", "in that part"),
        (
            *("label", TEXT, ""),
            "of the layer: the law of the lowest BIC, or undecided between best and rival; generalised-normal and so on; null where "
            "there are no laws",
        ),
        ("best", TEXT, "", "the law of the lowest BIC, as label has it"),
        (
            "rival",
            TEXT,
            "",
            "the next best that does not contain it as a special or limiting case; of an undecided layer the best one that is too close",
        ),
        ("margin", REAL, "nat", "half the difference of both BIC, per weight"),
        ("reason", TEXT, "", "why there are no laws, or what was left out; else null"),
    ),
    "labels": schema(
        ("law", TEXT, "", "of the entries or rows of a simulated layer"),
        ("truth", TEXT, "", "the label that its layers should have"),
        ("observations", COUNT, "observations", "N, rows of the layer"),
        ("dimension", COUNT, "1", "d, numbers in a row"),
        ("label", TEXT, "", "as in table laws"),
        ("count", COUNT, "layers", "of this law and shape that have it"),
        ("layers", COUNT, "layers", "simulated"),
    ),
}
