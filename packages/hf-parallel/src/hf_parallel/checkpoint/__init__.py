"""Training checkpoints in torch's distributed format (DCP): written by all ranks, read back on any other layout."""

from hf_parallel.checkpoint.background import BackgroundSaver
from hf_parallel.checkpoint.export import export_checkpoint
from hf_parallel.checkpoint.load import load_checkpoint
from hf_parallel.checkpoint.manifest import Manifest
from hf_parallel.checkpoint.save import save_checkpoint

__all__ = ["BackgroundSaver", "Manifest", "export_checkpoint", "load_checkpoint", "save_checkpoint"]
