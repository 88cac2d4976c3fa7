"""Several checkpoints of one network: two compared, or a series."""
