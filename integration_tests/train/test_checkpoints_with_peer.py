"""Random states and trainer states pass between our checkpoints and the peer's."""

import dataclasses
import random
from pathlib import Path

import numpy as np
import pytest
import torch

from hf_train.callbacks import EarlyStoppingCallback, TrainerControl, TrainerState
from hf_train.checkpoint import load_rng, restore_rng, save_rng

pytestmark = [pytest.mark.parity, pytest.mark.filterwarnings("ignore::DeprecationWarning")]


def numbers() -> list[float]:
    return [random.random(), float(np.random.rand()), float(torch.rand(()))]


def test_the_peers_random_states_are_restored(tmp_path: Path) -> None:
    # What the peer's Trainer writes: a NumPy array among plain values.
    torch.save(
        {
            "python": random.getstate(),
            "numpy": np.random.get_state(),
            "cpu": torch.random.get_rng_state(),
        },
        tmp_path / "rng_state.pth",
    )
    expected = numbers()
    restore_rng(load_rng(tmp_path))
    assert numbers() == expected


def test_our_random_states_are_restored_by_the_peer(tmp_path: Path) -> None:
    from transformers.trainer_pt_utils import safe_globals

    save_rng(tmp_path)
    expected = numbers()
    with safe_globals():
        state = torch.load(tmp_path / "rng_state.pth", weights_only=True)
    random.setstate(state["python"])
    np.random.set_state(state["numpy"])
    torch.random.set_rng_state(state["cpu"])
    assert numbers() == expected


def test_states_of_runs_are_the_same_file(tmp_path: Path) -> None:
    from transformers import EarlyStoppingCallback as PeerStopping
    from transformers import TrainerControl as PeerControl
    from transformers import TrainerState as PeerState

    fields = {
        "epoch": 1.5,
        "global_step": 30,
        "log_history": [{"loss": 1.25, "step": 10}],
        "best_metric": 0.5,
    }
    theirs = PeerState(**fields, stateful_callbacks=[PeerStopping(3, 0.25), PeerControl()])
    theirs.save_to_json(str(tmp_path / "theirs.json"))
    ours = TrainerState(**fields)  # type: ignore[arg-type]  # fields of several kinds
    ours.remember([EarlyStoppingCallback(3, 0.25), TrainerControl()])
    ours.save_to_json(tmp_path / "ours.json")
    assert (tmp_path / "ours.json").read_text().split() == (tmp_path / "theirs.json").read_text().split()
    assert TrainerState.load_from_json(tmp_path / "theirs.json") == ours
    assert dataclasses.asdict(PeerState.load_from_json(str(tmp_path / "ours.json"))) == dataclasses.asdict(
        theirs
    )
