"""Every figure, drawn from tables alone."""
