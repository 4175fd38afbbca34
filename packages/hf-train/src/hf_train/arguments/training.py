"""`TrainingArguments`: everything a run is told, under the names that people know."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass, field, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Self

from hf_hub_io.jsonio import JsonValue
from hf_train.arguments import setters
from hf_train.arguments.plain import plain, plain_json
from hf_train.arguments.removed import accept_old_names
from hf_train.arguments.validate import normalize, validate
from hf_train.arguments.values import (
    HubStrategy,
    Interval,
    OnNonfinite,
    Options,
    Sampling,
    SaveStrategy,
    TokenCount,
)
from hf_train.strategies.launch import Launch, launch

if TYPE_CHECKING:
    import torch


def says(help: str) -> dict[str, str]:
    """What a field means, where command lines find it."""
    return {"help": help}


@accept_old_names
@dataclass(frozen=True)
class TrainingArguments:
    """Everything a run is told; frozen, checked when made, changed by `replace` or the `set_...` methods.

    Steps are updates of the weights, however many batches each accumulates. Intervals below 1 are shares of the
    run. `table(resolve(args))` says which value came from where. Names of older versions are understood.

    Raises:
        ArgumentsError: a value out of range, or fields that contradict each other; names them.
    """

    output_dir: str = field(default="trainer_output", metadata=says("Folder of checkpoints and results."))
    _: KW_ONLY
    # --- how long, and how large a step
    per_device_train_batch_size: int = field(default=8, metadata=says("Rows in a batch on each device."))
    num_train_epochs: float = field(default=3.0, metadata=says("How often the data is gone through."))
    max_steps: int = field(
        default=-1, metadata=says("Number of steps; if positive, it decides over the epochs.")
    )
    gradient_accumulation_steps: int = field(default=1, metadata=says("Batches that make one step."))
    average_tokens_across_devices: bool = field(
        default=True, metadata=says("Divide the loss by the labels of all devices, not of each.")
    )
    # --- learning rate
    learning_rate: float = field(default=5e-5, metadata=says("Peak learning rate."))
    lr_scheduler_type: str = field(default="linear", metadata=says("Name of the schedule."))
    lr_scheduler_kwargs: Options = field(default=None, metadata=says("Options of the schedule."))
    warmup_steps: float = field(default=0, metadata=says("Steps of warm-up; below 1 a share of the run."))
    layerwise_lr_decay: float | None = field(
        default=None, metadata=says("Factor on the learning rate for each layer further from the output.")
    )
    # --- optimizer
    optim: str = field(default="adamw_torch_fused", metadata=says("Name of the optimizer."))
    optim_args: str | None = field(
        default=None, metadata=says("Options of the optimizer: key=value,key=value.")
    )
    optim_target_modules: str | Sequence[str] | None = field(
        default=None, metadata=says("Modules whose weights a low-rank optimizer projects.")
    )
    weight_decay: float = field(default=0.0, metadata=says("Decay of weights other than biases and norms."))
    adam_beta1: float = field(default=0.9, metadata=says("Decay of Adam's first moment."))
    adam_beta2: float = field(default=0.999, metadata=says("Decay of Adam's second moment."))
    adam_epsilon: float = field(default=1e-8, metadata=says("Added to Adam's denominator."))
    max_grad_norm: float = field(default=1.0, metadata=says("Bound of the gradient's 2-norm; 0 for none."))
    ema_decay: float | None = field(
        default=None, metadata=says("Decay of a moving average of the weights, which is evaluated and saved.")
    )
    # --- loss
    label_smoothing_factor: float = field(default=0.0, metadata=says("Weight of the uniform distribution."))
    neftune_noise_alpha: float | None = field(default=None, metadata=says("Noise on embeddings (NEFTune)."))
    use_liger_kernel: bool = field(
        default=False,
        metadata=says("Fused kernels: the liger-kernel library on a GPU, our chunked loss elsewhere."),
    )
    liger_kernel_config: Options = field(
        default=None, metadata=says("Which of liger-kernel's kernels to use.")
    )
    on_nonfinite: OnNonfinite = field(
        default="raise",
        metadata=says("What an infinite loss or gradient does: stop the run, or skip the step."),
    )
    # --- precision and memory
    bf16: bool = field(default=False, metadata=says("Compute in bfloat16, keep weights in float32."))
    fp16: bool = field(default=False, metadata=says("Compute in float16 with a scaled loss."))
    bf16_full_eval: bool = field(default=False, metadata=says("Evaluate with weights in bfloat16."))
    fp16_full_eval: bool = field(default=False, metadata=says("Evaluate with weights in float16."))
    tf32: bool | None = field(
        default=None, metadata=says("Let float32 products use TF32; None leaves torch's.")
    )
    activation_checkpointing: bool = field(
        default=False, metadata=says("Recompute activations in the backward pass instead of keeping them.")
    )
    activation_checkpointing_kwargs: Options = field(
        default=None,
        metadata=says("every_n_layers: recompute only each n-th block; offload: keep inputs in CPU memory."),
    )
    torch_compile: bool = field(default=False, metadata=says("Compile the model's blocks."))
    torch_compile_backend: str | None = field(default=None, metadata=says("Backend of torch.compile."))
    torch_compile_mode: str | None = field(default=None, metadata=says("Mode of torch.compile."))
    use_cache: bool = field(
        default=False, metadata=says("Let the model keep keys and values while it trains.")
    )
    torch_empty_cache_steps: int | None = field(
        default=None, metadata=says("Give cached device memory back every so many steps.")
    )
    auto_find_batch_size: bool = field(
        default=False, metadata=says("Start again with a smaller batch when memory runs out.")
    )
    # --- logging
    logging_strategy: Interval = field(default="steps", metadata=says("When to log."))
    logging_steps: float = field(default=500, metadata=says("Steps between logs."))
    logging_first_step: bool = field(default=False, metadata=says("Log the first step too."))
    log_on_each_node: bool = field(default=True, metadata=says("Log on the first process of each machine."))
    logging_nan_inf_filter: bool = field(
        default=False, metadata=says("Accepted, without effect: a log shows values that were computed.")
    )
    include_num_input_tokens_seen: TokenCount | bool = field(
        default="no", metadata=says("Count input tokens: all, or those that are not padding.")
    )
    log_level: str = field(default="passive", metadata=says("Level of this package's logger."))
    log_level_replica: str = field(default="warning", metadata=says("The same on other processes."))
    disable_tqdm: bool | None = field(default=None, metadata=says("Show no progress bars."))
    report_to: str | Sequence[str] | None = field(default="none", metadata=says("Reporters by name, or all."))
    run_name: str | None = field(default=None, metadata=says("What reporters call the run."))
    project: str = field(default="huggingface", metadata=says("Project that reporters file the run under."))
    trackio_space_id: str | None = field(default=None, metadata=says("Space that Trackio reports to."))
    trackio_bucket_id: str | None = field(default=None, metadata=says("Bucket that Trackio stores in."))
    trackio_static_space_id: str | bool | None = field(
        default=None, metadata=says("Static Space of Trackio.")
    )
    skip_memory_metrics: bool = field(
        default=True, metadata=says("Leave out how much memory each stage took.")
    )
    # --- evaluation
    eval_strategy: Interval = field(default="no", metadata=says("When to evaluate."))
    eval_steps: float | None = field(
        default=None, metadata=says("Steps between evaluations; as logs if not set.")
    )
    eval_delay: float = field(default=0, metadata=says("Steps or epochs before the first evaluation."))
    per_device_eval_batch_size: int = field(default=8, metadata=says("Rows in a batch of evaluation."))
    prediction_loss_only: bool = field(default=False, metadata=says("Evaluate the loss alone."))
    eval_on_start: bool = field(default=False, metadata=says("Evaluate before the first step."))
    eval_do_concat_batches: bool = field(
        default=True, metadata=says("Give predictions joined, not as lists.")
    )
    eval_use_gather_object: bool = field(default=False, metadata=says("Gather objects that are not tensors."))
    eval_accumulation_steps: int | None = field(
        default=None,
        metadata=says("Batches whose predictions stay on the device; by default each is moved at once."),
    )
    include_for_metrics: Sequence[str] = field(
        default=(), metadata=says("Also give metric functions 'inputs' or 'loss'.")
    )
    batch_eval_metrics: bool = field(
        default=False,
        metadata=says("Call the metric function with each batch, compute_result=True for the last."),
    )
    # --- saving
    save_strategy: SaveStrategy = field(default="steps", metadata=says("When to save."))
    save_steps: float = field(default=500, metadata=says("Steps between checkpoints."))
    save_total_limit: int | None = field(default=None, metadata=says("Checkpoints that are kept."))
    save_only_model: bool = field(
        default=False, metadata=says("Save what inference needs, not what resuming does.")
    )
    save_on_each_node: bool = field(
        default=False, metadata=says("Save on the first process of each machine.")
    )
    async_save: bool = field(default=False, metadata=says("Write checkpoints while training goes on."))
    enable_jit_checkpoint: bool = field(default=False, metadata=says("Save and stop on SIGTERM and SIGINT."))
    load_best_model_at_end: bool = field(default=False, metadata=says("End with the best weights."))
    metric_for_best_model: str | None = field(
        default=None, metadata=says("Metric that decides which is best.")
    )
    greater_is_better: bool | None = field(default=None, metadata=says("Whether more of it is better."))
    resume_from_checkpoint: str | None = field(
        default=None, metadata=says("Checkpoint a script resumes from.")
    )
    ignore_data_skip: bool = field(default=False, metadata=says("Resume with the data from its beginning."))
    restore_callback_states_from_checkpoint: bool = field(
        default=False, metadata=says("Take callbacks' states from the checkpoint, not from their arguments.")
    )
    # --- Hub
    push_to_hub: bool = field(default=False, metadata=says("Upload what is saved."))
    hub_token: str | None = field(default=None, metadata=says("Token for the Hub."))
    hub_private_repo: bool | None = field(default=None, metadata=says("Make the repository private."))
    hub_model_id: str | None = field(default=None, metadata=says("Repository to upload to."))
    hub_strategy: HubStrategy = field(default="every_save", metadata=says("What to upload, and when."))
    hub_always_push: bool = field(
        default=False, metadata=says("Upload even while the last upload is going on.")
    )
    hub_revision: str | None = field(default=None, metadata=says("Branch to upload to."))
    # --- data
    train_sampling_strategy: Sampling = field(default="random", metadata=says("Order of the training data."))
    length_column_name: str = field(default="length", metadata=says("Column with the lengths of the rows."))
    dataloader_drop_last: bool = field(
        default=False, metadata=says("Leave out the last batch if incomplete.")
    )
    dataloader_num_workers: int = field(
        default=0, metadata=says("Processes that load data; 0 loads in this one.")
    )
    dataloader_pin_memory: bool = field(default=True, metadata=says("Load into page-locked memory."))
    dataloader_persistent_workers: bool = field(default=False, metadata=says("Keep workers between epochs."))
    dataloader_prefetch_factor: int | None = field(
        default=None, metadata=says("Batches each worker loads ahead.")
    )
    dataloader_multiprocessing_context: str | None = field(
        default=None, metadata=says("How workers start: fork, spawn or forkserver.")
    )
    dataloader_in_order: bool = field(
        default=True, metadata=says("Take batches in order, not as they get ready.")
    )
    remove_unused_columns: bool = field(
        default=True, metadata=says("Leave out columns that the model does not take.")
    )
    label_names: Sequence[str] | None = field(default=None, metadata=says("Inputs that are labels."))
    # --- chance
    seed: int = field(default=42, metadata=says("Seed of weights, dropout and data."))
    data_seed: int | None = field(
        default=None, metadata=says("Seed of the data's order; the seed if not set.")
    )
    full_determinism: bool = field(default=False, metadata=says("Use deterministic algorithms alone."))
    # --- devices
    use_cpu: bool = field(default=False, metadata=says("Train on the CPU whatever else there is."))
    parallel: str | None = field(
        default=None,
        metadata=says("How to spread over devices: a strategy's name, then its options: name:options."),
    )
    parallelism_config: Options = field(
        default=None, metadata=says("Degrees of parallelism, for hf-parallel.")
    )
    accelerator_config: Options = field(default=None, metadata=says("split_batches, even_batches, ..."))
    ddp_find_unused_parameters: bool | None = field(default=None, metadata=says("Passed to DDP."))
    ddp_bucket_cap_mb: int | None = field(default=None, metadata=says("Passed to DDP."))
    ddp_broadcast_buffers: bool | None = field(default=None, metadata=says("Passed to DDP."))
    ddp_static_graph: bool | None = field(default=None, metadata=says("Passed to DDP."))
    ddp_backend: str | None = field(default=None, metadata=says("Backend of torch.distributed."))
    ddp_timeout: int = field(default=1800, metadata=says("Seconds a collective may take."))
    fsdp: str | bool | None = field(
        default=None, metadata=says("Shard weights, gradients and optimizer (FSDP2).")
    )
    fsdp_config: Options = field(default=None, metadata=says("Options of FSDP."))
    deepspeed: Options = field(default=None, metadata=says("Configuration of DeepSpeed, or its file."))
    local_rank: int = field(
        default=-1, metadata=says("Accepted from old launchers; the environment decides.")
    )
    # --- scripts
    debug: str | Sequence[str] = field(
        default="", metadata=says("underflow_overflow: name where values overflow.")
    )
    do_train: bool = field(default=False, metadata=says("For scripts: whether to train."))
    do_eval: bool = field(default=False, metadata=says("For scripts: whether to evaluate."))
    do_predict: bool = field(default=False, metadata=says("For scripts: whether to predict."))

    def __post_init__(self) -> None:
        for name, value in normalize(self).items():
            object.__setattr__(self, name, value)
        validate(self)

    @property
    def launch(self) -> Launch:
        """Which of the run's processes this is, from the environment its launcher set."""
        return launch(cpu=self.use_cpu)

    @property
    def device(self) -> torch.device:
        """The device of this process."""
        return self.launch.device

    @property
    def n_gpu(self) -> int:
        """GPUs of this process: 1, or 0 without one."""
        return int(self.device.type not in ("cpu", "meta"))

    @property
    def world_size(self) -> int:
        """Processes of the run."""
        return self.launch.world

    @property
    def process_index(self) -> int:
        """This process among all, from 0."""
        return self.launch.rank

    @property
    def local_process_index(self) -> int:
        """This process among those of its machine, from 0."""
        return self.launch.local_rank

    @property
    def should_log(self) -> bool:
        """Whether this process writes logs."""
        return self.launch.leads(each_node=self.log_on_each_node)

    @property
    def should_save(self) -> bool:
        """Whether this process writes checkpoints."""
        return self.launch.leads(each_node=self.save_on_each_node)

    @property
    def train_batch_size(self) -> int:
        """Rows in a training batch of this process."""
        return self.per_device_train_batch_size

    @property
    def eval_batch_size(self) -> int:
        """Rows in an evaluation batch of this process."""
        return self.per_device_eval_batch_size

    @property
    def ddp_timeout_delta(self) -> timedelta:
        """How long a collective may take."""
        return timedelta(seconds=self.ddp_timeout)

    @property
    def gradient_checkpointing(self) -> bool:
        """`activation_checkpointing` by its older name."""
        return self.activation_checkpointing

    @property
    def order_seed(self) -> int:
        """Seed of the data's order."""
        return self.seed if self.data_seed is None else self.data_seed

    def get_warmup_steps(self, num_training_steps: int) -> int:
        """Steps of warm-up in a run of so many steps; a share is rounded up."""
        warmup = self.warmup_steps
        return int(warmup) if warmup >= 1 else -int(-warmup * num_training_steps // 1)

    def replace(self, **changes: object) -> Self:
        """The same arguments but for `changes`, checked again."""
        return replace(self, **changes)  # type: ignore[arg-type]  # names and types are checked when made

    def to_dict(self) -> dict[str, JsonValue]:
        """All fields as JSON values; tokens are masked."""
        return plain(self)

    def to_json_string(self) -> str:
        """`to_dict` as indented JSON."""
        return plain_json(self)

    def to_sanitized_dict(self) -> dict[str, bool | int | float | str]:
        """All fields as numbers or text, the way reporters take them."""
        values = plain(self)
        return {n: v if isinstance(v, bool | int | float | str) else str(v) for n, v in values.items()}

    set_training = setters.set_training
    set_evaluate = setters.set_evaluate
    set_testing = setters.set_testing
    set_save = setters.set_save
    set_logging = setters.set_logging
    set_push_to_hub = setters.set_push_to_hub
    set_optimizer = setters.set_optimizer
    set_lr_scheduler = setters.set_lr_scheduler
    set_dataloader = setters.set_dataloader
    main_process_first = setters.main_process_first
