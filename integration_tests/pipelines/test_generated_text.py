"""`text-generation` against the peer's pipeline on a tiny Llama: texts, chats, batches, streams."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hf_pipelines import ChatMessage, EmptyInputError, OptionValueError, TextGenerationPipeline, pipeline
from hf_transformers.demo_data import corpus

# torchao, which the peer imports where it is installed, warns of its own age.
pytestmark = [pytest.mark.parity, pytest.mark.filterwarnings("ignore::DeprecationWarning")]
TEMPLATE = (
    "{% for message in messages %}<|{{ message.role }}|>{{ message.content }}{{ eos_token }}{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
PROMPTS = [
    "The arctic fox",
    "Bread rises slowly in the refrigerator and",
    "A",
    "Tides rise twice a day because the",
]


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random Llama with a byte-level vocabulary trained on the demo's corpus."""
    transformers = pytest.importorskip("transformers")
    import tokenizers
    import torch

    folder = tmp_path_factory.mktemp("llama")
    special = ["<pad>", "<s>", "</s>", "<|user|>", "<|assistant|>", "<|system|>"]
    engine = tokenizers.ByteLevelBPETokenizer()
    engine.train_from_iterator(corpus(), vocab_size=400, special_tokens=special, show_progress=False)
    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_object=engine._tokenizer,
        bos_token="<s>",
        eos_token="</s>",
        pad_token="<pad>",
        additional_special_tokens=special[3:],
        model_max_length=128,
        chat_template=TEMPLATE,
    )
    tokenizer.save_pretrained(folder)
    torch.manual_seed(3)
    config = transformers.LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=128,
        initializer_range=0.3,
        bos_token_id=1,
        eos_token_id=2,
        pad_token_id=0,
    )
    transformers.LlamaForCausalLM(config).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def ours(llama: Path) -> TextGenerationPipeline:
    return pipeline("text-generation", llama)


@pytest.fixture(scope="module")
def theirs(llama: Path, peer_pipeline: Callable[..., Any]) -> Any:
    return peer_pipeline("text-generation", llama)


def test_greedy_text_is_the_peers_one_by_one_and_batched(ours: TextGenerationPipeline, theirs: Any) -> None:
    expected = [theirs(prompt, max_new_tokens=12, do_sample=False) for prompt in PROMPTS]
    assert [ours(prompt, max_new_tokens=12, do_sample=False) for prompt in PROMPTS] == expected
    assert ours(PROMPTS, max_new_tokens=12, do_sample=False) == expected
    assert ours(PROMPTS, max_new_tokens=12, do_sample=False, batch_size=2) == expected
    assert list(ours(iter(PROMPTS), max_new_tokens=12, do_sample=False)) == expected


def test_only_the_new_text_is_given_where_asked(ours: TextGenerationPipeline, theirs: Any) -> None:
    expected = theirs(PROMPTS[0], max_new_tokens=12, do_sample=False, return_full_text=False)
    assert ours(PROMPTS[0], max_new_tokens=12, do_sample=False, return_full_text=False) == expected
    full = ours(PROMPTS[0], max_new_tokens=12, do_sample=False)
    assert full[0]["generated_text"] == PROMPTS[0] + expected[0]["generated_text"]


def test_beams_give_several_answers(ours: TextGenerationPipeline, theirs: Any) -> None:
    expected = theirs(PROMPTS[1], max_new_tokens=8, do_sample=False, num_beams=3, num_return_sequences=2)
    found = ours(PROMPTS[1], max_new_tokens=8, do_sample=False, num_beams=3, num_return_sequences=2)
    assert found == expected
    assert len(found) == 2
    batched = ours(PROMPTS, max_new_tokens=8, do_sample=False, num_beams=3, num_return_sequences=2)
    assert batched[1] == expected


def test_special_tokens_stay_where_asked(ours: TextGenerationPipeline, theirs: Any) -> None:
    for skip in (True, False):
        expected = theirs(PROMPTS, max_new_tokens=30, do_sample=False, skip_special_tokens=skip)
        assert ours(PROMPTS, max_new_tokens=30, do_sample=False, skip_special_tokens=skip) == expected


def test_a_prefix_and_a_stop_sequence(ours: TextGenerationPipeline, theirs: Any) -> None:
    expected = theirs(PROMPTS[0], max_new_tokens=12, do_sample=False, prefix="Once: ")
    assert ours(PROMPTS[0], max_new_tokens=12, do_sample=False, prefix="Once: ") == expected
    free = ours(PROMPTS[0], max_new_tokens=12, do_sample=False, return_full_text=False)[0]["generated_text"]
    stop = free[len(free) // 2]
    found = ours(PROMPTS[0], max_new_tokens=12, do_sample=False, return_full_text=False, stop_sequence=stop)
    assert stop in found[0]["generated_text"]
    assert found == theirs(
        PROMPTS[0], max_new_tokens=12, do_sample=False, return_full_text=False, stop_sequence=stop
    )


def test_chats_are_answered_and_prefilled_answers_continued(
    ours: TextGenerationPipeline, theirs: Any
) -> None:
    chat: list[ChatMessage] = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "What do bats eat?"},
    ]
    begun: list[ChatMessage] = [*chat, {"role": "assistant", "content": "They eat"}]
    for conversation in (chat, begun):
        expected = theirs(conversation, max_new_tokens=8, do_sample=False)
        found = ours(conversation, max_new_tokens=8, do_sample=False)
        assert found == expected
    assert found[0]["generated_text"][-1]["content"] != "They eat"
    both = ours([chat, begun], max_new_tokens=8, do_sample=False)
    assert both[1] == found
    assert chat[-1]["content"] == "What do bats eat?"


def test_the_hole_keeps_the_end_of_a_long_prompt(ours: TextGenerationPipeline, theirs: Any) -> None:
    long = " ".join(corpus()[:10])
    options = {
        "max_new_tokens": 8,
        "do_sample": False,
        "handle_long_generation": "hole",
        "return_full_text": False,
    }
    expected = theirs(long, **options)
    assert (
        ours(long, max_new_tokens=8, do_sample=False, handle_long_generation="hole", return_full_text=False)
        == expected
    )
    with pytest.raises(OptionValueError, match="max_new_tokens=200 leaves no room"):
        ours(long, max_new_tokens=200, handle_long_generation="hole")


def test_streamed_pieces_make_the_whole_text(ours: TextGenerationPipeline) -> None:
    for prompt in PROMPTS:
        whole = ours(prompt, max_new_tokens=20, do_sample=False, return_full_text=False)[0]["generated_text"]
        pieces = list(ours.stream_text(prompt, max_new_tokens=20, do_sample=False))
        assert "".join(pieces) == whole
        assert len(pieces) > 1
    chat: list[ChatMessage] = [{"role": "user", "content": "What do bats eat?"}]
    answer = ours(chat, max_new_tokens=8, do_sample=False)[0]["generated_text"][-1]["content"]
    assert "".join(ours.stream_text(chat, max_new_tokens=8, do_sample=False)) == answer


def test_a_seed_gives_every_prompt_its_own_answers_whatever_the_batch(ours: TextGenerationPipeline) -> None:
    alone = [ours(prompt, max_new_tokens=10, seed=7, num_return_sequences=3) for prompt in PROMPTS]
    assert ours(PROMPTS, max_new_tokens=10, seed=7, num_return_sequences=3) == alone
    assert len({answer["generated_text"] for answer in alone[0]}) > 1
    assert ours(PROMPTS[0], max_new_tokens=10, seed=8, num_return_sequences=3) != alone[0]


def test_sampling_is_the_default_and_has_an_end(ours: TextGenerationPipeline) -> None:
    config = ours._task({}).config
    assert (config.do_sample, config.temperature, config.max_new_tokens) == (True, 0.7, 256)
    beams = ours._task({"num_beams": 2, "max_length": 30}).config
    assert (beams.do_sample, beams.max_new_tokens, beams.max_length) == (None, None, 30)


def test_an_empty_prompt_begins_with_the_token_that_begins_texts(ours: TextGenerationPipeline) -> None:
    text = ours("", max_new_tokens=5, do_sample=False)[0]["generated_text"]
    assert isinstance(text, str)
    bare = ours.tokenizer.replace(bos_token=None)
    unable = pipeline("text-generation", ours.model, tokenizer=bare)
    with pytest.raises(EmptyInputError, match="the prompt has no token"):
        unable("")
