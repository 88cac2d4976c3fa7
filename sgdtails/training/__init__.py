"""Training to the stop rule, ergodic averages, checkpoints."""
