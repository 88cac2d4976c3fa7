"""Heavy tails, pruning and SGD: the library behind the workflow. It never imports snakemake."""

from sgdtails import image

image.isolate()  # before anything else is imported
