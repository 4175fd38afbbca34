"""Encoder-decoders by themselves: what is remembered of the text that is answered, and what calls are refused."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from hf_config.families.bart import BartConfig
from hf_config.families.t5 import T5Config
from hf_modeling.cache import Append, DynamicCache, EncoderDecoderCache, Once
from hf_modeling.cache.encoder_decoder import own_states, reads_source
from hf_modeling.cache.static import StaticCache
from hf_modeling.classes import model_class
from hf_modeling.errors import InputError
from hf_modeling.families import find_family
from hf_modeling.families.family import Task
from hf_modeling.heads.conditional_generation import ConditionalGeneration
from hf_modeling.heads.seq2seq_classification import last_end
from hf_modeling.masks import Mask
from hf_modeling.seq2seq import shifted
from hf_modeling.source import Source, copies_of, source_of
from hf_modeling.spec import LastTokenFirst, StartToken

LAYOUT = (
    {"key": Append(heads=1, features=2), "value": Append(heads=1, features=2)}
    | {"cross_key": Once(heads=1, features=2), "cross_value": Once(heads=1, features=2)},
)


def small(task: Task = "seq2seq-lm") -> Any:
    """A BART of two layers, every weight random."""
    config = BartConfig(
        vocab_size=40,
        d_model=8,
        encoder_layers=1,
        decoder_layers=2,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        encoder_ffn_dim=12,
        decoder_ffn_dim=12,
        max_position_embeddings=16,
        forced_eos_token_id=None,
    )
    torch.manual_seed(0)
    model = model_class(find_family("bart"), task)(config).eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.4)
    return model


def filled(rows: int = 2, beams: int = 1) -> EncoderDecoderCache:
    """A cache after one token; each row's numbers are its own."""
    cache = EncoderDecoderCache.growing(LAYOUT)
    text = torch.arange(rows, dtype=torch.float32).view(-1, 1, 1, 1).expand(rows, 1, 5, 2)
    cache.put(0, "cross_key", text)
    cache.put(0, "cross_value", text + 10)
    cache.remember(Source(text, Mask(torch.ones(rows, 1, 1, 5, dtype=torch.bool))))
    own = torch.arange(rows, dtype=torch.float32).view(-1, 1, 1, 1).expand(rows, 1, 1, 2)
    cache.extend(0, "key", own)
    cache.extend(0, "value", own)
    cache.advance(1, None, None)
    if beams > 1:
        cache.batch_repeat_interleave(beams)
    return cache


def texts_of(cache: EncoderDecoderCache) -> list[float]:
    held = cache.get(0, "cross_key")
    assert held is not None
    return [float(row) for row in held[:, 0, 0, 0]]


def test_layouts_tell_the_two_kinds_apart() -> None:
    assert reads_source(LAYOUT)
    assert not reads_source(own_states(LAYOUT))
    assert own_states(LAYOUT)[0].keys() == {"key", "value"}
    assert isinstance(EncoderDecoderCache.growing(LAYOUT).self_attention_cache, DynamicCache)


def test_beams_that_change_places_share_their_text() -> None:
    cache = filled(rows=2, beams=3)
    before = cache.get(0, "cross_key")
    cache.reorder(torch.tensor([2, 2, 0, 5, 4, 3]))
    assert cache.get(0, "cross_key") is before
    seen = cache.extend(0, "key", torch.zeros(6, 1, 1, 2))
    assert [float(row) for row in seen[:, 0, 0, 0]] == [0, 0, 0, 1, 1, 1]


def test_candidates_are_dropped_again() -> None:
    cache = filled(rows=2, beams=4)
    cache.reorder(torch.tensor([1, 6]))
    assert texts_of(cache) == [0, 1]
    cache.batch_repeat_interleave(2)
    cache.reorder(torch.tensor([1, 0, 3, 3]))
    assert texts_of(cache) == [0, 1]


def test_rows_that_leave_their_text_take_it_along() -> None:
    cache = filled(rows=3)
    cache.reorder(torch.tensor([2, 0]))
    assert texts_of(cache) == [2, 0]
    assert cache.source is not None
    assert cache.source.mask.tensor is not None
    assert len(cache.source.mask.tensor) == 2
    cache = filled(rows=2, beams=2)
    cache.reorder(torch.tensor([3, 0, 1, 2]))
    assert texts_of(cache) == [1, 0, 0, 1]


def test_the_text_outlives_what_was_said() -> None:
    cache = filled()
    copy = cache.clone()
    cache.crop(0)
    assert (cache.length, copy.length) == (0, 1)
    assert texts_of(cache) == texts_of(copy) == [0, 1]
    assert cache.nbytes() > cache.self_attention_cache.nbytes()
    assert copy.get_seq_length() == 1


def test_a_fixed_memory_fits_inside() -> None:
    inner = StaticCache(own_states(LAYOUT), batch=2, capacity=4)
    cache = EncoderDecoderCache(inner, LAYOUT)
    assert cache.capacity == 4
    assert cache.next_position_B1 is not None
    assert cache.get(0, "cross_key") is None
    cache.put(0, "cross_key", torch.ones(2, 1, 3, 2))
    assert texts_of(cache) == [1, 1]


def test_cross_attention_is_run_once_for_copies() -> None:
    model = small()
    ids, answer = torch.randint(4, 40, (2, 6)), torch.randint(4, 40, (6, 3))
    mask = torch.tensor([[1] * 6, [1] * 4 + [0] * 2])
    with torch.no_grad():
        encoded = model.get_encoder()(ids, attention_mask=mask)
        decoder = model.get_decoder()
        together = decoder(
            answer,
            encoder_hidden_states=encoded.last_hidden_state,
            encoder_attention_mask=mask,
            output_attentions=True,
        )
        apart = decoder(
            answer,
            encoder_hidden_states=encoded.last_hidden_state.repeat_interleave(3, 0),
            encoder_attention_mask=mask.repeat_interleave(3, 0),
            output_attentions=True,
        )
    torch.testing.assert_close(together.last_hidden_state, apart.last_hidden_state)
    for ours, theirs in zip(together.cross_attentions, apart.cross_attentions, strict=True):
        torch.testing.assert_close(ours, theirs)


def test_a_cache_answers_without_the_text() -> None:
    model = small()
    ids, answer = torch.randint(4, 40, (2, 6)), torch.randint(4, 40, (2, 5))
    mask = torch.tensor([[1] * 6, [1] * 4 + [0] * 2])
    with torch.no_grad():
        whole = model(ids, attention_mask=mask, decoder_input_ids=answer)
        first = model(ids, attention_mask=mask, decoder_input_ids=answer[:, :3], use_cache=True)
        cache = first.past_key_values
        rest = model.get_decoder()(answer[:, 3:], past_key_values=cache)
    logits = model.logits(rest.last_hidden_state)
    torch.testing.assert_close(torch.cat((first.logits, logits), 1), whole.logits)


def test_a_decoder_alone_leaves_the_other_text_out() -> None:
    decoder = small().get_decoder()
    ids = torch.randint(4, 40, (1, 4))
    with torch.no_grad():
        alone = decoder(ids).last_hidden_state
        reading = decoder(ids, encoder_hidden_states=torch.randn(1, 3, 8)).last_hidden_state
    assert not torch.allclose(alone, reading)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"input_ids": None, "decoder_input_ids": torch.ones(1, 2, dtype=torch.long)},
            "input_ids or inputs_embeds",
        ),
        ({"attention_mask": torch.ones(1, 3)}, "attention_mask"),
        ({"decoder_input_ids": torch.ones(3, 2, dtype=torch.long)}, "3 rows of the decoder"),
    ],
    ids=["no text", "mask of another length", "rows that do not divide"],
)
def test_refused_calls(arguments: dict[str, Tensor | None], message: str) -> None:
    given: dict[str, Any] = {"input_ids": torch.ones(2, 4, dtype=torch.long), **arguments}
    with pytest.raises(InputError, match=message):
        small()(**given)


def test_only_some_decoders_echo_the_text() -> None:
    config = T5Config(vocab_size=40, d_model=8, d_kv=4, d_ff=12, num_layers=1, num_heads=2)
    t5: Any = model_class(find_family("t5"), "seq2seq-lm")(config).eval()
    ids = torch.ones(1, 4, dtype=torch.long)
    with pytest.raises(InputError, match="the decoder has nothing to read"):
        t5(ids)
    with pytest.raises(InputError, match="which token the decoder starts with"):
        t5(ids, labels=ids)
    assert small()(ids).logits.shape == (1, 4, 40)


def test_labels_as_the_decoder_reads_them() -> None:
    labels = torch.tensor([[5, 6, 7], [8, 9, -100]])
    assert shifted(StartToken(token=2), labels, 1).tolist() == [[2, 5, 6], [2, 8, 9]]
    assert shifted(LastTokenFirst(), labels, 1).tolist() == [[7, 5, 6], [9, 8, 9]]
    with pytest.raises(InputError, match="padding token"):
        shifted(LastTokenFirst(), labels, None)


def test_sources() -> None:
    states = torch.zeros(2, 3, 4)
    assert source_of(states, None).mask.allowed is None
    assert source_of(states, torch.ones(2, 3)).mask.allowed is None
    seen = source_of(states, torch.tensor([[1, 1, 0], [0, 0, 0]])).mask.tensor
    assert seen is not None
    assert seen[:, 0, 0].tolist() == [[True, True, False], [True, True, True]]
    assert copies_of(6, 2) == 3


def test_where_a_text_ends() -> None:
    ids = torch.tensor([[5, 2, 6, 2], [2, 3, 3, 3]])
    assert last_end(ids, 2).tolist() == [3, 0]
    assert last_end(ids, (2, 3)).tolist() == [3, 3]
    with pytest.raises(InputError, match="row 1 has no end token"):
        last_end(torch.tensor([[2, 5], [5, 5]]), 2)


def test_losses_without_all_logits() -> None:
    model = small()
    assert isinstance(model, ConditionalGeneration)
    ids, labels = torch.randint(4, 40, (2, 6)), torch.randint(4, 40, (2, 5))
    labels[1, 3:] = -100
    output = model(ids, labels=labels)
    states = model.model(ids, decoder_input_ids=model.model.decoder_ids(labels)).last_hidden_state
    torch.testing.assert_close(model.token_loss(states, labels, chunk=3), output.loss)
    by_count = model(ids, labels=labels, num_items_in_batch=16).loss
    torch.testing.assert_close(by_count, output.loss * 8 / 16)
