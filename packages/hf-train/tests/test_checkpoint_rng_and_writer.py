"""Random generators go on as if nothing had happened; the background writer never loses an error."""

import random
import threading
from pathlib import Path

import numpy as np
import pytest
import torch

from hf_train.checkpoint import (
    AsyncWriter,
    RngState,
    RngStateError,
    capture_rng,
    checkpoint_folder,
    is_complete,
    last_complete,
    load_rng,
    restore_rng,
    save_rng,
    snapshot,
)


def numbers() -> list[float]:
    return [
        random.random(),
        float(np.random.rand()),
        float(torch.rand(())),
        random.gauss(),
        float(np.random.randn()),
    ]


def test_generators_continue_where_they_were(tmp_path: Path) -> None:
    numbers()
    save_rng(tmp_path)
    state = capture_rng()
    expected = numbers()
    restore_rng(state)
    assert numbers() == expected
    restore_rng(load_rng(tmp_path))
    assert numbers() == expected


def test_each_process_has_a_file_of_its_own(tmp_path: Path) -> None:
    save_rng(tmp_path, rank=1, world_size=2)
    assert [path.name for path in tmp_path.iterdir()] == ["rng_state_1.pth"]
    load_rng(tmp_path, rank=1, world_size=2)
    with pytest.raises(RngStateError, match=r"no rng_state_0\.pth \(there: rng_state_1\.pth\)"):
        load_rng(tmp_path, rank=0, world_size=2)


def test_a_state_that_does_not_fit_changes_nothing(tmp_path: Path) -> None:
    before = capture_rng()
    broken: RngState = {"cpu": before["cpu"]}
    with pytest.raises(RngStateError, match="incomplete"):
        restore_rng(broken)
    assert torch.equal(torch.random.get_rng_state(), before["cpu"])
    torch.save([1], tmp_path / "rng_state.pth")
    with pytest.raises(RngStateError, match="holds a list"):
        load_rng(tmp_path)
    (tmp_path / "rng_state.pth").write_bytes(b"noise")
    with pytest.raises(RngStateError, match="cannot be read"):
        load_rng(tmp_path)


def test_the_writer_goes_on_while_the_caller_does(tmp_path: Path) -> None:
    started, go_on = threading.Event(), threading.Event()
    done: list[str] = []

    def write(stage: Path) -> None:
        started.set()
        assert go_on.wait(10)
        (stage / "weights").write_text("all")

    folder = checkpoint_folder(tmp_path, 10)
    with AsyncWriter() as writer:
        writer.submit(folder, write, after=lambda: done.append("rotated"))
        assert started.wait(10)
        assert writer.busy
        assert last_complete(tmp_path) is None
        go_on.set()
    assert is_complete(folder)
    assert done == ["rotated"]
    assert not writer.busy


def test_an_error_of_the_writer_reaches_the_caller_once(tmp_path: Path) -> None:
    def fail(stage: Path) -> None:
        raise ValueError("the optimizer cannot be written")

    writer = AsyncWriter()
    writer.submit(checkpoint_folder(tmp_path, 10), fail)
    with pytest.raises(ValueError, match="cannot be written"):
        writer.submit(checkpoint_folder(tmp_path, 20), lambda stage: None)
    writer.wait()
    assert list(tmp_path.iterdir()) == []


def test_an_error_under_way_is_not_hidden_by_the_writers(tmp_path: Path) -> None:
    def fail(stage: Path) -> None:
        raise ValueError("second")

    def run() -> None:
        with AsyncWriter() as writer:
            writer.submit(checkpoint_folder(tmp_path, 10), fail)
            raise KeyError("first")

    with pytest.raises(KeyError, match="first"):
        run()


def test_a_snapshot_is_not_touched_by_what_comes_after() -> None:
    weight = torch.nn.Parameter(torch.ones(3, 4))
    values = {
        "model": {"a": weight, "tied": weight, "view": weight.detach()[1:, ::2]},
        "step": 3,
        "rest": [weight],
    }
    copy = snapshot(values)
    with torch.no_grad():
        weight.add_(1)
    model = copy["model"]
    assert isinstance(model, dict)
    assert torch.equal(model["a"], torch.ones(3, 4))
    assert torch.equal(model["view"], torch.ones(2, 2))
    assert model["a"].untyped_storage().data_ptr() == model["tied"].untyped_storage().data_ptr()
    assert model["a"].untyped_storage().data_ptr() != weight.untyped_storage().data_ptr()
    assert isinstance(model["a"], torch.nn.Parameter)
    assert copy["step"] == 3


def test_copies_of_the_writer_use_the_same_memory_again(tmp_path: Path) -> None:
    weight = torch.ones(64, 64)
    with AsyncWriter() as writer:
        first = writer.copy({"weight": weight, "bias": torch.zeros(3)})
        place = first["weight"].data_ptr()
        writer.submit(checkpoint_folder(tmp_path, 1), lambda stage: torch.save(first, stage / "state.pt"))
        weight.add_(1)
        second = writer.copy({"weight": weight, "bias": torch.ones(3)})
        assert second["weight"].data_ptr() == place
        assert second["weight"].mean() == 2
        assert second["bias"].tolist() == [1, 1, 1]
    saved = torch.load(checkpoint_folder(tmp_path, 1) / "state.pt", weights_only=True)
    assert saved["weight"].mean() == 1, "what was submitted was written before its memory was used again"
