"""Files: arrays, tables, archives, and checks that they are still what was written."""
