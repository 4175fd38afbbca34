"""Whole models without the peer: laws of decoding, padding, recording, losses, heads, and refusals."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from hf_config.families.bert import BertConfig
from hf_config.families.llama import LlamaConfig
from hf_modeling.classes import model_class
from hf_modeling.decoder import Decoder
from hf_modeling.encoder import Encoder
from hf_modeling.errors import InputError, SpecError, TokenIdError
from hf_modeling.families.bert import FAMILY as BERT
from hf_modeling.families.llama import FAMILY as LLAMA
from hf_modeling.families.llama import spec as llama_spec
from hf_modeling.heads.causal_lm import CausalLM
from hf_modeling.heads.sequence_classification import SequenceClassifier
from hf_modeling.loss import (
    chunked_cross_entropy,
    classification_loss,
    cross_entropy,
    load_balancing_loss,
    next_tokens,
    span_loss,
)
from hf_modeling.show import show_difference, show_model
from hf_modeling.spec import (
    Embed,
    GatedExperts,
    LearnedPositions,
    Moe,
    PreNorm,
    Router,
    SoftmaxScores,
    Window,
)

TINY = LlamaConfig(
    vocab_size=50,
    hidden_size=16,
    intermediate_size=24,
    num_hidden_layers=3,
    num_attention_heads=4,
    num_key_value_heads=2,
)
TINY_BERT = BertConfig(
    vocab_size=50,
    hidden_size=16,
    intermediate_size=24,
    num_hidden_layers=2,
    num_attention_heads=4,
    max_position_embeddings=20,
)
IDS = torch.randint(0, 50, (2, 9), generator=torch.Generator().manual_seed(3))


def llama(config: LlamaConfig = TINY) -> CausalLM:
    torch.manual_seed(0)
    model = model_class(LLAMA, "causal-lm")(config)
    assert isinstance(model, CausalLM)
    return model.eval()


def with_mixers(**changes: object) -> CausalLM:
    """A tiny Llama whose attention is changed in every layer, with positions that matter."""
    plain = llama_spec(TINY)
    blocks = [block for block in plain.blocks if isinstance(block, PreNorm)]
    changed = tuple(replace(b, mixer=replace(b.mixer, **changes)) for b in blocks)  # type: ignore[arg-type] # by name
    torch.manual_seed(0)
    model = model_class(LLAMA, "causal-lm")(TINY, replace(plain, blocks=changed))  # type: ignore[call-arg] # heads take a spec
    assert isinstance(model, CausalLM)
    return model.eval()


def decoded(model: CausalLM, ids: Tensor, cuts: tuple[int, ...]) -> Tensor:
    cache, parts = model.new_cache(), []
    with torch.no_grad():
        for start, end in zip((0, *cuts), (*cuts, ids.shape[1]), strict=True):
            parts.append(model(ids[:, start:end], past_key_values=cache).logits)
    return torch.cat(parts, dim=1)


@pytest.mark.parametrize("cuts", [(1, 2, 3, 4, 5, 6, 7, 8), (5,), (4, 5)])
@pytest.mark.parametrize("window", [None, 3])
def test_decoding_in_steps_equals_one_call(cuts: tuple[int, ...], window: int | None) -> None:
    model = with_mixers() if window is None else with_mixers(mask=Window(size=window))
    with torch.no_grad():
        whole = model(IDS).logits
    torch.testing.assert_close(decoded(model, IDS, cuts), whole, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("learned", [False, True])
def test_padding_on_either_side_changes_nothing(learned: bool) -> None:
    spec = llama_spec(TINY)
    if learned:
        spec = replace(spec, embed=Embed(vocab=50, positions=LearnedPositions(count=20)))
    torch.manual_seed(0)
    model = model_class(LLAMA, "causal-lm")(TINY, spec).eval()  # type: ignore[call-arg] # heads take a spec
    alone = IDS[:1, :5]
    filler = torch.zeros(1, 4, dtype=torch.long)
    mask = torch.tensor([[0] * 4 + [1] * 5, [1] * 5 + [0] * 4])
    both = torch.cat((torch.cat((filler, alone), dim=1), torch.cat((alone, filler), dim=1)))
    with torch.no_grad():
        expected = model(alone).logits[0]
        padded = model(both, attention_mask=mask).logits
    torch.testing.assert_close(padded[0, 4:], expected)
    torch.testing.assert_close(padded[1, :5], expected)


def test_a_cache_is_kept_unless_gradients_are() -> None:
    model = llama()
    assert model(IDS).past_key_values is None
    with torch.no_grad():
        assert model(IDS).past_key_values.get_seq_length() == 9
        assert model(IDS, use_cache=False).past_key_values is None
    assert model(IDS, use_cache=True).past_key_values is not None


def test_only_the_last_logits_on_demand() -> None:
    model = llama()
    with torch.no_grad():
        torch.testing.assert_close(model(IDS, logits_to_keep=2).logits, model(IDS).logits[:, -2:])


def test_records_have_one_entry_for_each_layer() -> None:
    with torch.no_grad():
        output = llama()(IDS, output_hidden_states=True, output_attentions=True)
    assert len(output.hidden_states) == 4
    assert [tuple(a.shape) for a in output.attentions] == [(2, 4, 9, 9)] * 3
    assert output.keys() == ("logits", "past_key_values", "hidden_states", "attentions")
    assert output[0] is output["logits"] is output.logits
    with pytest.raises(KeyError):
        output["loss"]


def test_recomputed_activations_give_the_same_gradients() -> None:
    gradients = []
    for every, recomputed in ((0, 0), (1, 3), (2, 2)):
        model = llama().train()
        if every:
            model.gradient_checkpointing_enable(every_n_layers=every)
        assert sum(bool(layer.recompute) for layer in model.model.layers) == recomputed
        model(IDS, labels=IDS).loss.backward()
        gradients.append([p.grad for p in model.parameters()])
    torch.testing.assert_close(gradients[0], gradients[1])
    torch.testing.assert_close(gradients[0], gradients[2])


def test_tied_weights_are_one_parameter() -> None:
    tied = llama(TINY.replace(tie_word_embeddings=True))
    assert tied.lm_head.weight is tied.model.embed_tokens.weight
    assert llama().lm_head.weight is not llama().model.embed_tokens.weight


@pytest.mark.parametrize(
    ("given", "kind", "says"),
    [
        ({}, InputError, "expected input_ids or inputs_embeds, neither was given"),
        ({"input_ids": IDS, "inputs_embeds": torch.zeros(2, 9, 16)}, InputError, "both were given"),
        ({"input_ids": torch.tensor([[1, 2], [3, 50]])}, TokenIdError, "token id 50 at row 1, position 1"),
        ({"input_ids": torch.tensor([[-1]])}, TokenIdError, "token id -1 at row 0, position 0"),
        ({"input_ids": IDS, "attention_mask": torch.ones(2, 3)}, InputError, r"expected \(2, 9\)"),
    ],
)
@pytest.mark.parametrize("facts", [LLAMA, BERT], ids=["decoder", "encoder"])
def test_bad_calls_are_refused(
    facts: object, given: dict[str, Tensor], kind: type[Exception], says: str
) -> None:
    model = model_class(LLAMA, "base")(TINY) if facts is LLAMA else model_class(BERT, "base")(TINY_BERT)
    with pytest.raises(kind, match=says):
        model(**given)


def test_segments_are_refused_where_there_are_none() -> None:
    base = model_class(LLAMA, "base")(TINY)
    assert isinstance(base, Decoder)
    with pytest.raises(InputError, match="does not tell segments apart"):
        base(IDS, token_type_ids=torch.zeros_like(IDS))


def test_encoders_read_both_ways() -> None:
    encoder = model_class(BERT, "base")(TINY_BERT)
    assert isinstance(encoder, Encoder)
    encoder.eval()
    changed = IDS.clone()
    changed[:, -1] = (changed[:, -1] + 1) % 50
    with torch.no_grad():
        assert not torch.allclose(encoder(IDS)[0][:, 0], encoder(changed)[0][:, 0])
        assert encoder(IDS).pooler_output.shape == (2, 16)


def test_classifiers_read_the_last_real_token_wherever_it_is() -> None:
    torch.manual_seed(0)
    model = model_class(LLAMA, "sequence-classification")(TINY.replace(pad_token_id=0)).eval()
    assert isinstance(model, SequenceClassifier)
    row = torch.tensor([[7, 8, 9]])
    with torch.no_grad():
        alone = model(row).logits
        right = model(torch.tensor([[7, 8, 9, 0, 0]])).logits
        masked = model(torch.tensor([[7, 8, 9, 5, 5]]), attention_mask=torch.tensor([[1, 1, 1, 0, 0]])).logits
        left = model(torch.tensor([[5, 5, 7, 8, 9]]), attention_mask=torch.tensor([[0, 0, 1, 1, 1]])).logits
    for logits in (right, masked, left):
        torch.testing.assert_close(logits, alone)


def test_loss_parts_add_up_over_the_items_of_a_batch() -> None:
    logits, labels = torch.randn(4, 6, 11), torch.randint(0, 11, (4, 6))
    labels[0, :4] = labels[3, 2:] = -100
    items = (labels != -100).sum()
    parts = sum(cross_entropy(logits[i : i + 2], labels[i : i + 2], items=items) for i in (0, 2))
    torch.testing.assert_close(torch.as_tensor(parts), cross_entropy(logits, labels))
    assert next_tokens(torch.tensor([[1, 2, 3]])).tolist() == [[2, 3, -100]]


@pytest.mark.parametrize("items", [None, 5])
@pytest.mark.parametrize("chunk", [1, 4, 100])
def test_chunks_give_the_whole_loss_and_its_gradient(items: int | None, chunk: int) -> None:
    results = []
    labels = IDS.clone()
    labels[0, :3] = -100
    for whole in (True, False):
        model = llama()
        if whole:
            loss = model(IDS, labels=labels, num_items_in_batch=items).loss
        else:
            h = model.model(IDS).last_hidden_state
            loss = model.token_loss(h, labels, num_items_in_batch=items, chunk=chunk)
        loss.backward()
        results.append([loss.detach(), *(p.grad for p in model.parameters())])
    torch.testing.assert_close(*results)


def test_chunks_never_hold_all_logits() -> None:
    most = 0

    def logits_of(h: Tensor) -> Tensor:
        nonlocal most
        most = max(most, h.shape[0])
        return h @ torch.eye(6)

    hidden = torch.randn(50, 6, requires_grad=True)
    chunked_cross_entropy(logits_of, hidden, torch.randint(0, 6, (50,)), chunk=8).backward()
    assert most == 8


def test_classification_losses_by_kind() -> None:
    logits = torch.randn(4, 3)
    whole, many = torch.tensor([0, 2, 1, 1]), torch.randint(0, 2, (4, 3)).float()
    one = torch.nn.functional.cross_entropy(logits, whole)
    torch.testing.assert_close(classification_loss(logits, whole, None), one)
    torch.testing.assert_close(
        classification_loss(logits, many, None),
        torch.nn.functional.binary_cross_entropy_with_logits(logits, many),
    )
    score = torch.randn(4, 1)
    torch.testing.assert_close(
        classification_loss(score, torch.ones(4), None), (score.flatten() - 1).square().mean()
    )


def test_answers_outside_the_text_are_left_out() -> None:
    starts, ends = torch.randn(2, 5), torch.randn(2, 5)
    inside = span_loss(starts[:1], ends[:1], torch.tensor([1]), torch.tensor([2]))
    both = span_loss(starts, ends, torch.tensor([1, 99]), torch.tensor([2, 99]))
    torch.testing.assert_close(both, inside)


def test_sparse_models_balance_their_experts() -> None:
    sparse = Moe(
        count=4,
        top_k=2,
        width=8,
        router=Router(scores=SoftmaxScores()),
        experts=GatedExperts(activation="silu"),
        balance=0.1,
    )
    spec = llama_spec(TINY)
    block = spec.blocks[0]
    assert isinstance(block, PreNorm)
    spec = replace(spec, blocks=(replace(block, ffn=sparse), block))
    torch.manual_seed(0)
    model = model_class(LLAMA, "causal-lm")(TINY, spec)  # type: ignore[call-arg] # heads take a spec
    mask = torch.ones_like(IDS)
    mask[0, 5:] = 0
    with_it = model(IDS, attention_mask=mask, labels=IDS, output_router_logits=True)
    without = model(IDS, attention_mask=mask, labels=IDS)
    assert len(with_it.router_logits) == 1
    torch.testing.assert_close(with_it.loss, without.loss + 0.1 * with_it.aux_loss)
    by_hand = load_balancing_loss((with_it.router_logits[0][mask.bool().flatten()],), 4, 2)
    torch.testing.assert_close(with_it.aux_loss, by_hand)
    torch.testing.assert_close(load_balancing_loss((torch.zeros(8, 4),), 4, 2), torch.tensor(2.0))
    with pytest.raises(InputError, match="output_router_logits=True"):
        load_balancing_loss((), 4, 2)


def test_models_are_shown_whole() -> None:
    text = show_model(TINY)
    assert "blocks 0-2 PreNorm" in text
    assert "rope Rope(theta=10000.0, dim=4)" in text
    assert "left out: recomputed from the config" in text
    assert show_difference(TINY, TINY) == ""
    changed = show_difference(TINY, TINY.replace(intermediate_size=32))
    assert "-    ffn GatedMlp(width=24, activation='silu')" in changed
    assert "+    ffn GatedMlp(width=32, activation='silu')" in changed


def test_backends_change_on_a_whole_model() -> None:
    model = llama()
    with torch.no_grad():
        before = model(IDS).logits
        model.set_attn_implementation("eager")
        torch.testing.assert_close(model(IDS).logits, before)
    assert model.config.attn_implementation == "eager"


@pytest.mark.parametrize("field", ["is_decoder", "add_cross_attention"])
def test_bert_as_a_decoder_is_refused(field: str) -> None:
    with pytest.raises(SpecError, match=r"makes .bert. a decoder"):
        model_class(BERT, "base")(BertConfig.from_dict({field: True}))
