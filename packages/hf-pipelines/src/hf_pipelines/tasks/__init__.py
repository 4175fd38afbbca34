"""One file per task: its options, its three steps, and its pipeline."""
