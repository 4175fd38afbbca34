"""The random generators of a process, saved and put back: Python, NumPy, PyTorch on CPU and accelerators."""

from __future__ import annotations

import random
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypedDict, cast

import torch
from torch import Tensor

from hf_train.checkpoint.errors import RngStateError

RNG_NAME = "rng_state.pth"


class RngState(TypedDict, total=False):
    """States by generator, as `rng_state.pth` holds them here and in the peer.

    python: what `random.getstate` gives. numpy: the legacy global generator, absent if NumPy is not in use.
    cpu: uint8. cuda: uint8 for each device. Plain lists and tensors only, so reading needs no pickle.
    """

    python: tuple[int, tuple[int, ...], float | None]
    numpy: tuple[str, Sequence[int], int, int, float]
    cpu: Tensor
    cuda: list[Tensor] | Tensor


def rng_file(rank: int = 0, world_size: int = 1) -> str:
    """The name of the file for one of `world_size` processes."""
    return RNG_NAME if world_size <= 1 else f"rng_state_{rank}.pth"


def capture_rng() -> RngState:
    """The state of every generator of this process."""
    state: RngState = {
        "python": cast("tuple[int, tuple[int, ...], float | None]", random.getstate()),
        "cpu": torch.random.get_rng_state(),
    }
    if "numpy" in sys.modules:
        import numpy as np

        kind, keys, position, has_gauss, gauss = np.random.get_state(legacy=True)
        state["numpy"] = (str(kind), np.asarray(keys).tolist(), int(position), int(has_gauss), float(gauss))
    if torch.cuda.is_available():
        state["cuda"] = torch.cuda.get_rng_state_all()
    return state


def restore_rng(state: RngState) -> None:
    """Put every generator back, so that the next numbers are those that would have come.

    Raises:
        RngStateError: a state is missing or was taken from other devices. Then nothing has been changed.
    """
    if "python" not in state or "cpu" not in state:
        raise RngStateError(
            f"the states of the random generators are incomplete: there are {', '.join(state) or 'none'}",
            fix="resume from another checkpoint",
        )
    devices = torch.cuda.device_count()
    cuda = state.get("cuda")
    # A process of the peer's distributed runs saves its own device alone.
    states = [cuda] if isinstance(cuda, Tensor) else cuda
    if devices and states is not None and len(states) not in (1, devices):
        raise RngStateError(
            f"the checkpoint has generator states of {len(states)} CUDA devices, and this process sees {devices}",
            fix="resume with as many devices visible, for example by CUDA_VISIBLE_DEVICES",
        )
    version, internal, gauss = state["python"]
    random.setstate((version, tuple(internal), gauss))
    torch.random.set_rng_state(state["cpu"])
    if "numpy" in state:
        import numpy as np

        kind, keys, position, has_gauss, spare = state["numpy"]
        np.random.set_state((kind, np.asarray(keys, dtype=np.uint32), position, has_gauss, spare))
    if devices and states is not None:
        if len(states) == devices:
            torch.cuda.set_rng_state_all(states)
        else:
            torch.cuda.set_rng_state(states[0])


def save_rng(folder: Path, *, rank: int = 0, world_size: int = 1) -> None:
    """Write this process's states into a checkpoint under the name the peer reads."""
    torch.save(capture_rng(), folder / rng_file(rank, world_size))


def load_rng(folder: Path, *, rank: int = 0, world_size: int = 1) -> RngState:
    """The states this process saved into a checkpoint, ours or the peer's.

    Raises:
        RngStateError: there is no such file (the number of processes changed, say), or it holds something else.
    """
    path = folder / rng_file(rank, world_size)
    try:
        with torch.serialization.safe_globals(_numpy_globals()):
            loaded = torch.load(path, weights_only=True, map_location="cpu")
    except FileNotFoundError:
        present = ", ".join(sorted(other.name for other in folder.glob("rng_state*.pth"))) or "none"
        raise RngStateError(
            f"{folder} has no {path.name} (there: {present})",
            fix="resume with the number of processes that saved it",
            folder=folder,
        ) from None
    except Exception as error:
        raise RngStateError(f"{path} cannot be read: {error}", folder=folder) from error
    if not isinstance(loaded, dict):
        raise RngStateError(f"{path} holds a {type(loaded).__name__}, not states", folder=folder)
    return cast("RngState", loaded)


def _numpy_globals() -> list[Callable[..., Any] | tuple[Callable[..., Any], str]]:
    """What the peer's file, which holds a NumPy array, needs to be read; only data can come of these."""
    try:
        import numpy as np
        from numpy._core.multiarray import _reconstruct
    except ImportError:
        return []
    old_name = (_reconstruct, "numpy.core.multiarray._reconstruct")
    return [_reconstruct, old_name, np.ndarray, np.dtype, np.dtypes.UInt32DType]
