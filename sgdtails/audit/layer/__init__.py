"""One layer of a checkpoint: zeros and dead rows, tail indices, label, nulls, and what can go."""
