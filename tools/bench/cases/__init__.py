"""One module per subject, each with a tuple `CASES`; `python -m tools.bench --list` names them."""
