"""Estimators of the tail index of a univariate sample: of extreme values, and for stable laws."""
