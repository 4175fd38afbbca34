"""The one-line commands of this repository; `python -m tools.NAME --help` says what each does."""
