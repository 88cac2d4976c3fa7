"""Images: where they come from, and how batches of them reach a device."""
