"""Columns, units and meanings of every table. Needs pyarrow alone."""
