"""Checkpoint folders: whole or not there, found again, rotated, verified."""

import json
import os
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from hf_train.callbacks import TrainerState
from hf_train.checkpoint import (
    MANIFEST_NAME,
    CheckpointCorruptError,
    CheckpointError,
    CheckpointIncompleteError,
    CheckpointWriteError,
    checkpoint_folder,
    checkpoints,
    commit_checkpoint,
    is_complete,
    last_complete,
    rotate,
    step_of,
    verify,
)

KILL_POINTS = 60


def write(folder: Path, step: int) -> None:
    """A small checkpoint: weights, a state, a nested file."""
    save_file({"weight": torch.full((4, 4), float(step))}, folder / "model.safetensors")
    TrainerState(global_step=step, max_steps=100).save_to_json(folder / "trainer_state.json")
    (folder / "deep").mkdir()
    torch.save({"step": step}, folder / "deep" / "optimizer.pt")


def save(output_dir: Path, step: int) -> Path:
    folder = checkpoint_folder(output_dir, step)
    with commit_checkpoint(folder) as stage:
        write(stage, step)
    return folder


def test_a_checkpoint_appears_whole(tmp_path: Path) -> None:
    folder = checkpoint_folder(tmp_path, 500)
    with commit_checkpoint(folder) as stage:
        write(stage, 500)
        assert not folder.exists()
        assert last_complete(tmp_path) is None
    manifest = verify(folder)
    assert set(manifest.files) == {"model.safetensors", "trainer_state.json", "deep/optimizer.pt"}
    assert manifest.nbytes == sum((folder / name).stat().st_size for name in manifest.files)
    assert last_complete(tmp_path) == folder
    assert step_of(folder) == 500
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint-500"]


def test_a_failure_leaves_what_was_there(tmp_path: Path) -> None:
    folder = save(tmp_path, 10)

    def fail() -> None:
        with commit_checkpoint(folder) as stage:
            (stage / "model.safetensors").write_bytes(b"half")
            raise KeyError("the model cannot be written")

    with pytest.raises(KeyError):
        fail()
    verify(folder)
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint-10"]


def test_saving_a_step_again_replaces_all_of_it(tmp_path: Path) -> None:
    folder = save(tmp_path, 10)
    with commit_checkpoint(folder) as stage:
        (stage / "only").write_text("this")
    assert sorted(path.name for path in folder.iterdir()) == [MANIFEST_NAME, "only"]
    verify(folder)


def test_a_full_disk_is_said_so_and_harms_nothing(tmp_path: Path) -> None:
    save(tmp_path, 10)
    with (
        pytest.raises(CheckpointWriteError, match="No space left") as caught,
        commit_checkpoint(checkpoint_folder(tmp_path, 20)),
    ):
        raise OSError(28, "No space left on device")
    assert "save_total_limit" in str(caught.value)
    assert isinstance(caught.value, OSError)
    assert last_complete(tmp_path) == checkpoint_folder(tmp_path, 10)


def killed_while_saving(tmp_path: Path, point: int) -> bool:
    """Save step 20 in a child that is killed at a line of the saving code; whether it was killed."""
    child = os.fork()
    if child == 0:
        seen = 0

        def line(frame: FrameType, event: str, argument: Any) -> Callable[..., Any] | None:
            nonlocal seen
            name = frame.f_code.co_filename
            if "hf_train" not in name and "hf_hub_io" not in name and __file__ != name:
                return None
            seen += 1
            if seen == point:
                os.kill(os.getpid(), signal.SIGKILL)
            return line

        sys.settrace(line)
        save(tmp_path, 20)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    return os.WIFSIGNALED(status)


def lines_of_saving(tmp_path: Path) -> int:
    seen = 0

    def line(frame: FrameType, event: str, argument: Any) -> Callable[..., Any] | None:
        nonlocal seen
        name = frame.f_code.co_filename
        if "hf_train" not in name and "hf_hub_io" not in name and __file__ != name:
            return None
        seen += 1
        return line

    before = sys.gettrace()
    sys.settrace(line)
    try:
        save(tmp_path, 20)
    finally:
        sys.settrace(before)
    return seen


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the child is a fork")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_killed_at_any_line_the_last_complete_checkpoint_is_found(tmp_path: Path) -> None:
    save(tmp_path / "kept", 10)
    total = lines_of_saving(tmp_path / "counted")
    assert total > 5 * KILL_POINTS
    outcomes = set()
    for number in range(KILL_POINTS):
        output_dir = tmp_path / str(number)
        shutil.copytree(tmp_path / "kept", output_dir)
        assert killed_while_saving(output_dir, 1 + number * (total - 1) // KILL_POINTS)
        found = last_complete(output_dir)
        assert found is not None
        verify(found)
        outcomes.add(step_of(found))
        assert TrainerState.load_from_json(found / "trainer_state.json").global_step == step_of(found)
        # Going on from there needs no clean-up: the same step is saved again, and nothing is left behind.
        assert last_complete(output_dir) == found
        save(output_dir, 20)
        assert step_of(last_complete(output_dir) or Path()) == 20
        assert sorted(path.name for path in output_dir.iterdir()) == ["checkpoint-10", "checkpoint-20"]
    assert 10 in outcomes


def test_what_is_not_complete_is_passed_over(tmp_path: Path) -> None:
    first, second, third = (save(tmp_path, step) for step in (5, 10, 20))
    (third / "deep" / "optimizer.pt").unlink()
    assert last_complete(tmp_path) == second
    (second / MANIFEST_NAME).unlink()
    (second / "model.safetensors").unlink()
    assert last_complete(tmp_path) == first
    (tmp_path / "checkpoint-30").mkdir()
    (tmp_path / "checkpoint-40").write_text("a file")
    (tmp_path / "checkpoint-best").mkdir()
    assert last_complete(tmp_path) == first
    assert [step for step, _ in checkpoints(tmp_path)] == [5, 10, 20, 30]
    assert last_complete(tmp_path / "nowhere") is None


def test_the_peers_folder_counts_if_it_came_to_its_end(tmp_path: Path) -> None:
    folder = tmp_path / "checkpoint-7"
    folder.mkdir()
    save_file({"weight": torch.ones(4)}, folder / "model.safetensors")
    assert not is_complete(folder), "the state is written last"
    TrainerState(global_step=7).save_to_json(folder / "trainer_state.json")
    assert is_complete(folder)
    (folder / "checkpoint-is-incomplete.txt").write_text("")
    assert not is_complete(folder)
    (folder / "checkpoint-is-incomplete.txt").unlink()
    os.truncate(folder / "model.safetensors", 90)
    assert not is_complete(folder)


@pytest.mark.parametrize("name", ["model.safetensors", "deep/optimizer.pt", "trainer_state.json"])
def test_one_changed_byte_is_named(tmp_path: Path, name: str) -> None:
    folder = save(tmp_path, 10)
    content = bytearray((folder / name).read_bytes())
    content[-1] ^= 1
    (folder / name).write_bytes(content)
    verify(folder, hashes=False)
    with pytest.raises(CheckpointCorruptError, match=name):
        verify(folder)


def test_a_short_and_a_missing_file_are_named(tmp_path: Path) -> None:
    folder = save(tmp_path, 10)
    os.truncate(folder / "model.safetensors", 10)
    with pytest.raises(CheckpointCorruptError, match=r"model\.safetensors has 10 bytes"):
        verify(folder, hashes=False)
    (folder / "model.safetensors").unlink()
    with pytest.raises(CheckpointIncompleteError, match=r"lacks model\.safetensors"):
        verify(folder)
    (folder / MANIFEST_NAME).unlink()
    with pytest.raises(CheckpointIncompleteError, match="never completed"):
        verify(folder)


@pytest.mark.parametrize(
    "content", ["", "[]", "{}", '{"format": 2, "files": {}}', '{"format": 1, "files": {"a": 3}}']
)
def test_a_broken_manifest_is_an_error_of_its_own(tmp_path: Path, content: str) -> None:
    folder = save(tmp_path, 10)
    (folder / MANIFEST_NAME).write_text(content)
    with pytest.raises(CheckpointCorruptError):
        verify(folder)
    assert last_complete(tmp_path) is None


def test_rotation_keeps_the_newest_and_the_best(tmp_path: Path) -> None:
    folders = {step: save(tmp_path, step) for step in (5, 10, 15, 20, 100)}
    assert rotate(tmp_path, None) == []
    assert rotate(tmp_path, 3, best=folders[10]) == [folders[5], folders[15]]
    assert [step for step, _ in checkpoints(tmp_path)] == [10, 20, 100]
    assert rotate(tmp_path, 1, best=str(folders[10])) == [folders[20]]
    assert rotate(tmp_path, 1) == [folders[10]]
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint-100"]


def test_rotation_never_removes_the_last_complete_one(tmp_path: Path) -> None:
    complete = save(tmp_path, 10)
    (tmp_path / "checkpoint-20").mkdir()
    rotate(tmp_path, 1)
    assert last_complete(tmp_path) == complete


def test_an_interrupted_removal_is_finished_by_the_next(tmp_path: Path) -> None:
    save(tmp_path, 10)
    (tmp_path / ".trash-checkpoint-5-abcd").mkdir()
    rotate(tmp_path, 5)
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint-10"]


def test_a_folder_without_a_step_is_refused() -> None:
    with pytest.raises(CheckpointError, match="is not called"):
        step_of("somewhere/best")


def test_manifest_is_plain_json(tmp_path: Path) -> None:
    content = json.loads((save(tmp_path, 10) / MANIFEST_NAME).read_text())
    assert content["format"] == 1
    assert set(content["files"]["deep/optimizer.pt"]) == {"size", "sha256"}
