"""Summaries, translations, answers and conversations of tiny encoder-decoders made here."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
import torch

import hf_modeling
from hf_config import AutoConfig, PreTrainedConfig
from hf_modeling.generation.errors import ContradictionError
from hf_pipelines import (
    ChatMessage,
    EmptyInputError,
    FailedItem,
    GeneratedText,
    InputTooLongError,
    InputTypeError,
    OptionValueError,
    TableQuestion,
    TaskMismatchError,
    Text2TextPipeline,
    UnknownOptionError,
    pipeline,
    pipeline_for,
)
from hf_pipelines.tasks.translation import TranslationOptions

WORDS = ["<pad>", "</s>", "<unk>", "eng", "fra", ">>fra<<", "translate", *"abcdefghijklmnopqrst"]
TEXTS = ["a b c", "d", "e f g h i j k l m n", "o p a", "b c d e f", "q r s t"]
MakeModel = Callable[..., Path]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> MakeModel:
    """Makes a folder with a random T5 over words, its config.json and tokenizer_config.json as asked."""

    def make(tokenizer_class: str = "PreTrainedTokenizerFast", **extra: object) -> Path:
        folder = tmp_path_factory.mktemp("t5")
        special = [
            {"id": id, "content": WORDS[id], "special": True, "single_word": False, "lstrip": False,
             "rstrip": False, "normalized": False}
            for id in ((0, 1, 2, 3, 4) if tokenizer_class == "NllbTokenizer" else (0, 1, 2))
        ]  # fmt: skip
        end = {"SpecialToken": {"id": "</s>", "type_id": 0}}
        engine = {
            "version": "1.0",
            "truncation": None,
            "padding": None,
            "added_tokens": special,
            "normalizer": None,
            "pre_tokenizer": {"type": "WhitespaceSplit"},
            "post_processor": {
                "type": "TemplateProcessing",
                "single": [{"Sequence": {"id": "A", "type_id": 0}}, end],
                "pair": [
                    {"Sequence": {"id": "A", "type_id": 0}},
                    {"Sequence": {"id": "B", "type_id": 0}},
                    end,
                ],
                "special_tokens": {"</s>": {"id": "</s>", "ids": [1], "tokens": ["</s>"]}},
            },
            "decoder": None,
            "model": {"type": "Unigram", "vocab": [[word, -1.0] for word in WORDS], "unk_id": 2},
        }
        (folder / "tokenizer.json").write_text(json.dumps(engine))
        roles = {"eos_token": "</s>", "pad_token": "<pad>", "unk_token": "<unk>", "model_max_length": 16}
        (folder / "tokenizer_config.json").write_text(
            json.dumps({"tokenizer_class": tokenizer_class, **roles})
        )
        config = AutoConfig.for_model(
            "t5",
            vocab_size=len(WORDS),
            d_model=16,
            d_kv=8,
            d_ff=24,
            num_layers=2,
            num_heads=2,
            decoder_start_token_id=0,
        )
        torch.manual_seed(1)
        model = hf_modeling.T5ForConditionalGeneration(config)
        with torch.no_grad():
            for weights in model.parameters():
                weights.normal_(std=0.7)  # so that no two texts are answered alike
        model.save_pretrained(folder)
        told = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps({**told, **extra}))
        return folder

    return make


@pytest.fixture(scope="module")
def plain(made: MakeModel) -> Text2TextPipeline:
    return pipeline("text2text-generation", made(), max_new_tokens=8)


def test_a_text_gives_a_list_and_a_list_a_record_each_in_order(plain: Text2TextPipeline) -> None:
    alone = [plain(text) for text in TEXTS]
    assert all(len(records) == 1 and records[0].keys() == {"generated_text"} for records in alone)
    assert len({records[0]["generated_text"] for records in alone}) > 2
    together = [records[0] for records in alone]
    assert plain(TEXTS) == together
    assert plain(TEXTS, batch_size=2) == together
    assert list(plain(iter(TEXTS))) == together
    assert list(plain.stream(TEXTS)) == together


def test_the_answer_is_what_the_model_generates(plain: Text2TextPipeline) -> None:
    model = plain.model
    assert isinstance(model, hf_modeling.T5ForConditionalGeneration)
    for text in TEXTS:
        ids = torch.tensor([plain.tokenizer.encode(text)])
        tokens = model.generate(ids, num_beams=4, max_new_tokens=8)[0].tolist()
        expected = plain.tokenizer.decode(tokens, skip_special_tokens=True)
        assert plain(text) == [{"generated_text": expected}]
    raw = plain(TEXTS[0], skip_special_tokens=False)[0]["generated_text"]
    assert raw.startswith("<pad>")


def test_several_answers_are_asked_for_by_name(plain: Text2TextPipeline) -> None:
    alone = plain(TEXTS[2], num_return_sequences=3)
    assert len(alone) == 3
    assert alone[0] == plain(TEXTS[2])[0]
    assert list(plain.answers(TEXTS, num_return_sequences=3))[2] == alone
    with pytest.raises(OptionValueError, match=r"pipe\.answers"):
        plain(TEXTS, num_return_sequences=3)


def test_four_beams_and_256_tokens_unless_somebody_says_otherwise(made: MakeModel) -> None:
    pipe = pipeline("summarization", made())
    config = pipe._task({}).asked.config
    assert (config.num_beams, config.max_new_tokens) == (4, 256)
    sampled = pipe._task({"do_sample": True, "max_length": 9}).asked.config
    assert (sampled.num_beams or 1, sampled.max_length) == (1, 9)
    told = {"task_specific_params": {"summarization": {"num_beams": 2, "max_length": 7, "prefix": "a b "}}}
    known = pipeline("summarization", made(**told))._task({}).asked
    assert (known.config.num_beams, known.config.max_length, known.prefix) == (2, 7, "a b ")


def test_a_prefix_stands_before_every_text(made: MakeModel, plain: Text2TextPipeline) -> None:
    expected = plain("translate a b c")
    assert plain("a b c", prefix="translate ") == expected
    summarize = pipeline("summarization", made(prefix="translate "), max_new_tokens=8)
    assert summarize("a b c") == [{"summary_text": expected[0]["generated_text"]}]


def test_streamed_pieces_make_the_greedy_answer(plain: Text2TextPipeline) -> None:
    greedy = plain(TEXTS[2], num_beams=1, do_sample=False)[0]["generated_text"]
    assert "".join(plain.stream_text(TEXTS[2])) == greedy
    with pytest.raises(ContradictionError, match="num_beams"):
        list(plain.stream_text(TEXTS[2], num_beams=3))


def test_a_seed_gives_every_text_its_own_answer_whatever_the_batch(plain: Text2TextPipeline) -> None:
    alone = [plain(text, do_sample=True, seed=3)[0] for text in TEXTS]
    assert plain(TEXTS, do_sample=True, seed=3) == alone
    assert plain(TEXTS, do_sample=True, seed=4) != alone


def test_nothing_is_cut_unless_asked(plain: Text2TextPipeline) -> None:
    long = " ".join("abcdefghij" * 3)
    with pytest.raises(InputTooLongError, match="31 tokens, but at most 16"):
        plain(long)
    assert plain(long, truncation=True) == plain(" ".join("abcdefghijabcde"))
    results = list(plain.stream(["a", long, "b"], on_error="yield"))
    assert [isinstance(result, FailedItem) for result in results] == [False, True, False]


def test_async_sources_give_async_results(plain: Text2TextPipeline) -> None:
    async def source() -> AsyncIterator[str]:
        for text in TEXTS:
            yield text

    async def gathered() -> list[GeneratedText]:
        return [record async for record in plain(source())]

    assert asyncio.run(gathered()) == plain(TEXTS)


def test_languages_are_asked_for_by_tokens(made: MakeModel) -> None:
    folder = made("NllbTokenizer")
    pipe = pipeline("translation", folder, max_new_tokens=6, skip_special_tokens=False)
    answer = pipe("a b", src_lang="eng", tgt_lang="fra")[0]["translation_text"]
    assert answer.split()[:2] == ["<pad>", "fra"]
    task = pipe._task(TranslationOptions(src_lang="eng", tgt_lang="fra"))
    row = task.preprocess(["a b"])[0][0]
    assert pipe.tokenizer.convert_ids_to_tokens(row.input_ids) == ["eng", "a", "b", "</s>"]
    with pytest.raises(OptionValueError, match="tgt_lang='deu' has no token"):
        pipe("a b", tgt_lang="deu")


def test_languages_are_asked_for_by_words_or_a_mark(made: MakeModel) -> None:
    marked = pipeline("translation", made())._task(TranslationOptions(tgt_lang="fra"))
    assert marked.asked.prefix == ">>fra<< "
    params = {"translation_en_to_fr": {"prefix": "translate ", "num_beams": 3}}
    folder = made(task_specific_params=params)
    named = pipeline("translation_en_to_fr", folder, max_new_tokens=5)
    assert named._task(named._defaults).asked.prefix == "translate "
    by_option = pipeline("translation", folder, max_new_tokens=5)
    assert by_option("a b", src_lang="en", tgt_lang="fr") == named("a b")
    with pytest.raises(OptionValueError, match="it knows translation_en_to_fr"):
        by_option("a b", src_lang="en", tgt_lang="de")


def test_conversations_go_on_and_stay_as_they_were(made: MakeModel) -> None:
    pipe = pipeline("conversational", made(), max_new_tokens=6)
    chat: list[ChatMessage] = [{"role": "user", "content": "a b"}, {"role": "assistant", "content": "c"}]
    chat.append({"role": "user", "content": "d e"})
    longer = pipe(chat)
    assert longer[:-1] == chat
    assert len(chat) == 3
    expected = pipeline("text2text-generation", pipe.model, tokenizer=pipe.tokenizer, max_new_tokens=6)(
        "a b  c  d e"
    )
    assert longer[-1] == {"role": "assistant", "content": expected[0]["generated_text"].strip()}
    assert pipe([chat, chat[:1]])[0] == longer
    with pytest.raises(OptionValueError, match="several"):
        pipe(chat, num_return_sequences=2)
    with pytest.raises(EmptyInputError, match="no message"):
        list(pipe.stream([[]]))


def test_wrong_names_and_wrong_checkpoints_are_refused(made: MakeModel) -> None:
    with pytest.raises(UnknownOptionError, match="num_beams"):
        pipeline_for("summarization", made(), {"nun_beams": 2})
    with pytest.raises(TaskMismatchError) as caught:
        pipeline("fill-mask", made())
    assert {"summarization", "translation", "text2text-generation"} <= set(caught.value.can_do)


def test_a_saved_pipeline_answers_alike(plain: Text2TextPipeline, tmp_path: Path) -> None:
    plain.save_pretrained(tmp_path)
    again = pipeline("text2text-generation", tmp_path, max_new_tokens=8)
    assert again(TEXTS) == plain(TEXTS)
    assert isinstance(again.model.config, PreTrainedConfig)


def test_tables_are_read_row_by_row(made: MakeModel) -> None:
    loaded = pipeline("text2text-generation", made())
    narrow = loaded.tokenizer.replace(model_max_length=18)
    pipe = pipeline("table-question-answering", loaded.model, tokenizer=narrow, max_new_tokens=6)
    item: TableQuestion = {"table": {"A": ["b", "C"], "d": ["e", "f"]}, "query": "a b"}
    plain = pipeline("text2text-generation", pipe.model, tokenizer=pipe.tokenizer, max_new_tokens=6)
    with pytest.raises(InputTooLongError, match="drop_rows_to_fit"):
        pipe(item)
    wide = pipe.tokenizer.replace(model_max_length=26)
    whole = pipeline("table-question-answering", pipe.model, tokenizer=wide, max_new_tokens=6)
    text = "a b col : a | d row 1 : b | e row 2 : c | f"
    expected = pipeline("text2text-generation", pipe.model, tokenizer=wide, max_new_tokens=6)(text)
    assert whole(item) == {"answer": expected[0]["generated_text"].strip()}
    kept = pipe(item, truncation="drop_rows_to_fit")
    assert kept == {"answer": plain("a b col : a | d row 1 : b | e")[0]["generated_text"].strip()}
    assert whole([item, item]) == [whole(item)] * 2
    uneven: TableQuestion = {"table": {"a": ["b"], "c": []}, "query": "d"}
    with pytest.raises(InputTypeError, match="columns of one length"):
        whole(uneven)
    with pytest.raises(EmptyInputError, match="no column"):
        whole({"table": {}, "query": "d"})


def test_a_checkpoint_names_its_task_itself(made: MakeModel, plain: Text2TextPipeline) -> None:
    found = pipeline(model=made())
    assert found.task == "text2text-generation"
    assert pipeline(model=plain.model, tokenizer=plain.tokenizer).task == "text2text-generation"
    with pytest.raises(OptionValueError, match="neither a task nor a model"):
        pipeline_for(None, None, {})
