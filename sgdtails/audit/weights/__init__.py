"""What is a weight in a checkpoint: its numbers, however they are stored, and the layers that they are."""
