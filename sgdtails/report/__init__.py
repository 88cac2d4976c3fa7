"""A study as a page, its status, and its tables for Python."""
