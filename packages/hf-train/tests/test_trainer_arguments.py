"""Arguments say what is wrong with them, remember nothing else, and understand the names of older versions."""

import dataclasses
import json
import pickle
from pathlib import Path
from typing import Any

import pytest

from hf_train import ArgumentsError, RemovedArgumentError, Seq2SeqTrainingArguments, TrainingArguments
from hf_train.arguments import REMOVED, RENAMED, RenamedArgumentWarning, resolve, table
from hf_train.strategies import LaunchError, launch


@pytest.mark.parametrize(
    ("given", "fields", "says"),
    [
        ({"fp16": True, "bf16": True}, ("fp16", "bf16"), "fp16 and bf16 are both set"),
        ({"fp16_full_eval": True, "bf16_full_eval": True}, ("fp16_full_eval", "bf16_full_eval"), "both set"),
        (
            {"load_best_model_at_end": True, "eval_strategy": "epoch"},
            ("load_best_model_at_end", "eval_strategy", "save_strategy"),
            "eval_strategy is 'epoch' while save_strategy is 'steps'",
        ),
        (
            {"load_best_model_at_end": True, "eval_strategy": "steps", "eval_steps": 30, "save_steps": 100},
            ("load_best_model_at_end", "save_steps", "eval_steps"),
            "they are 100 and 30",
        ),
        (
            {"load_best_model_at_end": True, "eval_strategy": "steps", "eval_steps": 0.1, "save_steps": 100},
            ("load_best_model_at_end", "save_steps", "eval_steps"),
            "they are 100 and 0.1",
        ),
        ({"lr_scheduler_type": "reduce_lr_on_plateau"}, ("lr_scheduler_type", "eval_strategy"), "follows"),
        ({"save_strategy": "best"}, ("save_strategy", "eval_strategy"), "nothing is ever best"),
        (
            {"dataloader_prefetch_factor": 2},
            ("dataloader_prefetch_factor", "dataloader_num_workers"),
            "for workers",
        ),
        ({"eval_strategy": "stpes"}, ("eval_strategy",), "did you mean 'steps'"),
        ({"learning_rate": -1.0}, ("learning_rate",), "expected at least 0"),
        ({"learning_rate": float("nan")}, ("learning_rate",), "is nan"),
        ({"label_smoothing_factor": 1.5}, ("label_smoothing_factor",), "from 0 to 1"),
        ({"per_device_train_batch_size": 0}, ("per_device_train_batch_size",), "at least 1"),
        ({"max_steps": 0}, ("max_steps",), "max_steps is 0"),
        ({"logging_steps": 0}, ("logging_strategy", "logging_steps"), "logging_steps is 0"),
        ({"logging_steps": 2.5}, ("logging_strategy", "logging_steps"), "logging_steps is 2.5"),
        ({"fsdp_config": {"x": 1}}, ("fsdp_config", "fsdp"), "fsdp is not set"),
        ({"fsdp": True, "parallel": "dp=2"}, ("fsdp", "deepspeed", "parallel", "parallelism_config"), "more than one"),
        ({"accelerator_config": {"dispatch_batches": True}}, ("accelerator_config",), "this Trainer does not do"),
        ({"accelerator_config": {"split_batch": True}}, ("accelerator_config",), "did you mean 'split_batches'"),
        ({"include_for_metrics": ["logits"]}, ("include_for_metrics",), "expected 'inputs' or 'loss'"),
        ({"lr_scheduler_kwargs": "{"}, ("lr_scheduler_kwargs",), "is not JSON"),
        ({"accelerator_config": "missing.json"}, ("accelerator_config",), "cannot read"),
        (
            {"bf16": True, "deepspeed": {"bf16": {"enabled": False}}},
            ("bf16", "deepspeed"),
            "bf16 is True here and False in the DeepSpeed configuration",
        ),
        (
            {"dataloader_num_workers": 2, "dataloader_in_order": False},
            ("dataloader_in_order", "dataloader_num_workers"),
            "cannot be resumed",
        ),
    ],
)  # fmt: skip
def test_conflicts_name_their_fields(given: dict[str, Any], fields: tuple[str, ...], says: str) -> None:
    with pytest.raises(ArgumentsError) as caught:
        TrainingArguments("out", **given)
    assert caught.value.fields == fields
    assert says in str(caught.value)


def test_shares_of_a_run_may_be_multiples() -> None:
    TrainingArguments("o", load_best_model_at_end=True, eval_strategy="steps", eval_steps=0.1, save_steps=0.3)


def test_values_follow_from_others() -> None:
    args = TrainingArguments(
        "~/out", eval_strategy="steps", logging_steps=7, load_best_model_at_end=True, save_steps=14
    )
    assert args.output_dir == str(Path("~/out").expanduser())
    assert (args.eval_steps, args.do_eval, args.metric_for_best_model) == (7, True, "loss")
    assert args.greater_is_better is False
    assert TrainingArguments(metric_for_best_model="accuracy").greater_is_better is True
    assert TrainingArguments(torch_compile_mode="default").torch_compile
    assert TrainingArguments(include_num_input_tokens_seen=True).include_num_input_tokens_seen == "all"
    assert TrainingArguments(report_to="none").report_to == ()
    assert TrainingArguments(fsdp="full_shard auto_wrap").fsdp is True


@pytest.mark.parametrize(
    ("steps", "total", "expected"), [(0, 100, 0), (10, 100, 10), (0.03, 100, 3), (0.031, 100, 4)]
)
def test_warmup_below_one_is_a_share_rounded_up(steps: float, total: int, expected: int) -> None:
    assert TrainingArguments(warmup_steps=steps).get_warmup_steps(total) == expected


def test_renamed_arguments_are_understood_with_a_warning() -> None:
    with pytest.warns(
        RenamedArgumentWarning, match="evaluation_strategy is an old name; write eval_strategy"
    ):
        args = TrainingArguments("o", evaluation_strategy="epoch")  # type: ignore[call-arg]  # an old name
    assert args.eval_strategy == "epoch"
    with pytest.warns(RenamedArgumentWarning):
        assert TrainingArguments("o", group_by_length=True).train_sampling_strategy == "group_by_length"  # type: ignore[call-arg]  # old
    with pytest.warns(RenamedArgumentWarning):
        assert TrainingArguments("o", warmup_ratio=0.1).warmup_steps == 0.1  # type: ignore[call-arg]  # old


def test_the_most_used_old_name_needs_no_warning() -> None:
    args = TrainingArguments("o", gradient_checkpointing=True)  # type: ignore[call-arg]  # an old name
    assert args.activation_checkpointing
    assert args.gradient_checkpointing


@pytest.mark.parametrize("name", sorted(REMOVED))
def test_removed_arguments_say_what_to_do(name: str) -> None:
    with pytest.raises(RemovedArgumentError, match=f"{name} no longer exists\n  fix: "):
        TrainingArguments("o", **{name: 1})  # type: ignore[arg-type]  # removed


def test_old_and_new_name_together_are_refused() -> None:
    with pytest.raises(RemovedArgumentError, match="are both given"):
        TrainingArguments("o", eval_strategy="no", evaluation_strategy="no")  # type: ignore[call-arg]  # old


def test_renamed_targets_exist() -> None:
    names = {part.name for part in dataclasses.fields(TrainingArguments)}
    assert {target for target in RENAMED.values() if target} <= names
    assert not names & (set(RENAMED) | set(REMOVED))


def test_arguments_are_values() -> None:
    args = TrainingArguments("o", lr_scheduler_kwargs='{"num_cycles": 2}')
    assert args.lr_scheduler_kwargs == {"num_cycles": 2}
    assert pickle.loads(pickle.dumps(args)) == args
    with pytest.raises(dataclasses.FrozenInstanceError):
        args.seed = 1  # type: ignore[misc]  # what is tested
    assert args.replace(seed=1).seed == 1
    with pytest.raises(ArgumentsError):
        args.replace(seed=1, fp16=True, bf16=True)


def test_setters_return_changed_copies() -> None:
    args = TrainingArguments("o")
    changed = (
        args.set_training(learning_rate=1e-4, batch_size=32)
        .set_evaluate("epoch", batch_size=2)
        .set_save("epoch", total_limit=3)
        .set_logging("steps", steps=5)
        .set_optimizer("lion_32bit", learning_rate=3e-4)
        .set_lr_scheduler("cosine", max_steps=9)
        .set_dataloader(train_batch_size=4, num_workers=1, sampler_seed=3)
        .set_testing(batch_size=6)
        .set_push_to_hub("me/it", strategy="end")
    )
    assert (changed.learning_rate, changed.per_device_train_batch_size, changed.do_train) == (3e-4, 4, True)
    assert (changed.eval_strategy, changed.per_device_eval_batch_size, changed.save_total_limit) == (
        "epoch",
        6,
        3,
    )
    assert (changed.logging_steps, changed.optim, changed.lr_scheduler_type) == (5, "lion_32bit", "cosine")
    assert (changed.max_steps, changed.order_seed, changed.hub_model_id) == (9, 3, "me/it")
    assert args == TrainingArguments("o")


def test_sorting_by_length_has_an_older_name() -> None:
    assert Seq2SeqTrainingArguments("o", sortish_sampler=True).train_sampling_strategy == "group_by_length"


def test_tokens_are_masked_and_everything_is_json() -> None:
    args = Seq2SeqTrainingArguments("o", hub_token="hf_secret", generation_max_length=7)
    assert json.loads(args.to_json_string())["hub_token"] == "<HUB_TOKEN>"
    assert args.to_dict()["generation_max_length"] == 7
    assert "hf_secret" not in args.to_json_string()
    assert all(isinstance(value, bool | int | float | str) for value in args.to_sanitized_dict().values())


def test_resolved_configuration_names_origins() -> None:
    args = TrainingArguments("o", eval_strategy="steps", logging_steps=5, seed=3)
    found = {setting.name: setting.origin for setting in resolve(args, {"seed": "run.yaml"})}
    assert found["seed"] == "run.yaml"
    assert found["logging_steps"] == "given"
    assert found["eval_steps"] == "derived from logging_steps"
    assert found["weight_decay"] == "default"
    assert "weight_decay" not in table(resolve(args))
    assert "weight_decay" in table(resolve(args), everything=True)


def test_launcher_environment_decides_the_place() -> None:
    place = launch(cpu=True, environment={"RANK": "3", "WORLD_SIZE": "4", "LOCAL_RANK": "1"})
    assert (place.rank, place.world, place.local_rank) == (3, 4, 1)
    assert not place.leads(each_node=False)
    assert launch(cpu=True, environment={"RANK": "2", "WORLD_SIZE": "4", "LOCAL_RANK": "0"}).leads(
        each_node=True
    )


@pytest.mark.parametrize(
    ("environment", "says"),
    [
        ({"WORLD_SIZE": "2"}, "WORLD_SIZE is 2 and RANK is not set"),
        ({"WORLD_SIZE": "2", "RANK": "2", "LOCAL_RANK": "0"}, "ranks go from 0 to 1"),
        ({"WORLD_SIZE": "two"}, "'two', not a number"),
    ],
)
def test_impossible_places_are_refused(environment: dict[str, str], says: str) -> None:
    with pytest.raises(LaunchError, match=says):
        launch(cpu=True, environment=environment)
