"""Readers of checkpoint formats: what a file is by its first bytes, and its arrays. None runs what a file holds."""
