"""One module for each family: the fields of its config.json, with their types and defaults."""
