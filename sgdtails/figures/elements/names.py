"""Names of estimators and of tail indices as figures write them."""

from sgdtails.tail_index.network_index import Index

_ESTIMATORS = {
    "mmo_multivariate": "block sums of rows",
    "mmo_univariate": "block sums of entries",
    "hill": "Hill",
    "pickands": "Pickands",
    "moment": "Dekkers\u2013Einmahl\u2013de Haan",
    "de_haan_resnick": "de Haan\u2013Resnick",
    "paulauskas": "Paulauskas\u2013Vaičiulis",
    "log_moment": "log moments",
    "characteristic_function": "Koutrouvelis",
    "quantiles": "McCulloch",
    "published_univariate": "published, entries",
    "published_mean_centred": "published, mean-centred",
    "published_uncentred": "published, not centred",
    "published_hill": "published Hill",
    "published_pickands": "published Pickands",
    "published_dekkers": "published Dekkers\u2013Einmahl\u2013de Haan",
    "published_dehaan1998": "published de Haan 1998",
    "published_paulauskas": "published Paulauskas",
    "spectrum": "spectrum (WeightWatcher)",
}


def estimator(name: str) -> str:
    """Return the proper name of an estimator; one of the user's own keeps its name.

    Parameters
    ----------
    name : str
        As in column ``estimator``.

    Returns
    -------
    str
        Its name in legends and on axes.

    Examples
    --------
    >>> estimator("quantiles"), estimator("my_own")
    ('McCulloch', 'my own')
    """
    return _ESTIMATORS.get(name, name.replace("_", " "))


def axis(index: Index) -> str:
    r"""Label an axis on which networks lie by their tail index.

    Parameters
    ----------
    index : Index
        The definition of the index.

    Returns
    -------
    str
        Its label, with the proper name of an estimator other than the paper's.

    Examples
    --------
    >>> print(axis(Index(estimator="quantiles", value="alpha", layers="median")))
    median tail index $\hat\alpha$ (McCulloch)
    """
    # Index writes the name of the column. Its module is part of what tables depend on, so names of figures are not there.
    return index.axis.replace(f"({index.estimator})", f"({estimator(index.estimator)})")
