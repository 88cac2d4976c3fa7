"""Heavy tails, pruning and SGD: the library behind the workflow. It never imports snakemake."""
