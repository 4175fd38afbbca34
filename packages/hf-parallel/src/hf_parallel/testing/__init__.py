"""Processes that stay up between tests, and models small enough to be compared on them."""
