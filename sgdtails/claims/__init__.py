"""What is claimed, the evidence in a study's tables, and verdicts."""
