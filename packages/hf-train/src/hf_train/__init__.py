"""A Trainer whose numbers can be trusted."""
