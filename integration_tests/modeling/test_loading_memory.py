"""The memory law: loading takes the weights and 5 %, plus 64 MB, however they are stored, cast or laid out."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from hf_config import LlamaConfig
from hf_modeling import LlamaForCausalLM

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="peak memory is read from /proc")

MIB = 2**20
SLACK = 64 * MIB

# Every page is touched, so that mapped weights count too; a first load brings in what is imported late.
MEASURE = """
import sys
import torch
from hf_modeling import AutoModelForCausalLM

def peak():
    lines = open("/proc/self/status").read().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))

folder, dtype, warm_up = sys.argv[1:]
AutoModelForCausalLM.from_pretrained(warm_up, dtype="float16")
open("/proc/self/clear_refs", "w").write("5")
before = peak()
model = AutoModelForCausalLM.from_pretrained(folder, dtype=dtype)
with torch.no_grad():
    for tensor in model.state_dict().values():
        tensor.view(torch.uint8).max()
print(peak() - before, model.get_memory_footprint(), model.load_report.bytes_mapped)
"""


def llama(folder: Path, *, width: int, layers: int, shard: str = "5GB") -> Path:
    config = LlamaConfig(
        vocab_size=8 * width,
        hidden_size=width,
        intermediate_size=3 * width,
        num_hidden_layers=layers,
        num_attention_heads=4,
        dtype="float32",
    )
    LlamaForCausalLM(config).save_pretrained(folder, max_shard_size=shard)
    return folder


@pytest.mark.parametrize(
    ("dtype", "shard"), [("float32", "5GB"), ("float32", "40MB"), ("bfloat16", "40MB"), ("float64", "5GB")]
)
def test_peak_memory(dtype: str, shard: str, tmp_path: Path) -> None:
    torch.set_num_threads(1)
    folder = llama(tmp_path / "model", width=768, layers=12, shard=shard)
    warm_up = llama(tmp_path / "small", width=16, layers=1)
    run = subprocess.run(
        [sys.executable, "-c", MEASURE, str(folder), dtype, str(warm_up)],
        capture_output=True,
        text=True,
        check=True,
    )
    grown, weights, mapped = map(int, run.stdout.split())
    assert weights > 5 * SLACK or dtype == "bfloat16"
    assert grown <= 1.05 * weights + SLACK, f"{grown / MIB:.0f} MiB for {weights / MIB:.0f} MiB of weights"
    assert mapped == (weights if dtype == "float32" else 0)
