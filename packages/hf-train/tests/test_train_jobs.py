"""A run described by a file, from rows to a model that loads again, for each task."""

import json
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer, models, pre_tokenizers, processors

from hf_config.families.bert import BertConfig
from hf_config.families.llama import LlamaConfig
from hf_hub_io import JsonValue
from hf_train.checkpoint import last_complete
from hf_train.jobs import DataSpec, Job, JobError, TaskName, job_of, plan_job, read_job, run_job
from hf_train.jobs.rows import read_rows
from hf_train.jobs.tasks import model_class

WORDS = [
    "good",
    "bad",
    "fine",
    "film",
    "book",
    "the",
    "a",
    "was",
    "is",
    "very",
    "what",
    "who",
    "red",
    "blue",
    "cat",
    "dog",
    "house",
    "Anna",
    "Berlin",
    "lives",
    "in",
]
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
TINY: dict[str, Any] = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Configurations of a tiny decoder and a tiny encoder, each with a tokenizer."""
    root = tmp_path_factory.mktemp("models")
    vocabulary = {token: index for index, token in enumerate(SPECIAL + WORDS)}
    for name, config in (
        ("llama", LlamaConfig(vocab_size=len(vocabulary), **TINY)),
        ("bert", BertConfig(vocab_size=len(vocabulary), max_position_embeddings=64, **TINY)),
    ):
        config.save_pretrained(root / name)
        rust = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
        rust.pre_tokenizer = pre_tokenizers.Whitespace()
        rust.add_special_tokens(SPECIAL)
        if name == "bert":
            rust.post_processor = processors.TemplateProcessing(
                single="[CLS] $A [SEP]",
                pair="[CLS] $A [SEP] $B:1 [SEP]:1",
                special_tokens=[("[CLS]", 2), ("[SEP]", 3)],
            )
        rust.save(str(root / name / "tokenizer.json"))
        roles = {f"{token.strip('[]').lower()}_token": token for token in SPECIAL}
        roles |= {"eos_token": "[SEP]"} if name == "llama" else {}
        (root / name / "tokenizer_config.json").write_text(json.dumps(roles))
    return root


def texts() -> list[dict[str, Any]]:
    """Sixty reviews whose last word decides."""
    kinds = [("film", "good"), ("book", "bad"), ("film", "bad"), ("book", "good")]
    return [
        {
            "text": f"the {thing} was {'very ' * (index % 3)}{word}",
            "label": "pos" if word == "good" else "neg",
        }
        for index in range(15)
        for thing, word in kinds
    ]


def tagged() -> list[dict[str, Any]]:
    names = [("Anna", "PER"), ("Berlin", "LOC")]
    rows = []
    for index in range(40):
        name, tag = names[index % 2]
        words = ["the", "cat", "is", name] if index % 3 else [name, "is", "very", "good"]
        rows.append({"tokens": words, "tags": [tag if word == name else "O" for word in words]})
    return rows


def questions() -> list[dict[str, Any]]:
    rows = []
    for index in range(40):
        colour, animal = ("red", "blue")[index % 2], ("cat", "dog")[index % 3 % 2]
        context = f"the {animal} is {colour} the house is {'blue' if colour == 'red' else 'red'}"
        answer = {"text": [colour], "answer_start": [context.index(f"is {colour}") + 3]}
        rows.append({"question": f"what is the {animal}", "context": context, "answers": answer})
    return rows


def written(tmp_path: Path, rows: list[dict[str, Any]]) -> DataSpec:
    for name in ("train", "held_out"):
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return DataSpec(train="train.jsonl", validation="held_out.jsonl", max_length=32, stride=4)


def trained(
    tmp_path: Path, model: Path, task: TaskName, rows: list[dict[str, Any]], **more: Any
) -> dict[str, float]:
    training: dict[str, JsonValue] = {
        "output_dir": "out",
        "max_steps": more.pop("steps", 60),
        "per_device_train_batch_size": 16,
        "learning_rate": 5e-3,
        "logging_steps": 20,
        "disable_tqdm": True,
        "save_steps": 1000,
    }
    data = written(tmp_path, rows)
    config: dict[str, JsonValue] | None = {} if more.pop("new", True) else None
    job = Job(
        task=task,
        model=str(model),
        data=data,
        training=training,
        config=config,
        folder=tmp_path,
        report=False,
    )
    metrics = run_job(job)
    model_class(task).from_pretrained(tmp_path / "out")
    assert (tmp_path / "out" / "README.md").read_text().startswith("---")
    assert last_complete(tmp_path / "out") is not None
    return metrics


def test_text_classification(tmp_path: Path, folder: Path) -> None:
    metrics = trained(tmp_path, folder / "bert", "text-classification", texts())
    assert metrics["eval_accuracy"] > 0.95
    config = json.loads((tmp_path / "out" / "config.json").read_text())
    assert config["id2label"] == {"0": "neg", "1": "pos"}


def test_regression(tmp_path: Path, folder: Path) -> None:
    rows = [{"text": row["text"], "label": 1.5 if row["label"] == "pos" else -1.5} for row in texts()]
    metrics = trained(tmp_path, folder / "bert", "text-classification", rows)
    assert metrics["eval_mse"] < 0.5


def test_token_classification(tmp_path: Path, folder: Path) -> None:
    metrics = trained(tmp_path, folder / "bert", "token-classification", tagged())
    assert metrics["eval_f1"] > 0.95


def test_question_answering(tmp_path: Path, folder: Path) -> None:
    metrics = trained(tmp_path, folder / "bert", "question-answering", questions(), steps=120)
    assert metrics["eval_exact"] > 0.9


def test_masked_language_modelling(tmp_path: Path, folder: Path) -> None:
    metrics = trained(tmp_path, folder / "bert", "masked-lm", texts())
    assert metrics["eval_accuracy"] > 0.4
    # The body goes on from what it learned; the head for masks is left behind, and one for classes is new.
    (tmp_path / "out").rename(tmp_path / "pretrained")
    metrics = trained(tmp_path, tmp_path / "pretrained", "text-classification", texts(), new=False)
    assert metrics["eval_accuracy"] > 0.95


@pytest.mark.parametrize("packed", [True, False])
def test_causal_language_modelling(tmp_path: Path, folder: Path, packed: bool) -> None:
    rows = texts()
    data = written(tmp_path, rows)
    spec = DataSpec(train=data.train, validation=data.validation, max_length=16, pack=packed)
    training: dict[str, JsonValue] = {
        "output_dir": "out",
        "max_steps": 60,
        "learning_rate": 5e-3,
        "disable_tqdm": True,
    }
    job = Job(
        task="causal-lm",
        model=str(folder / "llama"),
        data=spec,
        training=training,
        config={},
        folder=tmp_path,
        report=False,
    )
    said: list[str] = []
    metrics = run_job(job, say=said.append)
    assert metrics["eval_accuracy"] > 0.6
    assert "max_steps" in said[0]
    assert "parameters" in said[1]
    assert "a device: weights" in said[2]
    assert plan_job(job).splitlines()[-1].startswith(("about", "worth a try"))


def test_a_file_is_read_with_overrides(tmp_path: Path) -> None:
    file = tmp_path / "run.yaml"
    file.write_text("task: causal-lm\nmodel: m\ndata: rows.txt\ntraining: {output_dir: out, max_steps: 5}\n")
    job = read_job(file, {"training.max_steps": 7, "data.pack": True})
    assert (job.training["max_steps"], job.data, job.folder) == (
        7,
        DataSpec(train="rows.txt", pack=True),
        tmp_path,
    )


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"task": "causal"}, "no task is called 'causal'"),
        ({"modle": "x"}, "nobody understands modle; did you mean 'model'"),
        ({"data": {"train": "x", "txt": "y"}}, "nobody understands data.txt"),
        ({"data": {}}, r"has no data\.train"),
        ({"training": 3}, "training is 3, expected names"),
        ({"model": None}, None),
    ],
)
def test_what_nobody_understands_is_refused(change: dict[str, Any], said: str | None) -> None:
    values = {"task": "causal-lm", "model": "m", "data": "rows.txt", "training": {}} | change
    if said is None:
        del values["model"]
        said = "has no 'model'"
    with pytest.raises(JobError, match=said):
        job_of(values)


def test_rows_come_from_files_of_many_kinds(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("text,label\nhello,1\n")
    (tmp_path / "a.tsv").write_text("text\tlabel\nhello\t1\n")
    (tmp_path / "a.json").write_text('{"data": [{"text": "hello", "label": "1"}]}')
    (tmp_path / "a.jsonl").write_text('{"text": "hello", "label": "1"}\n\n')
    for name in ("a.csv", "a.tsv", "a.json", "a.jsonl"):
        assert read_rows(name, tmp_path, split="train") == [{"text": "hello", "label": "1"}]
    (tmp_path / "a.txt").write_text("one\n\ntwo\n")
    assert read_rows("a.txt", tmp_path, split="train", limit=1) == [{"text": "one"}]


def test_rows_that_cannot_be_are_named(tmp_path: Path, folder: Path) -> None:
    (tmp_path / "bad.jsonl").write_text('{"text": 1}\n{broken\n')
    (tmp_path / "empty.txt").write_text("")
    for name, said in (
        ("bad.jsonl", "line 2"),
        ("empty.txt", "has no rows"),
        ("gone.csv", "there is no file"),
    ):
        with pytest.raises(JobError, match=said):
            read_rows(name, tmp_path, split="train")
    wrong = [
        ("text-classification", [{"text": "good"}], "has no column 'label'"),
        ("token-classification", [{"tokens": ["a"], "tags": ["O", "O"]}], "1 words and 2 tags"),
        (
            "question-answering",
            [{"question": "a", "context": "the cat", "answers": {"text": ["dog"], "answer_start": [4]}}],
            "the answer is 'dog', and at 4 the context says 'cat'",
        ),
    ]
    for task, rows, said in wrong:
        with pytest.raises(JobError, match=said):
            trained(tmp_path, folder / "bert", task, rows)  # type: ignore[arg-type]  # names of tasks
