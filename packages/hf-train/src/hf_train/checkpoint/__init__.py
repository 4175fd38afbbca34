"""Checkpoints that are whole or not there: written aside, listed with hashes, renamed in one step."""

from hf_train.checkpoint.errors import (
    CheckpointCorruptError,
    CheckpointError,
    CheckpointIncompleteError,
    CheckpointWriteError,
    RngStateError,
)
from hf_train.checkpoint.manifest import MANIFEST_NAME, Manifest, ManifestEntry, read_manifest, verify
from hf_train.checkpoint.rng import RngState, capture_rng, load_rng, restore_rng, rng_file, save_rng
from hf_train.checkpoint.store import (
    PREFIX,
    checkpoint_folder,
    checkpoints,
    commit_checkpoint,
    is_complete,
    last_complete,
    remove_checkpoint,
    rotate,
    step_of,
)
from hf_train.checkpoint.writer import AsyncWriter, snapshot

__all__ = [
    "MANIFEST_NAME",
    "PREFIX",
    "AsyncWriter",
    "CheckpointCorruptError",
    "CheckpointError",
    "CheckpointIncompleteError",
    "CheckpointWriteError",
    "Manifest",
    "ManifestEntry",
    "RngState",
    "RngStateError",
    "capture_rng",
    "checkpoint_folder",
    "checkpoints",
    "commit_checkpoint",
    "is_complete",
    "last_complete",
    "load_rng",
    "read_manifest",
    "remove_checkpoint",
    "restore_rng",
    "rng_file",
    "rotate",
    "save_rng",
    "snapshot",
    "step_of",
    "verify",
]
