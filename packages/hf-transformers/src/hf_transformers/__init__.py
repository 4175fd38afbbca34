"""Everything hf-*: one import, the hft command and the demo."""
