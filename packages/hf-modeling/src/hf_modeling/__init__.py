"""Models as typed specs: build, load, run and generate from Hugging Face checkpoints."""
