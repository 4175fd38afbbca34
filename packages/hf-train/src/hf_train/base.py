"""What a Trainer is made of: model, data, optimizer, schedule and callbacks, each made by a method of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from torch import Tensor, nn
from torch.optim import Optimizer
from torch.utils.data import DataLoader

from hf_train import duties, setup
from hf_train.arguments import TrainingArguments
from hf_train.callbacks import (
    CallbackHandler,
    CallbackLike,
    Event,
    TrainerCallback,
    TrainerControl,
    TrainerState,
)
from hf_train.checkpoint import AsyncWriter
from hf_train.data.columns import accepted, inner_model, label_names_of, parameters_of
from hf_train.data.loaders import eval_loader, train_loader
from hf_train.errors import ArgumentsError
from hf_train.evaluation.metrics import StreamingMetric
from hf_train.groups import decays, parameter_groups
from hf_train.losses import LossFunction, loss_rule
from hf_train.memory import MemoryTracker
from hf_train.optim import make_optimizer
from hf_train.precision import precision_of
from hf_train.prepare import (
    call_model_init,
    check_trainable,
    label_limit,
    seed_everything,
)
from hf_train.run import Run
from hf_train.schedules import Scheduler
from hf_train.step import Share
from hf_train.strategies import strategy_for
from hf_train.uploads import Uploads

Metric = Callable[..., Mapping[str, float]] | StreamingMetric
"""From an `EvalPrediction` to numbers by name; with `batch_eval_metrics` also told `compute_result`."""
Collator = Callable[[list[Any]], Mapping[str, Any]]


class TrainerBase:
    """The parts of a `Trainer`, without what it does with them."""

    def __init__(
        self,
        model: nn.Module | None = None,
        args: TrainingArguments | None = None,
        data_collator: Collator | None = None,
        train_dataset: Any = None,
        eval_dataset: Any = None,
        processing_class: Any = None,
        model_init: Callable[..., nn.Module] | None = None,
        compute_loss_func: LossFunction | None = None,
        compute_metrics: Metric | None = None,
        callbacks: Sequence[CallbackLike] | None = None,
        optimizers: tuple[Optimizer | None, Scheduler | None] = (None, None),
        optimizer_cls_and_kwargs: tuple[type[Optimizer], dict[str, Any]] | None = None,
        preprocess_logits_for_metrics: Callable[[Tensor, Tensor], Tensor] | None = None,
    ) -> None:
        self.args = TrainingArguments() if args is None else args
        self.memory = MemoryTracker(on=not self.args.skip_memory_metrics)
        seed_everything(self.args.seed)
        self.model_init = model_init
        self.train_dataset, self.eval_dataset = train_dataset, eval_dataset
        self.processing_class = processing_class
        self.data_collator: Collator = data_collator or setup.default_collator(processing_class)
        self.compute_loss_func, self.compute_metrics = compute_loss_func, compute_metrics
        self.preprocess_logits_for_metrics = preprocess_logits_for_metrics
        self.optimizer, self.lr_scheduler = optimizers
        self.optimizer_cls_and_kwargs = optimizer_cls_and_kwargs
        self._given = self.optimizer is not None, self.lr_scheduler is not None
        setup.check_constructor(self, model)
        self.strategy = strategy_for(self.args)
        self.precision = precision_of(self.args, self.strategy.device)
        self.writer = AsyncWriter()
        self.uploads = Uploads(self.args) if self.args.push_to_hub and self.args.process_index == 0 else None
        self.output_dir = Path(self.args.output_dir)
        self.batch_size = self.args.per_device_train_batch_size
        self.is_in_train = False
        self.share: Share | None = None
        self.run: Run | None = None
        self.control = TrainerControl()
        self.state = TrainerState(
            is_local_process_zero=self.is_local_process_zero(),
            is_world_process_zero=self.is_world_process_zero(),
        )
        self._take_model(call_model_init(model_init, None) if model is None and model_init else model)
        self.callback_handler = CallbackHandler(
            [*setup.default_callbacks(self.args), *(callbacks or ())],
            self.model,
            processing_class,
            self.optimizer,
            duties.lr_scheduler_of(self.lr_scheduler),
        )
        setup.set_log_level(self.args)
        if self.args.should_save:
            self.output_dir.mkdir(parents=True, exist_ok=True)
        self.event("on_init_end")
        self.memory.stage("init")

    def _take_model(self, model: nn.Module | None) -> None:
        """Make everything that depends on the model."""
        assert model is not None, "check_constructor refuses calls without a model"
        check_trainable(model)
        self.model = self.model_wrapped = model
        self._placed = False
        names = self.args.label_names
        self.label_names = tuple(names) if names is not None else label_names_of(model)
        self.columns = accepted(model, self.label_names)
        self.label_limit = label_limit(model)
        self.loss_rule = loss_rule(
            model,
            self.label_names,
            smoothing=self.args.label_smoothing_factor,
            custom=self.compute_loss_func,
        )
        inner = inner_model(model)
        self.main_input_name: str = getattr(inner, "main_input_name", "input_ids")
        self.takes_cache = "use_cache" in parameters_of(model)
        self.pad_token_id: int | None = getattr(self.processing_class, "pad_token_id", None)
        self.inner_parameters = setup.inner_parameters(inner)

    # --- data

    def get_train_dataloader(self) -> Iterable[Any]:
        """Batches of training, those of this process alone."""
        if self.train_dataset is None:
            raise ArgumentsError(
                "there is no train_dataset", fields=("train_dataset",), fix="give the Trainer one"
            )
        dataset, collate = setup.prepared_data(self, self.train_dataset)
        return train_loader(
            dataset,
            collate,
            self.args,
            self.strategy,
            batch_size=self.batch_size,
            input_name=self.main_input_name,
        )

    def get_eval_dataloader(self, eval_dataset: Any = None) -> Iterable[Any]:
        """Batches of `eval_dataset`, by default the Trainer's; a text names one of several."""
        chosen = self.eval_dataset if eval_dataset is None else eval_dataset
        if isinstance(chosen, str):
            chosen = self.eval_dataset[chosen]
        if chosen is None:
            raise ArgumentsError("there is no eval_dataset", fields=("eval_dataset",), fix="give one")
        dataset, collate = setup.prepared_data(self, chosen)
        return eval_loader(
            dataset, collate, self.args, self.strategy, batch_size=self.args.per_device_eval_batch_size
        )

    def get_test_dataloader(self, test_dataset: Any) -> Iterable[Any]:
        """Batches of prediction."""
        return self.get_eval_dataloader(test_dataset)

    # --- optimizer and schedule

    def get_decay_parameter_names(self, model: nn.Module) -> frozenset[str]:
        """Names of the parameters that weight decay shrinks."""
        return decays(model)

    def create_optimizer(self) -> Optimizer:
        """The optimizer the arguments name, over groups that decay and groups that do not."""
        if self.optimizer is not None:
            return self.optimizer
        args = self.args
        groups = parameter_groups(
            self.model,
            learning_rate=args.learning_rate,
            weight_decay=args.weight_decay,
            decaying=self.get_decay_parameter_names(self.model),
            layer_decay=args.layerwise_lr_decay,
        )
        if self.optimizer_cls_and_kwargs is not None:
            make, settings = self.optimizer_cls_and_kwargs
            self.optimizer = make(groups, **settings)
            return self.optimizer
        self.optimizer = make_optimizer(
            args.optim,
            groups,
            learning_rate=args.learning_rate,
            weight_decay=args.weight_decay,
            betas=(args.adam_beta1, args.adam_beta2),
            epsilon=args.adam_epsilon,
            warmup_steps=args.get_warmup_steps(self.state.max_steps),
            options=args.optim_args,
            model=self.model,
            target_modules=args.optim_target_modules,
        )
        setup.check_optimizer(self.optimizer, args)
        return self.optimizer

    def create_scheduler(self, num_training_steps: int, optimizer: Optimizer | None = None) -> Scheduler:
        """The schedule the arguments name, for a run of so many steps."""
        if self.lr_scheduler is None:
            self.lr_scheduler = setup.make_scheduler(
                self.args, optimizer or self.optimizer_now, num_training_steps
            )
        return self.lr_scheduler

    def create_optimizer_and_scheduler(self, num_training_steps: int) -> None:
        """Both."""
        self.create_optimizer()
        self.create_scheduler(num_training_steps)

    @property
    def optimizer_now(self) -> Optimizer:
        """The optimizer, which exists while training."""
        assert self.optimizer is not None, "create_optimizer runs before the first step"
        return self.optimizer

    @property
    def scheduler_now(self) -> Scheduler:
        """The schedule, which exists while training."""
        assert self.lr_scheduler is not None, "create_scheduler runs before the first step"
        return self.lr_scheduler

    @property
    def learning_rate(self) -> float:
        """The rate of the next step, of the first group."""
        return float(self.optimizer_now.param_groups[0]["lr"])

    # --- callbacks and processes

    def event(self, name: Event, **figures: Mapping[str, float]) -> None:
        """Tell all callbacks; `logs` or `metrics` go along where the event has them."""
        duties.tell(self, name, figures)

    def add_callback(self, callback: CallbackLike) -> None:
        """Append a callback, or one of that class."""
        self.callback_handler.add_callback(callback)

    def pop_callback(self, callback: CallbackLike) -> TrainerCallback:
        """Remove and return a callback, or the first of that class."""
        return self.callback_handler.pop_callback(callback)

    def remove_callback(self, callback: CallbackLike) -> None:
        """Remove a callback, or the first of that class."""
        self.callback_handler.remove_callback(callback)

    def is_local_process_zero(self) -> bool:
        """Whether this is the first process of its machine."""
        return self.args.local_process_index == 0

    def is_world_process_zero(self) -> bool:
        """Whether this is the first process of the run."""
        return self.args.process_index == 0

    def num_examples(self, dataloader: Iterable[Any]) -> int:
        """Rows behind a loader. Raises TypeError if that is not known."""
        dataset = dataloader.dataset if isinstance(dataloader, DataLoader) else dataloader
        return len(cast("Sequence[Any]", dataset))
