"""One module for each format: a frozen `Codec`, with the numbers that its checkpoints vary."""
