"""Llama and BERT against the peer: same weights, same numbers, in every way a base model and a head are called."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from hf_modeling.classes import find_class
from hf_modeling.masks import packed_position_ids

pytestmark = pytest.mark.parity
transformers = pytest.importorskip("transformers")

Model = Any  # models of two libraries with one calling convention

LLAMA = {
    "vocab_size": 96,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 64,
    "initializer_range": 0.3,
    "pad_token_id": 0,
}
BERT = {
    "vocab_size": 96,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": 40,
    "initializer_range": 0.3,
}
LLAMAS: dict[str, dict[str, object]] = {
    "grouped": {},
    "multi-head, biased": {"num_key_value_heads": 4, "attention_bias": True, "mlp_bias": True},
    "multi-query, tied, wide heads": {
        "num_key_value_heads": 1,
        "tie_word_embeddings": True,
        "head_dim": 12,
        "hidden_act": "gelu_pytorch_tanh",
    },
    "llama3": {
        "rope_parameters": {
            "rope_type": "llama3",
            "rope_theta": 100.0,
            "factor": 8.0,
            "low_freq_factor": 1.0,
            "high_freq_factor": 4.0,
            "original_max_position_embeddings": 16,
        }
    },
    "yarn": {
        "rope_parameters": {
            "rope_type": "yarn",
            "rope_theta": 1000.0,
            "factor": 4.0,
            "original_max_position_embeddings": 16,
        }
    },
    "linear": {"rope_parameters": {"rope_type": "linear", "rope_theta": 1e4, "factor": 4.0}},
    "dynamic": {
        "max_position_embeddings": 8,
        "rope_parameters": {"rope_type": "dynamic", "rope_theta": 1e4, "factor": 4.0},
    },
    "longrope": {
        "rope_parameters": {
            "rope_type": "longrope",
            "rope_theta": 1e4,
            "factor": 4.0,
            "original_max_position_embeddings": 8,
            "short_factor": [1.0, 1.1, 1.2, 1.3],
            "long_factor": [2.0, 3.0, 4.0, 5.0],
        }
    },
}


@dataclass
class Pair:
    """A model of the peer and ours with the same weights, loaded from what the peer saved."""

    peer: Model
    ours: Model
    ids: Tensor = field(default_factory=lambda: torch.randint(1, 96, (2, 12), generator=_seeded()))


def _seeded() -> torch.Generator:
    return torch.Generator().manual_seed(1)


def pair(folder: Path, name: str, config: Model, **ours: Any) -> Pair:
    torch.manual_seed(0)
    peer = getattr(transformers, name)._from_config(config, attn_implementation="eager").eval()
    for parameter_name, parameter in peer.named_parameters():
        # Norm weights and biases start at one and zero, where a mistake would not show.
        if parameter.ndim == 1:
            torch.nn.init.normal_(parameter, mean=float("norm" in parameter_name.lower()), std=0.2)
    peer.save_pretrained(folder)
    return Pair(peer, find_class(name).from_pretrained(folder, **ours))


def close(ours: Tensor, peer: Tensor, tolerance: float = 1e-5) -> None:
    assert ours.shape == peer.shape
    assert (ours - peer).abs().max() <= tolerance * peer.abs().max()


@pytest.fixture(params=LLAMAS)
def llama(request: pytest.FixtureRequest, tmp_path: Path) -> Pair:
    config = transformers.LlamaConfig(**{**LLAMA, **LLAMAS[request.param]})
    return pair(tmp_path, "LlamaForCausalLM", config)


@pytest.fixture
def grouped(tmp_path: Path) -> Pair:
    return pair(tmp_path, "LlamaForCausalLM", transformers.LlamaConfig(**LLAMA))


def test_logits(llama: Pair) -> None:
    with torch.no_grad():
        close(llama.ours(llama.ids).logits, llama.peer(llama.ids).logits)


def test_cached_steps_equal_the_peers_cached_steps(llama: Pair) -> None:
    cache, past, start = llama.ours.new_cache(), None, 0
    for end in (4, 5, 6, 9, 12):
        with torch.no_grad():
            ours = llama.ours(llama.ids[:, start:end], past_key_values=cache)
            peer = llama.peer(llama.ids[:, start:end], past_key_values=past, use_cache=True)
        close(ours.logits, peer.logits)
        past, start = peer.past_key_values, end
    assert cache.get_seq_length() == 12


def padded(ids: Tensor, side: str) -> tuple[Tensor, Tensor]:
    """Row 0 cut to 7 tokens and padded on one side; row 1 whole."""
    mask = torch.ones_like(ids)
    row = ids[0, :7]
    filler = torch.zeros(ids.shape[1] - 7, dtype=torch.long)
    ids = ids.clone()
    ids[0] = torch.cat((filler, row) if side == "left" else (row, filler))
    mask[0] = (ids[0] != 0).long()
    return ids, mask


@pytest.mark.parametrize("side", ["left", "right"])
def test_padding_does_not_change_real_tokens(grouped: Pair, side: str) -> None:
    ids, mask = padded(grouped.ids, side)
    positions = (mask.cumsum(1) - 1).clamp(min=0)
    with torch.no_grad():
        ours = grouped.ours(ids, attention_mask=mask).logits
        peer = grouped.peer(ids, attention_mask=mask, position_ids=positions).logits
        alone = grouped.peer(grouped.ids[:1, :7]).logits
    close(ours[mask.bool()], peer[mask.bool()])
    close(ours[0][mask[0].bool()], alone[0])


@pytest.mark.parametrize("side", ["left", "right"])
def test_decoding_after_padding_needs_no_mask(grouped: Pair, side: str) -> None:
    ids, mask = padded(grouped.ids, side)
    more = torch.randint(1, 96, (2, 3), generator=_seeded())
    cache = grouped.ours.new_cache()
    with torch.no_grad():
        grouped.ours(ids, attention_mask=mask, past_key_values=cache)
        steps = [grouped.ours(more[:, t : t + 1], past_key_values=cache).logits for t in range(3)]
        alone = grouped.peer(torch.cat((grouped.ids[:1, :7], more[:1]), dim=1)).logits[:, 7:]
        whole = grouped.peer(torch.cat((grouped.ids[1:], more[1:]), dim=1)).logits[:, 12:]
    close(torch.cat(steps, dim=1), torch.cat((alone, whole)))


def test_hidden_states_and_attentions(grouped: Pair) -> None:
    with torch.no_grad():
        ours = grouped.ours(grouped.ids, output_hidden_states=True, output_attentions=True)
        peer = grouped.peer(grouped.ids, output_hidden_states=True, output_attentions=True)
    assert len(ours.hidden_states) == len(peer.hidden_states)
    for mine, theirs in zip(ours.hidden_states, peer.hidden_states, strict=True):
        close(mine, theirs)
    for mine, theirs in zip(ours.attentions, peer.attentions, strict=True):
        close(mine, theirs)


@pytest.mark.parametrize("items", [None, 7])
def test_loss_and_gradient(grouped: Pair, items: int | None) -> None:
    labels = grouped.ids.clone()
    labels[0, :5] = -100
    ours = grouped.ours(grouped.ids, labels=labels, num_items_in_batch=items).loss
    peer = grouped.peer(grouped.ids, labels=labels, num_items_in_batch=items).loss
    close(ours[None], peer[None])
    ours.backward()
    peer.backward()
    theirs = dict(grouped.peer.named_parameters())
    for name, parameter in grouped.ours.named_parameters():
        close(parameter.grad, theirs[name].grad, 2e-5)


def test_packed_rows_equal_the_peers(grouped: Pair) -> None:
    positions = packed_position_ids(torch.tensor([0, 5, 6, 12]))
    with torch.no_grad():
        ours = grouped.ours(grouped.ids[:1], position_ids=positions, use_cache=False).logits
        peer = grouped.peer(grouped.ids[:1], position_ids=positions, use_cache=False).logits
        pieces = [grouped.peer(grouped.ids[:1, a:b]).logits for a, b in ((0, 5), (5, 6), (6, 12))]
    close(ours, peer)
    close(ours, torch.cat(pieces, dim=1))


def test_embeddings_instead_of_ids(grouped: Pair) -> None:
    with torch.no_grad():
        vectors = grouped.ours.model.embed_tokens(grouped.ids)
        close(grouped.ours(inputs_embeds=vectors).logits, grouped.peer(grouped.ids).logits)


def test_bfloat16_stays_within_its_own_rounding(tmp_path: Path) -> None:
    both = pair(tmp_path, "LlamaForCausalLM", transformers.LlamaConfig(**LLAMA))
    with torch.no_grad():
        exact = both.peer(both.ids).logits
        ours = both.ours.bfloat16()(both.ids).logits.float()
        peer = both.peer.bfloat16()(both.ids).logits.float()
    assert (ours - exact).abs().mean() <= 1.2 * (peer - exact).abs().mean()


@pytest.mark.parametrize("name", ["LlamaForSequenceClassification", "LlamaForTokenClassification"])
def test_decoder_classifiers(tmp_path: Path, name: str) -> None:
    both = pair(tmp_path, name, transformers.LlamaConfig(**LLAMA, num_labels=3))
    ids, mask = padded(both.ids, "right")
    labels = torch.tensor([2, 0]) if "Sequence" in name else (ids % 3).masked_fill(mask == 0, -100)
    with torch.no_grad():
        ours = both.ours(ids, attention_mask=mask, labels=labels)
        peer = both.peer(ids, attention_mask=mask, labels=labels)
    close(ours.loss[None], peer.loss[None])
    close(ours.logits[1], peer.logits[1])


BERT_CALLS: dict[str, Callable[[Tensor], dict[str, Tensor]]] = {
    "BertForMaskedLM": lambda ids: {"labels": ids},
    "BertForPreTraining": lambda ids: {"labels": ids, "next_sentence_label": torch.tensor([0, 1])},
    "BertForNextSentencePrediction": lambda ids: {"labels": torch.tensor([0, 1])},
    "BertForSequenceClassification": lambda ids: {"labels": torch.tensor([2, 1])},
    "BertForTokenClassification": lambda ids: {"labels": torch.where(ids < 0, ids, ids % 3)},
    "BertForQuestionAnswering": lambda ids: {
        "start_positions": torch.tensor([1, 2]),
        "end_positions": torch.tensor([3, 60]),
    },
    "BertForMultipleChoice": lambda ids: {"labels": torch.tensor([0])},
}


@pytest.mark.parametrize("name", BERT_CALLS)
def test_bert_heads(tmp_path: Path, name: str) -> None:
    labels = 2 if "Question" in name else 3
    both = pair(tmp_path, name, transformers.BertConfig(**BERT, num_labels=labels))
    ids, mask = padded(both.ids, "right")
    segments = (torch.arange(12) > 5).long().expand(2, 12)
    if "Choice" in name:
        ids, mask, segments = ids[None], mask[None], segments[None]
    extra = BERT_CALLS[name](both.ids.masked_fill(mask.view(both.ids.shape) == 0, -100))
    ours = both.ours(ids, attention_mask=mask, token_type_ids=segments, **extra)
    peer = both.peer(ids, attention_mask=mask, token_type_ids=segments, **extra)
    close(ours.loss[None], peer.loss[None])
    for mine, theirs in zip(ours.to_tuple()[1:], peer.to_tuple()[1:], strict=True):
        if mine.ndim == 3 or "Question" in name:
            mine, theirs = mine[mask.bool()], theirs[mask.bool()]
        close(mine, theirs)
    ours.loss.backward()
    peer.loss.backward()
    close(
        both.ours.model.layers[0].self_attn.q_proj.weight.grad,
        both.peer.bert.encoder.layer[0].attention.self.query.weight.grad,
        2e-5,
    )


def test_bert_base_with_everything_recorded(tmp_path: Path) -> None:
    both = pair(tmp_path, "BertModel", transformers.BertConfig(**BERT))
    with torch.no_grad():
        ours = both.ours(both.ids, output_hidden_states=True, output_attentions=True)
        peer = both.peer(both.ids, output_hidden_states=True, output_attentions=True)
    close(ours.pooler_output, peer.pooler_output)
    for mine, theirs in zip(ours.hidden_states, peer.hidden_states, strict=True):
        close(mine, theirs)
    for mine, theirs in zip(ours.attentions, peer.attentions, strict=True):
        close(mine, theirs)


def test_what_we_save_the_peer_reads(tmp_path: Path) -> None:
    both = pair(tmp_path / "a", "BertForPreTraining", transformers.BertConfig(**BERT))
    both.ours.save_pretrained(tmp_path / "b")
    again = transformers.BertForPreTraining.from_pretrained(
        tmp_path / "b", attn_implementation="eager"
    ).eval()
    with torch.no_grad():
        close(again(both.ids).prediction_logits, both.peer(both.ids).prediction_logits, 0.0)
