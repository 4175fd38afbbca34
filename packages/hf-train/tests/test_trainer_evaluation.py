"""Evaluation counts every row once, in memory that does not grow with the data, and names metrics that fail."""

import gc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from hf_modeling import BartForConditionalGeneration
from hf_train import EvalPrediction, MetricError, Seq2SeqTrainer, Seq2SeqTrainingArguments, Trainer
from hf_train.evaluation import F1, Accuracy, Collected, MeanSquaredError, StreamingMetric, dealt, gather_rows
from hf_train.evaluation.collect import check_size
from hf_train.memory import resident
from hf_train.testing import quiet, tiny_classifier, tiny_llama, token_rows


def _rows(count: int) -> list[dict[str, Any]]:
    return [{"input_ids": row["input_ids"], "label": i % 3} for i, row in enumerate(token_rows(count))]


def _accuracy(prediction: EvalPrediction) -> dict[str, float]:
    predictions, labels = prediction
    return {"accuracy": float((predictions.argmax(-1) == labels).mean())}


def test_loss_is_the_mean_over_labels_not_over_batches(tmp_path: Path) -> None:
    rows = token_rows(11)
    trainer = Trainer(tiny_llama(), quiet(tmp_path), eval_dataset=rows)
    ids, labels = (torch.tensor([row[name] for row in rows]) for name in ("input_ids", "labels"))
    logits = tiny_llama()(ids).logits[:, :-1]
    expected = nn.functional.cross_entropy(logits.flatten(0, 1), labels[:, 1:].flatten(), ignore_index=-100)
    assert trainer.evaluate()["eval_loss"] == pytest.approx(expected.item(), rel=1e-6)


def test_streaming_and_collecting_metrics_agree(tmp_path: Path) -> None:
    rows = _rows(13)
    collected = Trainer(
        tiny_classifier(), quiet(tmp_path), eval_dataset=rows, compute_metrics=_accuracy
    ).evaluate()
    for metric in (Accuracy(), F1(3)):
        assert isinstance(metric, StreamingMetric)
        streamed = Trainer(tiny_classifier(), quiet(tmp_path), eval_dataset=rows, compute_metrics=metric)
        for _ in range(2):  # an evaluation begins with nothing
            assert streamed.evaluate()["eval_accuracy"] == pytest.approx(collected["eval_accuracy"])


def test_batch_metrics_are_called_batch_by_batch(tmp_path: Path) -> None:
    seen: list[tuple[int, bool]] = []

    def metric(prediction: EvalPrediction, compute_result: bool) -> dict[str, float]:
        seen.append((len(prediction.label_ids), compute_result))
        return {"rows": float(sum(n for n, _ in seen))} if compute_result else {}

    args = quiet(tmp_path, batch_eval_metrics=True)
    trainer = Trainer(tiny_classifier(), args, eval_dataset=_rows(10), compute_metrics=metric)
    assert trainer.evaluate()["eval_rows"] == 10
    assert seen == [(4, False), (4, False), (2, True)]


def test_metrics_may_see_inputs_and_losses(tmp_path: Path) -> None:
    def metric(prediction: EvalPrediction) -> dict[str, float]:
        _, labels, inputs, losses = prediction
        return {"rows": len(labels), "width": inputs.shape[1], "losses": len(losses)}

    args = quiet(tmp_path, include_for_metrics=["inputs", "loss"])
    metrics = Trainer(tiny_classifier(), args, eval_dataset=_rows(6), compute_metrics=metric).evaluate()
    assert (metrics["eval_rows"], metrics["eval_width"], metrics["eval_losses"]) == (6, 12, 6)


def test_logits_may_be_reduced_before_they_are_kept(tmp_path: Path) -> None:
    trainer = Trainer(
        tiny_llama(),
        quiet(tmp_path),
        eval_dataset=token_rows(5),
        compute_metrics=lambda p: {"ndim": p.predictions.ndim},
        preprocess_logits_for_metrics=lambda logits, labels: logits.argmax(-1),
    )
    assert trainer.evaluate()["eval_ndim"] == 2


def test_ragged_batches_are_padded(tmp_path: Path) -> None:
    rows = [row for n in (5, 9) for row in token_rows(2, length=n)]
    args = quiet(tmp_path, per_device_eval_batch_size=2)
    output = Trainer(tiny_llama(), args).predict(rows)
    assert output.predictions.shape == (4, 9, 53)
    assert (output.predictions[:2, 5:] == -100).all()
    assert (output.label_ids[:2, 5:] == -100).all()
    lists = Trainer(tiny_llama(), args.replace(eval_do_concat_batches=False)).predict(rows)
    assert [part.shape for part in lists.predictions] == [(2, 5, 53), (2, 9, 53)]


def test_rows_without_labels_are_predicted(tmp_path: Path) -> None:
    rows = [{"input_ids": row["input_ids"]} for row in token_rows(3)]
    output = Trainer(tiny_llama(), quiet(tmp_path)).predict(rows)
    assert output.label_ids is None
    assert output.metrics is not None
    assert "test_loss" not in output.metrics
    expected = tiny_llama().eval()(torch.tensor([row["input_ids"] for row in rows])).logits.detach().numpy()
    np.testing.assert_allclose(output.predictions, expected, rtol=1e-5, atol=1e-6)


def test_evaluation_leaves_training_as_it_was(tmp_path: Path) -> None:
    losses = []
    for strategy in ("no", "steps"):
        args = quiet(tmp_path, max_steps=4, eval_strategy=strategy, eval_steps=1)
        trainer = Trainer(
            tiny_llama(dropout=0.1), args, train_dataset=token_rows(16), eval_dataset=token_rows(6)
        )
        trainer.train()
        losses.append([log["loss"] for log in trainer.state.log_history if "loss" in log])
    assert losses[0] == losses[1]


@pytest.mark.parametrize(
    ("metric", "says"),
    [
        (lambda prediction: 1 / 0, "raised ZeroDivisionError: division by zero"),
        (lambda prediction: 0.5, "returned a float, expected numbers by name"),
    ],
)
def test_metrics_that_fail_are_named(tmp_path: Path, metric: Any, says: str) -> None:
    trainer = Trainer(tiny_classifier(), quiet(tmp_path), eval_dataset=_rows(4), compute_metrics=metric)
    with pytest.raises(MetricError, match=says):
        trainer.evaluate()


def test_predictions_that_cannot_be_kept_are_refused_at_once() -> None:
    with pytest.raises(MetricError, match=r"predictions of 1000000000 rows take .* GiB, and .* GiB are free"):
        check_size({"predictions": torch.zeros(2, 512, 100)}, 2, 1_000_000_000)


def test_metrics_of_regression_and_of_tokens() -> None:
    mse = MeanSquaredError()
    mse.update(EvalPrediction(torch.tensor([[1.0], [3.0]]), torch.tensor([0.0, 1.0])))
    assert mse.compute() == {"mse": 2.5, "mae": 1.5}
    tokens = Accuracy(shift=True)
    logits = nn.functional.one_hot(torch.tensor([[1, 2, 0]]), 3).float()
    tokens.update(EvalPrediction(logits, torch.tensor([[0, 1, -100]])))
    assert tokens.compute() == {"accuracy": 1.0}


def test_collected_nesting_is_kept() -> None:
    kept = Collected(join=True)
    for rows in (2, 3):
        kept.add((torch.ones(rows, 2), {"a": torch.zeros(rows, rows)}))
    first, second = kept.arrays()
    assert first.shape == (5, 2)
    assert second["a"].shape == (5, 3)
    assert Collected(join=True).arrays() is None


class _Process:
    """One of several processes, as far as dealing batches out goes."""

    device = torch.device("cpu")
    leads = True

    def __init__(self, rank: int, world: int) -> None:
        self.rank, self.world = rank, world


@pytest.mark.parametrize("world", [1, 2, 3])
def test_batches_are_dealt_out_once_each(tmp_path: Path, world: int) -> None:
    rows = [{"input_ids": [n]} for n in range(11)]
    rounds: list[list[tuple[list[int], bool]]] = []
    for rank in range(world):
        trainer = Trainer(tiny_llama(), quiet(tmp_path, per_device_eval_batch_size=2))
        trainer.strategy = _Process(rank, world)  # type: ignore[assignment]  # what is used of one
        found = dealt(trainer.get_eval_dataloader(rows), trainer.strategy)
        rounds.append([(batch["input_ids"].flatten().tolist(), counts) for batch, counts in found])
    assert len({len(own) for own in rounds}) == 1, "all processes take part in every round"
    seen = [row for turn in zip(*rounds, strict=True) for batch, counts in turn if counts for row in batch]
    assert seen == list(range(11))


def test_rows_that_do_not_count_are_left_out() -> None:
    process = _Process(0, 1)
    assert gather_rows((torch.ones(3, 2), None), process, False)[0].shape == (0, 2)  # type: ignore[arg-type]  # as above


@pytest.mark.slow
def test_a_hundred_thousand_rows_of_fifty_thousand_logits_take_no_memory(tmp_path: Path) -> None:
    class Wide(nn.Module):
        """Logits (B, 50000) that cost little to make."""

        def __init__(self) -> None:
            super().__init__()
            self.bias = nn.Parameter(torch.zeros(()))
            self.logits = torch.zeros(250, 50_000)

        def forward(self, number: torch.Tensor, labels: torch.Tensor) -> dict[str, torch.Tensor]:
            logits = self.logits[: len(number)].clone()
            logits[torch.arange(len(number)), number % 50_000] = 1.0 + self.bias
            return {"loss": self.bias * 0 + 1, "logits": logits}

    class Numbers(torch.utils.data.Dataset[Any]):
        def __getitem__(self, number: int) -> dict[str, int]:
            return {"number": number, "labels": number % 50_000}

        def __len__(self) -> int:
            return 100_000

    args = quiet(tmp_path, per_device_eval_batch_size=250)
    trainer = Trainer(Wide(), args, compute_metrics=Accuracy())
    trainer.evaluate(torch.utils.data.Subset(Numbers(), range(1000)))
    gc.collect()
    before = resident()
    assert trainer.evaluate(Numbers())["eval_accuracy"] == 1.0
    gc.collect()
    assert resident() - before < 100 * 2**20


def test_generation_in_evaluation(tmp_path: Path) -> None:
    from hf_config.families.bart import BartConfig

    torch.manual_seed(0)
    model = BartForConditionalGeneration(
        BartConfig(vocab_size=40, d_model=16, encoder_layers=1, decoder_layers=1, encoder_attention_heads=2,
                   decoder_attention_heads=2, encoder_ffn_dim=16, decoder_ffn_dim=16, max_position_embeddings=32)
    )  # fmt: skip
    rows = [
        {"input_ids": [0, 5 + n, 6, 2], "attention_mask": [1] * 4, "labels": [7, 5 + n, 2]} for n in range(6)
    ]
    seen: list[tuple[int, ...]] = []

    def metric(prediction: EvalPrediction) -> dict[str, float]:
        seen.append(prediction.predictions.shape)
        return {"length": prediction.predictions.shape[1]}

    args = Seq2SeqTrainingArguments(
        str(tmp_path), use_cpu=True, disable_tqdm=True, predict_with_generate=True, generation_max_length=5,
        generation_num_beams=2, per_device_train_batch_size=2, per_device_eval_batch_size=3, max_steps=2,
        save_strategy="no", eval_strategy="steps", eval_steps=2,
    )  # fmt: skip
    trainer = Seq2SeqTrainer(model, args, train_dataset=rows, eval_dataset=rows, compute_metrics=metric)
    trainer.train()
    metrics = trainer.evaluate(max_length=4)
    assert {"eval_loss", "eval_length"} <= set(metrics)
    assert [shape[0] for shape in seen] == [6, 6]
    assert max(seen[0][1], 2) <= 5
    assert seen[1][1] <= 4
    model.eval()
    expected = model.generate(torch.tensor([rows[0]["input_ids"]]), max_length=4, num_beams=2)
    found = trainer.predict(rows[:1], max_length=4).predictions
    assert found[0].tolist() == expected[0].tolist()
