"""The same model, data and arguments give the peer's losses, metrics and checkpoints."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from hf_modeling import LlamaForCausalLM, LlamaForSequenceClassification
from hf_train import Seq2SeqTrainingArguments, Trainer, TrainerCallback
from hf_train.testing import quiet, tiny_classifier, tiny_llama, token_rows, weights_of

pytestmark = [
    pytest.mark.parity,
    pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning", "ignore::UserWarning"),
]
OURS_ALONE = {
    "layerwise_lr_decay", "ema_decay", "on_nonfinite", "async_save", "parallel",
}  # fmt: skip
RENAMED_THERE = {"gradient_checkpointing", "gradient_checkpointing_kwargs"}
OTHER_DEFAULTS = {
    "output_dir": "trainer_output in both, after it was resolved",
    "logging_nan_inf_filter": "a log shows values that were computed",
    "activation_checkpointing": "None means False there",
    "include_for_metrics": "a tuple, since arguments are values",
    "report_to": "a tuple, likewise",
    "debug": "a tuple, likewise",
}


def test_fields_have_the_peers_names_and_defaults(peer: Any) -> None:
    theirs = {part.name: part for part in dataclasses.fields(peer.Seq2SeqTrainingArguments)}
    ours = {part.name: part for part in dataclasses.fields(Seq2SeqTrainingArguments)}
    assert set(ours) - set(theirs) == OURS_ALONE
    assert set(theirs) - set(ours) == RENAMED_THERE
    for name in set(ours) & set(theirs) - set(OTHER_DEFAULTS):
        assert ours[name].default == theirs[name].default, name


def _pair(folder: Path, peer: Any, model: Any = None) -> tuple[Any, Any]:
    """The same weights in our model and the peer's."""
    model = tiny_llama() if model is None else model
    model.save_pretrained(folder / "start")
    there = getattr(peer, type(model).__name__).from_pretrained(folder / "start")
    return type(model).from_pretrained(folder / "start"), there


def _there(peer: Any, folder: Path, **settings: Any) -> Any:
    """The peer's arguments with the settings of `quiet`."""
    plain = dataclasses.asdict(quiet(folder, **settings))
    names = {"use_cpu", "disable_tqdm", "per_device_train_batch_size", "per_device_eval_batch_size",
             "learning_rate", "logging_steps", "save_strategy", *settings}  # fmt: skip
    return peer.TrainingArguments(str(folder), report_to="none", **{name: plain[name] for name in names})


def _losses(trainer: Any) -> list[tuple[float, ...]]:
    logs = [log for log in trainer.state.log_history if "loss" in log]
    return [(log["loss"], log["grad_norm"], log["learning_rate"], log["epoch"]) for log in logs]


@pytest.mark.parametrize(
    "settings",
    [
        {"lr_scheduler_type": "linear", "warmup_steps": 5},
        {"lr_scheduler_type": "cosine", "weight_decay": 0.1, "gradient_accumulation_steps": 3},
        {"lr_scheduler_type": "polynomial", "optim": "adafactor", "max_grad_norm": 0.3},
        {"lr_scheduler_type": "inverse_sqrt", "optim": "sgd", "label_smoothing_factor": 0.1},
        {"lr_scheduler_type": "constant", "data_seed": 5, "dataloader_drop_last": True},
    ],
    ids=["linear", "cosine, accumulated", "adafactor, clipped", "sgd, smoothed", "other order"],
)
def test_loss_curves_agree_for_fifty_steps(peer: Any, tmp_path: Path, settings: dict[str, Any]) -> None:
    ours, theirs = _pair(tmp_path, peer)
    common = {"max_steps": 50, "learning_rate": 1e-3, **settings}
    rows = token_rows(70)
    here = Trainer(ours, quiet(tmp_path, **common), train_dataset=rows)
    here.train()
    there = peer.Trainer(theirs, _there(peer, tmp_path, **common), train_dataset=rows)
    there.train()
    assert len(_losses(here)) == 50
    np.testing.assert_allclose(_losses(here), _losses(there), rtol=1e-5, atol=1e-7)
    for name, value in theirs.named_parameters():
        torch.testing.assert_close(ours.get_parameter(name), value, rtol=1e-4, atol=1e-5)


def _accuracy(prediction: Any) -> dict[str, float]:
    chosen = np.argmax(prediction.predictions, axis=-1)
    return {"accuracy": float((chosen == prediction.label_ids).mean())}


def test_evaluation_and_prediction_agree(peer: Any, tmp_path: Path) -> None:
    ours, theirs = _pair(tmp_path, peer, tiny_classifier())
    rows = [{"input_ids": row["input_ids"], "label": i % 3} for i, row in enumerate(token_rows(11))]
    sets = {"first": rows[:5], "second": rows}
    trainers = [
        Trainer(ours, quiet(tmp_path), eval_dataset=sets, compute_metrics=_accuracy),
        peer.Trainer(theirs, _there(peer, tmp_path), eval_dataset=sets, compute_metrics=_accuracy),
    ]
    metrics = [trainer.evaluate() for trainer in trainers]
    timed = {
        name for name in metrics[1] if "runtime" in name or "per_second" in name or "preparation" in name
    }
    assert set(metrics[1]) - set(metrics[0]) <= timed
    for name in set(metrics[1]) - timed - {"epoch"}:
        assert metrics[0][name] == pytest.approx(metrics[1][name], rel=1e-5), name
    outputs = [trainer.predict(rows) for trainer in trainers]
    np.testing.assert_allclose(outputs[0].predictions, outputs[1].predictions, rtol=1e-4, atol=1e-6)
    np.testing.assert_array_equal(outputs[0].label_ids, outputs[1].label_ids)
    assert {"test_loss", "test_accuracy", "test_runtime"} <= set(outputs[0].metrics)


def _recorder(base: type) -> Any:
    """A callback of either library that remembers the names of events."""
    names = [name for name in dir(TrainerCallback) if name.startswith("on_")]

    def note(name: str) -> Any:
        def event(self: Any, args: Any, state: Any, control: Any, **context: Any) -> None:
            self.events.append(name)

        return event

    made = type("Recorder", (base,), {name: note(name) for name in names})()
    made.events = []
    return made


def test_events_come_in_the_peers_order(peer: Any, tmp_path: Path) -> None:
    ours, theirs = _pair(tmp_path, peer)
    settings: dict[str, Any] = {
        "num_train_epochs": 2, "gradient_accumulation_steps": 2, "eval_strategy": "steps", "eval_steps": 2,
        "save_strategy": "steps", "save_steps": 2, "logging_steps": 2,
    }  # fmt: skip
    rows = token_rows(20)
    recorders = [_recorder(TrainerCallback), _recorder(peer.TrainerCallback)]
    Trainer(
        ours,
        quiet(tmp_path / "a", **settings),
        train_dataset=rows,
        eval_dataset=rows[:6],
        callbacks=[recorders[0]],
    ).train()
    peer.Trainer(
        theirs,
        _there(peer, tmp_path / "b", **settings),
        train_dataset=rows,
        eval_dataset=rows[:6],
        callbacks=[recorders[1]],
    ).train()
    assert recorders[0].events == recorders[1].events


class _Stop:
    """Saves and stops after step 3, in either library."""

    def on_step_end(self, args: Any, state: Any, control: Any, **context: Any) -> Any:
        if state.global_step == 3:
            control.should_save = control.should_training_stop = True
        return control


@pytest.mark.parametrize("direction", ["ours resumed by the peer", "the peer's resumed here"])
def test_either_trainer_resumes_the_others_checkpoint(peer: Any, tmp_path: Path, direction: str) -> None:
    settings: dict[str, Any] = {
        "max_steps": 8, "gradient_accumulation_steps": 2, "learning_rate": 1e-3, "weight_decay": 0.1,
        "lr_scheduler_type": "cosine",
    }  # fmt: skip
    rows = token_rows(40)
    whole, theirs = _pair(tmp_path, peer)
    reference = Trainer(whole, quiet(tmp_path / "whole", **settings), train_dataset=rows)
    reference.train()
    ours = LlamaForCausalLM.from_pretrained(tmp_path / "start")
    ours_stop = type("OurStop", (_Stop, TrainerCallback), {})()
    peer_stop = type("PeerStop", (_Stop, peer.TrainerCallback), {})()
    here = Trainer(ours, quiet(tmp_path / "run", **settings), train_dataset=rows, callbacks=[ours_stop])
    there = peer.Trainer(
        theirs, _there(peer, tmp_path / "run", **settings), train_dataset=rows, callbacks=[peer_stop]
    )
    if direction.startswith("ours"):
        here.train()
        there.remove_callback(peer_stop)
        there.train(resume_from_checkpoint=str(tmp_path / "run" / "checkpoint-3"))
        final = dict(theirs.named_parameters())
        losses = _losses(there)
    else:
        there.train()
        here.remove_callback(ours_stop)
        here.train(resume_from_checkpoint=True)
        final = weights_of(here.model)
        losses = _losses(here)
    np.testing.assert_allclose(losses, _losses(reference), rtol=1e-5, atol=1e-7)
    for name, value in weights_of(reference.model).items():
        torch.testing.assert_close(final[name].detach(), value, rtol=1e-4, atol=1e-5)


def test_our_trainer_trains_the_peers_models(peer: Any, tmp_path: Path) -> None:
    ours, theirs = _pair(tmp_path, peer)
    rows = token_rows(20)
    runs = [
        Trainer(model, quiet(tmp_path, max_steps=4, gradient_accumulation_steps=2), train_dataset=rows)
        for model in (ours, theirs)
    ]
    for run in runs:
        run.train()
    np.testing.assert_allclose(_losses(runs[0]), _losses(runs[1]), rtol=1e-5, atol=1e-7)


_LEARNABLE = token_rows(4) * 6


@pytest.mark.parametrize("whose", ["ours", "the peer's"])
def test_lora_by_peft_trains_resumes_and_is_read_by_the_peer(peer: Any, tmp_path: Path, whose: str) -> None:
    from peft import LoraConfig, PeftModel, get_peft_model

    ours, theirs = _pair(tmp_path, peer)
    base = ours if whose == "ours" else theirs
    config = LoraConfig(r=4, lora_alpha=8, target_modules=["q_proj", "v_proj"], task_type="CAUSAL_LM")
    torch.manual_seed(0)
    model = get_peft_model(base, config)
    frozen = {name: p.clone() for name, p in model.named_parameters() if not p.requires_grad}
    settings: dict[str, Any] = {
        "max_steps": 6,
        "save_strategy": "steps",
        "save_steps": 3,
        "learning_rate": 0.1,
    }
    trainer = Trainer(model, quiet(tmp_path / "out", **settings), train_dataset=_LEARNABLE)
    trainer.train()
    losses = [loss for loss, *_ in _losses(trainer)]
    assert losses[-1] < losses[0]
    for name, value in frozen.items():
        assert torch.equal(model.get_parameter(name), value), name
    trainer.save_model(tmp_path / "adapter")
    ids = torch.tensor([token_rows(1)[0]["input_ids"]])
    plain = peer.LlamaForCausalLM.from_pretrained(tmp_path / "start")
    read = PeftModel.from_pretrained(plain, tmp_path / "adapter").eval()
    model.eval()
    with torch.no_grad():
        torch.testing.assert_close(read(ids).logits, model(ids).logits, rtol=1e-4, atol=1e-5)
    torch.manual_seed(1)
    fresh_base = type(base).from_pretrained(tmp_path / "start")
    again = Trainer(
        get_peft_model(fresh_base, config), quiet(tmp_path / "out", **settings), train_dataset=_LEARNABLE
    )
    again.train(resume_from_checkpoint=str(tmp_path / "out" / "checkpoint-3"))
    np.testing.assert_allclose(_losses(again), _losses(trainer), rtol=1e-6)


def test_our_adapters_are_read_by_peft(peer: Any, tmp_path: Path) -> None:
    from peft import PeftModel

    from hf_train.lora import Lora, add_lora

    ours, theirs = _pair(tmp_path, peer)
    add_lora(ours, Lora(rank=4, targets="all-linear"))
    trainer = Trainer(ours, quiet(tmp_path / "out", max_steps=3), train_dataset=_LEARNABLE)
    trainer.train()
    trainer.save_model(tmp_path / "adapter")
    read = PeftModel.from_pretrained(theirs, tmp_path / "adapter").eval()
    ids = torch.tensor([token_rows(1)[0]["input_ids"]])
    with torch.no_grad():
        torch.testing.assert_close(read(ids).logits, ours.eval()(ids).logits, rtol=1e-4, atol=1e-5)


def test_qlora_on_the_cpu_trains_and_saves_an_adapter(peer: Any, tmp_path: Path) -> None:
    pytest.importorskip("bitsandbytes")
    from peft import LoraConfig, PeftModel, get_peft_model, prepare_model_for_kbit_training
    from transformers import BitsAndBytesConfig

    tiny_llama().save_pretrained(tmp_path / "start")
    four = BitsAndBytesConfig(
        load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=torch.float32
    )

    def load() -> Any:
        return peer.LlamaForCausalLM.from_pretrained(tmp_path / "start", quantization_config=four)

    model = get_peft_model(
        prepare_model_for_kbit_training(load(), use_gradient_checkpointing=False),
        LoraConfig(r=4, target_modules=["q_proj", "v_proj"], task_type="CAUSAL_LM"),
    )
    trainer = Trainer(
        model, quiet(tmp_path / "out", max_steps=6, learning_rate=0.1), train_dataset=_LEARNABLE
    )
    trainer.train()
    losses = [loss for loss, *_ in _losses(trainer)]
    assert losses[-1] < losses[0]
    trainer.save_model(tmp_path / "adapter")
    # In training mode, because the kernel for inference needs wider layers than these.
    read = PeftModel.from_pretrained(load(), tmp_path / "adapter").train()
    ids = torch.tensor([token_rows(1)[0]["input_ids"]])
    with torch.no_grad():
        torch.testing.assert_close(read(ids).logits, model(ids).logits, rtol=1e-3, atol=1e-4)


def test_checkpoints_are_models_for_both(peer: Any, tmp_path: Path) -> None:
    trainer = Trainer(
        tiny_classifier(),
        quiet(tmp_path, max_steps=1, save_strategy="steps", save_steps=1),
        train_dataset=[{"input_ids": row["input_ids"], "label": 1} for row in token_rows(4)],
    )
    trainer.train()
    folder = tmp_path / "checkpoint-1"
    there = peer.AutoModelForSequenceClassification.from_pretrained(folder)
    here = LlamaForSequenceClassification.from_pretrained(folder)
    for name, value in there.named_parameters():
        assert torch.equal(here.get_parameter(name), value)
    expected = {
        "config.json", "model.safetensors", "optimizer.pt", "scheduler.pt", "rng_state.pth", "trainer_state.json",
        "training_args.bin", "training_args.json", "data_state.pt", "progress.json", "checkpoint_manifest.json",
    }  # fmt: skip
    assert {path.name for path in folder.iterdir()} == expected
    peer.TrainerState.load_from_json(str(folder / "trainer_state.json"))
    assert json.loads((folder / "training_args.json").read_text())[0]["name"] == "output_dir"
