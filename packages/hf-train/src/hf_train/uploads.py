"""Checkpoints on the Hub: uploaded while training goes on, one at a time."""

from __future__ import annotations

import logging
import threading
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Final, final

from hf_hub_io.errors import HfError
from hf_hub_io.push import push_to_hub

if TYPE_CHECKING:
    from hf_train.arguments import TrainingArguments

logger = logging.getLogger(__name__)
TRAINING_STATE: Final = (
    "optimizer.pt",
    "scheduler.pt",
    "scaler.pt",
    "rng_state*",
    "data_state.pt",
    "progress.json",
    "ema.pt",
    "checkpoint_manifest.json",
)
"""What a checkpoint holds beside the model."""


@final
class Uploads:
    """Sends folders to one repository, in a thread; an upload that is due while another goes on is left out.

    With `hub_always_push` it waits for the other instead. An error of an upload is logged, and raised by `finish`:
    training does not end because a network does.
    """

    def __init__(self, args: TrainingArguments) -> None:
        self.args = args
        self.repo = args.hub_model_id or Path(args.output_dir).absolute().name
        self._thread: threading.Thread | None = None
        self._error: HfError | None = None

    def checkpoint(self, folder: Path, step: int) -> None:
        """Send what the strategy says of a checkpoint that was just saved."""
        strategy = self.args.hub_strategy
        if strategy == "end":
            return
        whole = strategy in ("checkpoint", "all_checkpoints")
        where = {"checkpoint": "last-checkpoint", "all_checkpoints": folder.name}.get(strategy, "")
        if self._thread is not None and self._thread.is_alive():
            if not self.args.hub_always_push:
                logger.info("step %d is not uploaded: the last upload still goes on", step)
                return
            self._thread.join()
        ignored = () if whole else TRAINING_STATE
        self._thread = threading.Thread(
            target=self._send, args=(folder, f"Training in progress, step {step}", where, ignored)
        )
        self._thread.start()

    def end(self, folder: Path, message: str) -> None:
        """Send the output folder's own files, and wait for it."""
        self.finish()
        self._send(folder, message, "", (*TRAINING_STATE, "checkpoint-*/*", ".*"))
        self.finish()

    def finish(self) -> None:
        """Wait for the upload under way; raise what went wrong with it."""
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        error, self._error = self._error, None
        if error is not None:
            raise error

    def _send(self, folder: Path, message: str, where: str, ignored: tuple[str, ...]) -> None:
        try:
            push_to_hub(
                folder,
                self.repo,
                private=self.args.hub_private_repo,
                revision=self.args.hub_revision,
                token=self.args.hub_token,
                commit_message=message,
                path_in_repo=where,
                patterns=[name for name in _names(folder) if not any(fnmatchcase(name, p) for p in ignored)],
            )
        except HfError as error:
            logger.warning("the upload of %s failed: %s", folder.name, error.what)
            self._error = error


def _names(folder: Path) -> list[str]:
    return [path.relative_to(folder).as_posix() for path in sorted(folder.rglob("*")) if path.is_file()]
