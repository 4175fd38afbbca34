"""From the files of a repository to an engine and its settings."""
