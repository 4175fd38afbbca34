"""A process killed at any moment leaves the old files or the new ones, never a mixture."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from hf_hub_io import (
    AtomicDirectory,
    DType,
    MappedFile,
    Repo,
    TensorBytes,
    atomic_open,
    atomic_write_bytes,
    atomic_write_text,
    discover,
    save_tensors,
)

# The child counts every change it makes to the file system and dies right before the one it was told.
# Renames by the C library (the exchange of two folders) are counted where the library is called.
CHILD = """
import os, signal, sys
import hf_hub_io.directory as directory
from hf_hub_io import AtomicDirectory, DType, TensorBytes, atomic_write_text, save_tensors, write_shards

target, die_at, exchange = sys.argv[1], int(sys.argv[2]), sys.argv[3] == "exchange"
count = 0
WRITES = {"open", "os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.link", "shutil.rmtree", "die"}

def hook(event, args):
    global count
    if event not in WRITES or (event == "open" and not (args[2] or 0) & (os.O_WRONLY | os.O_RDWR)):
        return
    count += 1
    if count == die_at:
        os.kill(os.getpid(), signal.SIGKILL)

native = directory._exchange_names
directory._exchange_names = lambda a, b: (hook("die", ()), exchange and native(a, b), hook("die", ()))[1]

def data(value):
    hook("die", ())
    return bytes([value]) * 5000

new = {f"w{i}": TensorBytes(dtype=DType.U8, shape=(5000,), data=lambda: data(2)) for i in range(3)}
sys.addaudithook(hook)
with AtomicDirectory(target, replaces=("model*",)) as stage:
    write_shards(stage, new, max_shard_size=6000)
    atomic_write_text(stage / "config.json", "new")
print(count)
"""


def run_child(target: Path, die_at: int, mode: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", CHILD, str(target), str(die_at), mode]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def old_checkpoint(target: Path) -> None:
    tensors = {f"w{i}": TensorBytes(dtype=DType.U8, shape=(5000,), data=b"\x01" * 5000) for i in range(4)}
    save_tensors(target, tensors, max_shard_size=6000)
    (target / "config.json").write_text("old")
    (target / "tokenizer.json").write_text("kept")


def state(target: Path) -> str:
    """Which complete checkpoint the folder holds; fails on anything else."""
    config = (target / "config.json").read_text()
    checkpoint = discover(Repo.open(target))
    values = {bytes(MappedFile.open(t.file).view(name)) for name, t in checkpoint.tensors.items()}
    expected = {"old": (4, b"\x01"), "new": (3, b"\x02")}[config]
    assert (len(checkpoint.tensors), values) == (expected[0], {expected[1] * 5000})
    assert len(list(target.glob("model-*"))) == expected[0], "shards of both saves"
    return config


@pytest.mark.parametrize("mode", ["exchange", "two renames"])
def test_killed_at_every_write_over_an_old_checkpoint(mode: str, tmp_path: Path) -> None:
    reference = tmp_path / "reference" / "out"
    old_checkpoint(reference)
    done = run_child(reference, 0, mode)
    assert done.returncode == 0, done.stderr
    total = int(done.stdout)
    assert total > 20, "the child counts its writes"
    seen = []
    for die_at in range(1, total + 1):
        target = tmp_path / str(die_at) / "out"
        old_checkpoint(target)
        assert run_child(target, die_at, mode).returncode == -9
        if not target.exists():  # only in the instant between two renames
            assert mode == "two renames"
            with pytest.raises(RuntimeError, match="enough"), AtomicDirectory(target):
                raise RuntimeError("enough")  # a failed save heals the folder all the same
            assert state(target) == "old"
        seen.append(state(target))
        assert (target / "tokenizer.json").read_text() == "kept"
        with AtomicDirectory(target) as stage:  # the next save works, and clears away what the dead one left
            (stage / "extra").write_text("x")
        assert [path.name for path in target.parent.iterdir()] == ["out"]
    assert seen == sorted(seen, reverse=True), "old until one moment, new from then on"
    assert {"old", "new"} == set(seen)


def test_killed_at_every_write_of_a_first_save(tmp_path: Path) -> None:
    done = run_child(tmp_path / "reference" / "out", 0, "exchange")
    total = int(done.stdout)
    for die_at in range(1, total + 1):
        target = tmp_path / str(die_at) / "out"
        assert run_child(target, die_at, "exchange").returncode == -9
        if target.exists():
            assert state(target) == "new"
        save_tensors(target, {"x": TensorBytes(dtype=DType.U8, shape=(1,), data=b"x")})
        assert [path.name for path in target.parent.iterdir()] == ["out"]


def test_a_failing_block_changes_nothing(tmp_path: Path) -> None:
    target = tmp_path / "out"

    def fail() -> None:
        with AtomicDirectory(target) as stage:
            (stage / "a").write_text("new")
            raise RuntimeError("no space left")

    with pytest.raises(RuntimeError, match="no space left"):
        fail()
    assert list(tmp_path.iterdir()) == []
    target.mkdir()
    (target / "a").write_text("old")
    with pytest.raises(RuntimeError, match="no space left"):
        fail()
    assert (target / "a").read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_a_file_in_the_way_is_refused(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("x")
    with pytest.raises(FileExistsError), AtomicDirectory(tmp_path / "out"):
        pass
    assert (tmp_path / "out").read_text() == "x"


def test_a_linked_target_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "out").symlink_to("real")
    with AtomicDirectory(tmp_path / "out") as stage:
        (stage / "a").write_text("x")
    assert (tmp_path / "out").is_symlink()
    assert (tmp_path / "real" / "a").read_text() == "x"


def test_files_that_appear_during_the_commit_are_not_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "out"
    target.mkdir()
    from hf_hub_io import directory

    exchange = directory._exchange

    def slow_exchange(stage: Path, into: Path) -> None:
        (target / "late.txt").write_text("from another process")
        exchange(stage, into)

    monkeypatch.setattr(directory, "_exchange", slow_exchange)
    with AtomicDirectory(target) as stage:
        (stage / "a").write_text("x")
    assert (target / "late.txt").read_text() == "from another process"


def test_two_first_saves_at_once_both_succeed(tmp_path: Path) -> None:
    target = tmp_path / "out"
    with AtomicDirectory(target) as slow:
        (slow / "slow").write_text("x")
        with AtomicDirectory(target) as fast:
            (fast / "fast").write_text("x")
    assert sorted(path.name for path in target.iterdir()) == ["fast", "slow"]


def test_losing_the_race_for_a_free_name_is_not_an_error(tmp_path: Path) -> None:
    from hf_hub_io.directory import _take_free_name

    for name in ("stage", "target"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text(name)
    assert not _take_free_name(tmp_path / "stage", tmp_path / "target")
    assert (tmp_path / "target" / "file").read_text() == "target"


def test_many_savers_of_one_folder_leave_one_whole_save(tmp_path: Path) -> None:
    target = tmp_path / "out"

    def save(value: int) -> None:
        for _ in range(10):
            tensors = {
                f"w{i}": TensorBytes(dtype=DType.U8, shape=(9,), data=bytes([value]) * 9) for i in range(3)
            }
            save_tensors(target, tensors, max_shard_size=10)

    threads = [threading.Thread(target=save, args=(value,)) for value in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    checkpoint = discover(Repo.open(target))
    values = {bytes(MappedFile.open(info.file).view(name)) for name, info in checkpoint.tensors.items()}
    assert len(values) == 1
    assert list(tmp_path.iterdir()) == [target]


def test_a_failed_write_leaves_the_old_file_and_no_litter(tmp_path: Path) -> None:
    path = tmp_path / "a"
    atomic_write_text(path, "old")

    def fail() -> None:
        with atomic_open(path) as file:
            file.write(b"half")
            raise RuntimeError("no space left")

    with pytest.raises(RuntimeError, match="no space left"):
        fail()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_reader_never_sees_a_part(tmp_path: Path) -> None:
    path = tmp_path / "a"
    contents = [bytes([value]) * 100_000 for value in (1, 2)]
    atomic_write_bytes(path, contents[0])
    stop = threading.Event()

    def write() -> None:
        while not stop.is_set():
            for content in contents:
                atomic_write_bytes(path, content)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        assert all(path.read_bytes() in contents for _ in range(200))
    finally:
        stop.set()
        writer.join()


@pytest.mark.skipif(os.name == "nt", reason="permissions are POSIX")
def test_files_get_the_usual_permissions(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        atomic_write_text(tmp_path / "a", "x")
    finally:
        os.umask(before)
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o640


@pytest.mark.parametrize("name", ["x" * 255, "é" * 127, "[a]*", ".hidden"])
def test_long_and_odd_names(name: str, tmp_path: Path) -> None:
    atomic_write_text(tmp_path / "files" / name, "x")
    assert (tmp_path / "files" / name).read_text() == "x"
    for _ in range(2):
        with AtomicDirectory(tmp_path / "folders" / name) as stage:
            (stage / "f").write_text("x")
    assert [path.name for path in (tmp_path / "folders").iterdir()] == [name]
