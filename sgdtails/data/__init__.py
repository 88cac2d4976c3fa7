"""Datasets of images: where they come from, how they are stored, how batches get to a device."""
