"""Checkpoints travel both ways: what the peer writes loads here, what is written here loads there, bit for bit."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from hf_hub_io.header import read_header
from hf_modeling import (
    AutoModel,
    AutoModelForCausalLM,
    AutoModelForMaskedLM,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
    PreTrainedModel,
    merge_adapter,
)

pytestmark = pytest.mark.parity

IDS = torch.arange(5, 17)[None]
TOLERANCE = 1e-5

LLAMA = {
    "vocab_size": 96,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": 64,
}
LLAMAS = {
    "grouped": {**LLAMA, "num_key_value_heads": 2},
    "tied": {**LLAMA, "tie_word_embeddings": True, "attention_bias": True, "mlp_bias": True},
    "scaled rope": {
        **LLAMA,
        "head_dim": 16,
        "rope_parameters": {
            "rope_type": "llama3",
            "rope_theta": 500000.0,
            "factor": 8.0,
            "low_freq_factor": 1.0,
            "high_freq_factor": 4.0,
            "original_max_position_embeddings": 16,
        },
    },
}
BERT = {
    "vocab_size": 96,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": 64,
    "num_labels": 3,
}
BERTS = {
    "BertModel": AutoModel,
    "BertForMaskedLM": AutoModelForMaskedLM,
    "BertForSequenceClassification": AutoModelForSequenceClassification,
    "BertForTokenClassification": AutoModelForTokenClassification,
}


def first_tensor(output: object) -> Tensor:
    found = output[0]  # type: ignore[index] # outputs of both sides index like tuples
    assert isinstance(found, Tensor)
    return found


@torch.no_grad()
def assert_same_output(ours: nn.Module, theirs: nn.Module) -> None:
    expected = first_tensor(theirs(IDS))
    difference = (first_tensor(ours(IDS)) - expected).abs().max() / expected.abs().max()
    assert difference <= TOLERANCE


def file_tensors(folder: Path) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    for path in folder.glob("*.safetensors"):
        data = path.read_bytes()
        found.update({t.name: data[t.start : t.end] for t in read_header(path).tensors.values()})
    return found


def assert_round_trip(ours: PreTrainedModel, theirs: nn.Module, folder: Path, back: Path) -> None:
    """Same numbers from both, and what is saved here has the peer's names and bits and loads in the peer."""
    report = ours.load_report
    assert report is not None
    assert report.consumed + len(report.ignored) == len(file_tensors(folder))
    assert not report.initialized
    assert not report.unexpected
    assert_same_output(ours, theirs)
    ours.save_pretrained(back, max_shard_size=20_000)
    assert file_tensors(back) == file_tensors(folder)
    again, info = type(theirs).from_pretrained(back, output_loading_info=True)  # type: ignore[attr-defined]
    assert not any(info[kind] for kind in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    assert_same_output(ours, again.eval())


@pytest.mark.parametrize("shape", LLAMAS)
@pytest.mark.parametrize("shards", ["5GB", "20KB"])
def test_llama(shape: str, shards: str, tmp_path: Path) -> None:
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    theirs = LlamaForCausalLM(LlamaConfig(**LLAMAS[shape])).eval()
    theirs.save_pretrained(tmp_path / "peer", max_shard_size=shards)
    ours = AutoModelForCausalLM.from_pretrained(tmp_path / "peer")
    assert_round_trip(ours, theirs, tmp_path / "peer", tmp_path / "ours")


@pytest.mark.parametrize("name", BERTS)
def test_bert(name: str, tmp_path: Path) -> None:
    import transformers

    torch.manual_seed(0)
    theirs = getattr(transformers, name)(transformers.BertConfig(**BERT)).eval()
    theirs.save_pretrained(tmp_path / "peer")
    ours = BERTS[name].from_pretrained(tmp_path / "peer")
    assert_round_trip(ours, theirs, tmp_path / "peer", tmp_path / "ours")


def test_a_base_model_takes_its_part_of_the_peers_headed_checkpoint(tmp_path: Path) -> None:
    from transformers import BertConfig, BertForPreTraining

    theirs = BertForPreTraining(BertConfig(**BERT)).eval()
    theirs.save_pretrained(tmp_path)
    assert_same_output(AutoModel.from_pretrained(tmp_path), theirs.bert)
    masked = AutoModelForMaskedLM.from_pretrained(tmp_path)
    assert masked.load_report is not None
    assert set(masked.load_report.ignored) >= {"bert.pooler.dense.weight", "cls.seq_relationship.weight"}
    assert_same_output(masked, theirs)


def test_pickle_checkpoints_of_the_peers_older_versions(tmp_path: Path) -> None:
    from transformers import LlamaConfig, LlamaForCausalLM

    theirs = LlamaForCausalLM(LlamaConfig(**LLAMAS["tied"])).eval()
    theirs.config.save_pretrained(tmp_path)
    torch.save(theirs.state_dict(), tmp_path / "pytorch_model.bin")
    ours = AutoModelForCausalLM.from_pretrained(tmp_path, allow_pickle=True)
    assert_same_output(ours, theirs)


@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing`:FutureWarning")  # peft reads it from the peer
@pytest.mark.parametrize("whole_embeddings", [False, True])
def test_adapters_of_peft_merge_to_the_same_model(tmp_path: Path, whole_embeddings: bool) -> None:
    from peft import LoraConfig, get_peft_model
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    theirs = LlamaForCausalLM(LlamaConfig(**LLAMAS["grouped"])).eval()
    theirs.save_pretrained(tmp_path / "base")
    tuned = get_peft_model(
        theirs,
        LoraConfig(
            r=4,
            lora_alpha=8,
            target_modules=["q_proj", "down_proj", "embed_tokens"],
            rank_pattern={"down_proj": 2},
            init_lora_weights=False,
        ),
    ).eval()
    tuned.save_pretrained(tmp_path / "adapter", save_embedding_layers=whole_embeddings)
    ours = AutoModelForCausalLM.from_pretrained(tmp_path / "base")
    report = merge_adapter(ours, tmp_path / "adapter")
    assert len(report.merged) == 5
    assert_same_output(ours, tuned)


@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing`:FutureWarning")  # peft reads it from the peer
def test_peft_wraps_our_models(tmp_path: Path) -> None:
    from peft import LoraConfig, PeftModel, get_peft_model
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    theirs = LlamaForCausalLM(LlamaConfig(**LLAMAS["grouped"])).eval()
    theirs.save_pretrained(tmp_path / "base")
    settings = LoraConfig(target_modules=["q_proj", "v_proj"], init_lora_weights=False)
    tuned = get_peft_model(theirs, settings).eval()
    tuned.save_pretrained(tmp_path / "adapter")
    ours = AutoModelForCausalLM.from_pretrained(tmp_path / "base")
    assert_same_output(PeftModel.from_pretrained(ours, tmp_path / "adapter").eval(), tuned)


def test_two_threads_load_twenty_models_each(tmp_path: Path) -> None:
    from transformers import BertConfig, BertModel, LlamaConfig, LlamaForCausalLM

    LlamaForCausalLM(LlamaConfig(**LLAMAS["tied"])).save_pretrained(tmp_path / "llama")
    BertModel(BertConfig(**BERT)).save_pretrained(tmp_path / "bert")
    loads = [
        lambda: AutoModelForCausalLM.from_pretrained(tmp_path / "llama"),
        lambda: AutoModel.from_pretrained(tmp_path / "bert", dtype=torch.bfloat16),
    ]
    expected = [load().state_dict() for load in loads]
    bad: list[object] = []

    def work() -> None:
        for turn in range(20):
            state = loads[turn % 2]().state_dict()
            if not all(torch.equal(state[name], value) for name, value in expected[turn % 2].items()):
                bad.append(turn)

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not bad
