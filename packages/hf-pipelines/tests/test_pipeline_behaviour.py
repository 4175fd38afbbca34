from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch

from hf_modeling import BertForMaskedLM, BertModel
from hf_pipelines import (
    EmptyInputError,
    FailedItem,
    InputTooLongError,
    InputTypeError,
    MissingTokenError,
    OptionValueError,
    PoolingError,
    TaskMismatchError,
    UnknownOptionError,
    UnknownTaskError,
    pipeline,
    pipeline_for,
    tasks,
)
from hf_tokenize import AutoTokenizer

MakeFolder = Callable[..., Path]
TEXTS = ["paris is the capital of france.", "bats eat moths", "hello", "hello world, hello france", "bats"]
LONG = "hello world " * 40


def test_what_goes_in_decides_what_comes_out(folder: MakeFolder) -> None:
    pipe = pipeline("feature-extraction", folder("BertModel"))
    single = [pipe(text, return_tensors=True) for text in TEXTS]
    for ours in (
        pipe(TEXTS, return_tensors=True),
        list(pipe(iter(TEXTS), return_tensors=True)),
        [torch.tensor(rows) for rows in pipe.stream(TEXTS)],
        [torch.tensor(rows) for rows in pipe(TEXTS, batch_size=2)],
        [torch.tensor(rows) for rows in pipe(TEXTS, batch_size=1)],
    ):
        for a, b in zip(ours, single, strict=True):
            torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-5)


def test_datasets_read_by_index_are_streamed(folder: MakeFolder) -> None:
    class Dataset:
        def __len__(self) -> int:
            return len(TEXTS)

        def __getitem__(self, index: int) -> str:
            return TEXTS[index]

    pipe = pipeline("feature-extraction", folder("BertModel"), pooling="mean")
    torch.testing.assert_close(torch.stack(list(pipe.stream(Dataset()))), pipe(TEXTS), atol=1e-5, rtol=1e-5)


def test_async_sources_are_streamed(folder: MakeFolder) -> None:
    pipe = pipeline("feature-extraction", folder("BertModel"), pooling="mean")

    async def source() -> AsyncIterator[str]:
        for text in TEXTS:
            yield text

    async def collect() -> list[torch.Tensor]:
        return [vector async for vector in pipe(source())]

    torch.testing.assert_close(torch.stack(asyncio.run(collect())), pipe(TEXTS), atol=1e-5, rtol=1e-5)


def test_threads_share_a_pipeline(folder: MakeFolder) -> None:
    pipe = pipeline("text-classification", folder("BertForSequenceClassification"))
    expected = pipe(TEXTS, top_k=None)
    with ThreadPoolExecutor(8) as pool:
        for result in pool.map(lambda _: pipe(TEXTS, top_k=None), range(40)):
            assert [[label["label"] for label in one] for one in result] == [
                [label["label"] for label in one] for one in expected
            ]
    assert pipe.stats().inputs == 41 * len(TEXTS)


def test_a_bad_input_stands_in_its_place(folder: MakeFolder) -> None:
    pipe = pipeline("text-classification", folder("BertForSequenceClassification"))
    items = ["hello", LONG, "bats", 7, "world"]
    results = list(pipe.stream(items, on_error="yield"))  # type: ignore[call-overload]  # a number on purpose
    assert [type(result).__name__ for result in results] == [
        "dict",
        "FailedItem",
        "dict",
        "FailedItem",
        "dict",
    ]
    errors = [result.error for result in results if isinstance(result, FailedItem)]
    assert [type(error) for error in errors] == [InputTooLongError, InputTypeError]
    stream = pipe.stream(["hello", LONG, "bats"])
    assert next(stream)["label"].startswith("LABEL_")
    with pytest.raises(InputTooLongError) as caught:
        next(stream)
    assert caught.value.__notes__ == ["(raised by input number 1, counted from 0)"]


def test_a_list_of_one_is_a_list(folder: MakeFolder) -> None:
    pipe = pipeline("feature-extraction", folder("BertModel"), pooling="mean")
    torch.testing.assert_close(pipe(TEXTS[:1]), pipe(TEXTS[0])[None])
    assert pipe.stats().inputs == 2
    with pytest.raises(InputTooLongError) as caught:
        pipe([LONG])
    assert caught.value.__notes__ == ["(raised by input number 0, counted from 0)"]


def test_nothing_is_cut_without_being_asked(folder: MakeFolder) -> None:
    pipe = pipeline("feature-extraction", folder("BertModel"))
    with pytest.raises(InputTooLongError) as caught:
        pipe(LONG)
    assert (caught.value.tokens, caught.value.limit) == (82, 32)
    assert "the text has 82 tokens, but at most 32 fit" in str(caught.value)
    assert "truncation=True" in caught.value.fix
    assert pipe(LONG, return_tensors=True, truncation=True).shape == (1, 32, 16)


def test_long_texts_are_tagged_in_windows_but_never_silently_cut(folder: MakeFolder) -> None:
    pipe = pipeline("ner", folder("BertForTokenClassification", id2label={0: "A", 1: "B"}))
    with pytest.raises(InputTooLongError, match="82 tokens"):
        pipe(LONG)
    groups = pipe(LONG, aggregation_strategy="first")
    assert groups[0]["start"] == 0
    assert groups[-1]["end"] == len(LONG.rstrip())
    assert all(group["word"] == LONG[group["start"] : group["end"]] for group in groups)
    with pytest.raises(OptionValueError, match="stride cuts a text into windows"):
        pipe(LONG, aggregation_strategy="none", stride=4)  # type: ignore[call-overload]  # the point of the test
    with pytest.raises(OptionValueError, match="aggregation_strategy='most' is unknown"):
        pipe("hello", aggregation_strategy="most")  # type: ignore[call-overload]  # the point of the test


@pytest.mark.parametrize(("given", "found"), [(7, "int"), (None, "NoneType"), (b"text", "bytes")])
def test_what_is_not_text_is_refused(folder: MakeFolder, given: object, found: str) -> None:
    pipe = pipeline("feature-extraction", folder("BertModel"), pooling="mean")
    with pytest.raises(InputTypeError, match=f"not {found}"):
        list(pipe([given]))  # type: ignore[list-item]  # the point of the test


def test_a_single_input_of_the_wrong_kind_is_refused(folder: MakeFolder) -> None:
    pipe = pipeline("question-answering", folder("BertForQuestionAnswering"))
    with pytest.raises(InputTypeError, match="reads one input, a list, an iterable"):
        pipe(7)  # type: ignore[call-overload]  # the point of the test
    with pytest.raises(InputTypeError, match=r"reads \{'question': \.\.\., 'context'"):
        pipe({"question": "what?"})  # type: ignore[call-overload]  # the point of the test
    with pytest.raises(EmptyInputError, match="the context is empty"):
        pipe({"question": "what?", "context": " "})


def test_an_empty_text_is_what_the_tokenizer_makes_of_it(folder: MakeFolder) -> None:
    assert len(pipeline("feature-extraction", folder("BertModel"))("")[0]) == 2
    assert pipeline("ner", folder("BertForTokenClassification", id2label={0: "A", 1: "B"}))("") == []


def test_an_unknown_task_has_the_nearest_names() -> None:
    with pytest.raises(UnknownTaskError, match="there is no task 'text-clasification'") as caught:
        pipeline_for("text-clasification", "nowhere", {})
    assert caught.value.near[0] == "text-classification"
    assert "sentiment-analysis" in caught.value.fix


def test_a_task_without_a_model_suggests_one() -> None:
    with pytest.raises(OptionValueError, match="no model was named") as caught:
        pipeline("fill-mask")
    assert caught.value.fix == "a common one: pipeline('fill-mask', 'google-bert/bert-base-uncased')"


def test_a_task_the_checkpoint_cannot_do_names_those_it_can(folder: MakeFolder) -> None:
    with pytest.raises(
        TaskMismatchError, match="holds BertForMaskedLM, which has no head for 'token-classification'"
    ) as caught:
        pipeline("ner", folder("BertForMaskedLM"))
    assert caught.value.can_do == ("feature-extraction", "fill-mask", "sentence-similarity", "text-ranking")


def test_features_come_from_any_checkpoint(folder: MakeFolder) -> None:
    for name in ("BertModel", "BertForMaskedLM", "BertForSequenceClassification"):
        assert pipeline("feature-extraction", folder(name))("hello", return_tensors=True).shape == (1, 3, 16)


def test_an_unknown_option_has_the_nearest_name(folder: MakeFolder) -> None:
    where = folder("BertForMaskedLM")
    with pytest.raises(UnknownOptionError, match="'fill-mask' has no option 'top_n'") as caught:
        pipeline("fill-mask", where, top_n=3)  # type: ignore[call-overload]  # the point of the test
    assert caught.value.fix.startswith("did you mean 'top_k'?")
    with pytest.raises(UnknownOptionError):
        pipeline("fill-mask", where)("[MASK]", target="paris")  # type: ignore[call-overload]  # as above


@pytest.mark.parametrize("size", [0, -1, "large", 2.5])
def test_a_batch_size_is_a_number_of_rows(folder: MakeFolder, size: object) -> None:
    pipe = pipeline("feature-extraction", folder("BertModel"))
    with pytest.raises(OptionValueError, match="is not a number of rows"):
        pipe("hello", batch_size=size)  # type: ignore[call-overload]  # the point of the test


def test_masks_have_to_be_there(folder: MakeFolder) -> None:
    pipe = pipeline("fill-mask", folder("BertForMaskedLM"))
    with pytest.raises(MissingTokenError, match=r"there is no \[MASK\] in the text 'paris'"):
        pipe("paris")
    tokenizer = AutoTokenizer.from_pretrained(folder("BertForMaskedLM")).replace(mask_token=None)
    blind = pipeline("fill-mask", folder("BertForMaskedLM"), tokenizer=tokenizer)
    with pytest.raises(MissingTokenError, match="the tokenizer has no mask token"):
        blind("paris")


def test_targets_are_single_tokens(folder: MakeFolder) -> None:
    pipe = pipeline("fill-mask", folder("BertForMaskedLM"))
    fills = pipe("paris is [MASK].", targets=["france", "moths", "france"])
    assert {fill["token_str"] for fill in fills if isinstance(fill, dict)} == {"france", "moths"}
    with pytest.raises(OptionValueError, match="the target 'moon' is not one token"):
        pipe("paris is [MASK].", targets="moon")
    with pytest.raises(OptionValueError, match="targets is an empty list"):
        pipe("paris is [MASK].", targets=[])


def test_zero_shot_needs_labels_a_template_and_entailment(folder: MakeFolder) -> None:
    nli = folder("BertForSequenceClassification", id2label={0: "contradiction", 1: "entailment"})
    pipe = pipeline("zero-shot-classification", nli)
    with pytest.raises(OptionValueError, match="no candidate labels"):
        pipe("hello")
    with pytest.raises(OptionValueError, match="no candidate labels"):
        pipe("hello", candidate_labels=" , ")
    with pytest.raises(OptionValueError, match="has no place for the label"):
        pipe("hello", candidate_labels=["a"], hypothesis_template="it is so")
    blind = pipeline(
        "zero-shot-classification", folder("BertForSequenceClassification"), candidate_labels="a,b"
    )
    with pytest.raises(
        OptionValueError, match="none of the model's labels says entailment: LABEL_0, LABEL_1"
    ):
        blind("hello")


def test_each_label_is_scored_once_and_batched_with_others(folder: MakeFolder) -> None:
    nli = folder("BertForSequenceClassification", id2label={0: "contradiction", 1: "entailment"})
    pipe = pipeline("zero-shot-classification", nli, candidate_labels=["bats", "paris", "bats", " paris"])
    result = pipe(TEXTS)
    assert all(set(one["labels"]) == {"bats", "paris"} for one in result)
    assert all(sum(one["scores"]) == pytest.approx(1.0, abs=1e-5) for one in result)
    assert pipe.stats().rows == 2 * len(TEXTS)
    assert pipe.stats().forwards < len(TEXTS)


def test_pooling_has_to_be_known(folder: MakeFolder) -> None:
    with pytest.raises(PoolingError, match="does not say how to pool"):
        pipeline("feature-extraction", folder("BertModel"), pooling="auto")
    embed = pipeline("feature-extraction", folder("BertModel"), pooling="cls")
    assert embed(TEXTS).shape == (len(TEXTS), embed.dimension) == (5, 16)
    assert embed([]).shape == (0, 16)


def test_prompts_go_before_every_text(folder: MakeFolder) -> None:
    embed = pipeline("feature-extraction", folder("BertModel"), pooling="mean")
    torch.testing.assert_close(embed("bats", prompt="hello "), embed("hello bats"))


def test_rankings_keep_the_order_of_equals_and_cut_at_top_k(folder: MakeFolder) -> None:
    embedder = folder("BertForSequenceClassification", id2label={0: "relevance"})
    rank = pipeline("text-ranking", embedder)
    ranking = rank({"query": "bats", "documents": ["moths", "paris", "moths"]})
    places = [document["corpus_id"] for document in ranking]
    assert places.index(0) + 1 == places.index(2)
    assert (
        rank({"query": "bats", "documents": ["moths", "paris"]}, top_k=1) == ranking[:1] or len(ranking) == 3
    )
    with pytest.raises(EmptyInputError, match="no documents"):
        rank({"query": "bats", "documents": []})
    with pytest.raises(OptionValueError, match="2 labels, so its scores have no order"):
        pipeline("text-ranking", folder("BertForSequenceClassification"))


def test_a_model_object_serves_as_well_as_a_folder(folder: MakeFolder) -> None:
    path = folder("BertModel")
    model, tokenizer = BertModel.from_pretrained(path), AutoTokenizer.from_pretrained(path)
    ours = pipeline("feature-extraction", model, tokenizer=tokenizer)("hello")
    assert ours == pipeline("feature-extraction", path)("hello")
    with pytest.raises(OptionValueError, match="does not know its tokenizer"):
        pipeline("feature-extraction", model)
    with pytest.raises(TaskMismatchError, match="BertModel"):
        pipeline("fill-mask", model, tokenizer=tokenizer)


def test_features_come_from_inside_a_model_object_with_a_head(folder: MakeFolder) -> None:
    path = folder("BertForMaskedLM")
    model, tokenizer = BertForMaskedLM.from_pretrained(path), AutoTokenizer.from_pretrained(path)
    ours = pipeline("feature-extraction", model, tokenizer=tokenizer)("hello bats")
    assert ours == pipeline("feature-extraction", path)("hello bats")


def test_saved_pipelines_load_again(folder: MakeFolder, tmp_path: Path) -> None:
    pipe = pipeline("fill-mask", folder("BertForMaskedLM"))
    pipe.save_pretrained(tmp_path)
    assert pipeline("fill-mask", tmp_path)("paris is [MASK].") == pipe("paris is [MASK].")


def test_options_given_first_are_defaults_of_every_call(folder: MakeFolder) -> None:
    pipe = pipeline("fill-mask", folder("BertForMaskedLM"), top_k=2)
    assert len(pipe("[MASK]")) == 2
    assert len(pipe("[MASK]", top_k=3)) == 3
    assert len(pipe.with_options({"top_k": 1})("[MASK]")) == 1
    assert len(pipe("[MASK]")) == 2


def test_nothing_is_printed(folder: MakeFolder, capfd: pytest.CaptureFixture[str]) -> None:
    pipe = pipeline("text-classification", folder("BertForSequenceClassification"))
    pipe(TEXTS)
    printed = capfd.readouterr()
    assert printed.out + printed.err == ""
    list(pipe(iter(TEXTS), progress=True))
    assert "5 inputs" in capfd.readouterr().err


def test_every_task_has_heads_and_a_pipeline() -> None:
    assert {"text-generation", "fill-mask", "text-ranking"} <= tasks().keys()
    assert all(entry.heads for entry in tasks().values())
