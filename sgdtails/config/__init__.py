"""The config and the run table: read and checked while the Snakefile is parsed, without numpy and torch."""
