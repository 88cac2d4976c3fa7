"""What a result depends on: digests of code that follow results, not wording."""
