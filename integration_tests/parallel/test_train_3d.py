"""The worked example: eight processes train and save, four go on alike, and the peer loads what is exported."""

import importlib.util
import shutil
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from hf_modeling import LlamaForCausalLM
from hf_parallel import ParallelSpec
from hf_parallel.testing.pool import Pool
from hf_transformers.cli import app

EXAMPLE = Path(__file__).parents[2] / "examples" / "train_3d.py"


@pytest.fixture(scope="module")
def pool() -> Iterator[Pool]:
    made = Pool(8)
    yield made
    made.close()


def train(layout: str, out: str, steps: int) -> dict[int, float]:
    spec = importlib.util.spec_from_file_location("train_3d", EXAMPLE)
    assert spec is not None
    assert spec.loader is not None
    example = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(example)
    losses: dict[int, float] = example.train(ParallelSpec.parse(layout), Path(out), steps=steps)
    return losses


@pytest.mark.parity
def test_train_on_eight_resume_on_four_and_export(pool: Pool, tmp_path: Path) -> None:
    out, copy, exported = tmp_path / "out", tmp_path / "copy", tmp_path / "exported"
    first = pool.run(train, 8, "tp=2,dp_shard=2,cp=2", str(out), 3)
    shutil.copytree(out, copy)
    going_on = pool.run(train, 8, "tp=2,dp_shard=2,cp=2", str(copy), 9)
    resumed = pool.run(train, 4, "dp_replicate=2,tp=2", str(out), 9)
    assert all(seen == first[0] for seen in first)
    assert list(first[0]) == [1, 2, 3]
    assert list(resumed[0]) == [4, 5, 6, 7, 8, 9]
    for other in (*resumed, *going_on):
        assert other == pytest.approx(going_on[0], abs=1e-5)
    assert resumed[0][9] < first[0][1]

    told = CliRunner().invoke(app, ["dcp-to-hf", str(out), str(exported)])
    assert told.exit_code == 0, told.output
    assert "21 tensors in 1 file" in told.output

    with warnings.catch_warnings():  # of the peer's own dependencies
        warnings.simplefilter("ignore")
        from transformers import LlamaForCausalLM as PeerLlama

        peer = PeerLlama.from_pretrained(exported)
    ours = LlamaForCausalLM.from_pretrained(exported)
    ids = torch.arange(24).reshape(2, 12)
    with torch.no_grad():
        torch.testing.assert_close(ours(ids).logits, peer(ids).logits, rtol=1e-5, atol=1e-5)
