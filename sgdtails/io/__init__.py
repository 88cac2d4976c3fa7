"""Files: arrays, tables, archives, and whether they are what was written."""
