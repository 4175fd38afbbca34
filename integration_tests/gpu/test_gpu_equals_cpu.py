"""A CUDA device changes where numbers are computed, not which: logits, tokens, padding and memory."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from hf_config import AutoConfig
from hf_modeling import AutoModel, AutoModelForCausalLM

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]

LLAMA = {
    "hidden_size": 256,
    "intermediate_size": 512,
    "num_hidden_layers": 4,
    "num_attention_heads": 8,
    "num_key_value_heads": 2,
    "vocab_size": 512,
}
BERT = {
    "hidden_size": 128,
    "intermediate_size": 256,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "vocab_size": 512,
}
IDS = torch.randint(1, 512, (3, 24), generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module", autouse=True)
def full_precision() -> None:
    """TF32 would hide what these tests look for."""
    torch.backends.cuda.matmul.allow_tf32 = False


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("llama")
    torch.manual_seed(0)
    AutoModelForCausalLM.from_config(AutoConfig.for_model("llama", **LLAMA)).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bert")
    torch.manual_seed(0)
    AutoModel.from_config(AutoConfig.for_model("bert", **BERT)).save_pretrained(folder)
    return folder


def close(found: Tensor, expected: Tensor, scale: float = 1e-4) -> None:
    difference = (found.float().cpu() - expected.float()).abs().max() / expected.float().abs().max()
    assert difference.item() <= scale


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
@torch.inference_mode()
def test_llama_logits(llama: Path, attention: str) -> None:
    on_cpu = AutoModelForCausalLM.from_pretrained(llama)
    on_gpu = AutoModelForCausalLM.from_pretrained(llama, device="cuda", attn_implementation=attention)
    assert on_gpu.device.type == "cuda"
    close(on_gpu(IDS.cuda()).logits, on_cpu(IDS).logits)


@torch.inference_mode()
def test_bert_hidden_states_with_padding(bert: Path) -> None:
    mask = torch.ones_like(IDS)
    mask[0, 5:] = 0
    on_cpu = AutoModel.from_pretrained(bert)(IDS, attention_mask=mask).last_hidden_state
    on_gpu = AutoModel.from_pretrained(bert, device="cuda")(
        IDS.cuda(), attention_mask=mask.cuda()
    ).last_hidden_state
    close(on_gpu[0, :5], on_cpu[0, :5])
    close(on_gpu[1:], on_cpu[1:])


def test_greedy_tokens_are_equal(llama: Path) -> None:
    on_cpu = AutoModelForCausalLM.from_pretrained(llama)
    on_gpu = AutoModelForCausalLM.from_pretrained(llama, device="cuda")
    expected = on_cpu.generate(IDS, max_new_tokens=16, do_sample=False)
    assert torch.equal(on_gpu.generate(IDS.cuda(), max_new_tokens=16, do_sample=False).cpu(), expected)


@torch.inference_mode()
def test_half_precision_stays_near(llama: Path) -> None:
    expected = AutoModelForCausalLM.from_pretrained(llama)(IDS).logits
    half = AutoModelForCausalLM.from_pretrained(llama, device="cuda", dtype=torch.bfloat16)
    assert half.dtype == torch.bfloat16
    close(half(IDS.cuda()).logits, expected, scale=0.05)


def test_loading_fills_the_device_once(llama: Path) -> None:
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    model = AutoModelForCausalLM.from_pretrained(llama, device="cuda")
    weights = sum(parameter.nbytes for parameter in model.parameters())
    assert torch.cuda.max_memory_allocated() - before <= 1.05 * weights + 64 * 2**20
