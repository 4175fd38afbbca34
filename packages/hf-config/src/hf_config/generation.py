"""`GenerationConfig`: every option of `generate`, typed, checked, and kept in generation_config.json."""

from collections.abc import Mapping
from dataclasses import field
from pathlib import Path
from typing import ClassVar, Literal, Self

from hf_config.base import PreTrainedConfig, read_config_file
from hf_config.convert import encode_special_floats
from hf_config.errors import ConfigError
from hf_config.generation_rules import check_combinations, check_ranges
from hf_config.record import Record, completed, record
from hf_config.watermark import BaseWatermarkingConfig
from hf_hub_io.atomic import atomic_write_text
from hf_hub_io.jsonio import JsonValue, dump_json

GENERATION_CONFIG_NAME = "generation_config.json"

CacheImplementation = Literal[
    "dynamic",
    "static",
    "offloaded",
    "offloaded_static",
    "quantized",
    "paged",
    "sliding_window",
    "hybrid",
    "hybrid_chunked",
    "offloaded_hybrid",
    "offloaded_hybrid_chunked",
]

DEFAULTS: Mapping[str, bool | int | float | str] = {
    "max_length": 20,
    "min_length": 0,
    "do_sample": False,
    "use_cache": True,
    "early_stopping": False,
    "num_beams": 1,
    "temperature": 1.0,
    "top_k": 50,
    "top_p": 1.0,
    "typical_p": 1.0,
    "repetition_penalty": 1.0,
    "length_penalty": 1.0,
    "no_repeat_ngram_size": 0,
    "encoder_no_repeat_ngram_size": 0,
    "num_return_sequences": 1,
    "output_scores": False,
    "return_dict_in_generate": False,
    "remove_invalid_values": False,
    "epsilon_cutoff": 0.0,
    "eta_cutoff": 0.0,
    "encoder_repetition_penalty": 1.0,
    "num_assistant_tokens": 20,
    "num_assistant_tokens_schedule": "constant",
    "assistant_confidence_threshold": 0.4,
    "assistant_lookbehind": 10,
    "target_lookbehind": 10,
    "num_beam_groups": 1,
    "diversity_penalty": 0.0,
}
"""What an unset option means. Options are null where nobody set them, so that choices can be told apart."""


def _biases(owner: Record, given: object, absorbed: Mapping[str, object]) -> object:
    # In Python a mapping from token sequences is natural; JSON has only the list of pairs.
    return tuple(given.items()) if isinstance(given, Mapping) else given


@record
class CompileConfig(Record):
    """Options of torch.compile."""

    fullgraph: bool = False
    dynamic: bool | None = None
    backend: str = "inductor"
    mode: str = "reduce-overhead"
    options: Mapping[str, object] | None = None


@record
class GenerationConfig(Record):
    """How to generate. An option left at None is unset and means what `DEFAULTS` says."""

    # Length
    max_length: int | None = None
    max_new_tokens: int | None = None
    min_length: int | None = None
    min_new_tokens: int | None = None
    early_stopping: bool | Literal["never"] | None = None
    max_time: float | None = None
    stop_strings: str | tuple[str, ...] | None = None

    # Strategy
    do_sample: bool | None = None
    num_beams: int | None = None
    use_mtp: bool | None = None

    # Cache
    use_cache: bool | None = None
    cache_implementation: CacheImplementation | None = None
    cache_config: Mapping[str, object] | None = None
    max_cache_len: int | None = None

    # What the model's scores become
    temperature: float | None = None
    top_k: int | None = None
    top_p: float | None = None
    min_p: float | None = None
    top_h: float | None = None
    typical_p: float | None = None
    epsilon_cutoff: float | None = None
    eta_cutoff: float | None = None
    repetition_penalty: float | None = None
    encoder_repetition_penalty: float | None = None
    length_penalty: float | None = None
    no_repeat_ngram_size: int | None = None
    encoder_no_repeat_ngram_size: int | None = None
    bad_words_ids: tuple[tuple[int, ...], ...] | None = None
    renormalize_logits: bool | None = None
    forced_bos_token_id: int | None = None
    forced_eos_token_id: int | tuple[int, ...] | None = None
    remove_invalid_values: bool | None = None
    exponential_decay_length_penalty: tuple[int, float] | None = None
    suppress_tokens: tuple[int, ...] | None = None
    begin_suppress_tokens: tuple[int, ...] | None = None
    sequence_bias: tuple[tuple[tuple[int, ...], float], ...] | None = completed(_biases)
    token_healing: bool | None = None
    guidance_scale: float | None = None
    watermarking_config: BaseWatermarkingConfig | None = None

    # Output
    num_return_sequences: int | None = None
    output_attentions: bool | None = None
    output_hidden_states: bool | None = None
    output_scores: bool | None = None
    output_logits: bool | None = None
    return_dict_in_generate: bool | None = None

    # Special tokens
    pad_token_id: int | None = None
    bos_token_id: int | None = None
    eos_token_id: int | tuple[int, ...] | None = None
    decoder_start_token_id: int | tuple[int, ...] | None = None

    # Assistant models
    is_assistant: bool | None = None
    num_assistant_tokens: int | None = None
    num_assistant_tokens_schedule: Literal["constant", "heuristic", "heuristic_transient"] | None = None
    assistant_confidence_threshold: float | None = None
    prompt_lookup_num_tokens: int | None = None
    max_matching_ngram_size: int | None = None
    assistant_early_exit: int | None = None
    assistant_lookbehind: int | None = None
    target_lookbehind: int | None = None
    assistant_ensemble_weight: float | None = None
    speculation_type: str | None = None

    # Speed
    compile_config: CompileConfig | None = None
    disable_compile: bool | None = None
    prefill_chunk_size: int | None = None
    continuous_batching_config: Mapping[str, object] | None = None

    # Strategies that newer libraries keep outside `generate`
    low_memory: bool | None = None
    penalty_alpha: float | None = None
    dola_layers: str | tuple[int, ...] | None = None
    diversity_penalty: float | None = None
    num_beam_groups: int | None = None
    constraints: tuple[object, ...] | None = None
    force_words_ids: tuple[object, ...] | None = None

    transformers_version: str | None = field(default=None, compare=False)

    NOT_OPTIONS: ClassVar[frozenset[str]] = frozenset(
        {
            "assistant_model",
            "logits_processor",
            "negative_prompt_attention_mask",
            "negative_prompt_ids",
            "prefix_allowed_tokens_fn",
            "stopping_criteria",
            "streamer",
            "synced_gpus",
        }
    )
    """Arguments of `generate` that a file cannot hold."""

    def check(self) -> None:
        """Raises ConfigError for a value out of range and for options that contradict each other."""
        values = vars(self)
        misplaced = sorted(self.extra.keys() & self.NOT_OPTIONS)
        if misplaced:
            raise ConfigError(
                f"GenerationConfig cannot hold {', '.join(misplaced)}", fix="pass them to generate() itself"
            )
        check_ranges(values)
        check_combinations(values)

    @classmethod
    def from_pretrained(
        cls,
        path_or_repo: str | Path,
        config_file_name: str = GENERATION_CONFIG_NAME,
        *,
        revision: str | None = None,
        cache_dir: str | Path | None = None,
        token: str | None = None,
        subfolder: str = "",
        local_files_only: bool = False,
    ) -> Self:
        """The options in a local folder or a Hub repository.

        Raises RepoError if the file cannot be had, JsonFileError if it is not a JSON object, and ConfigError,
        naming option, value and file, if its content cannot be used.
        """
        file, data = read_config_file(
            path_or_repo,
            config_file_name,
            revision=revision,
            cache_dir=cache_dir,
            token=token,
            subfolder=subfolder,
            local_files_only=local_files_only,
        )
        try:
            return cls.from_dict(data)
        except ConfigError as error:
            raise error.in_file(file) from None

    @classmethod
    def from_model_config(cls, config: PreTrainedConfig) -> Self:
        """The options that older checkpoints keep in config.json, the decoder's part included."""
        inner = config.get_text_config()
        found: dict[str, object] = {}
        for source in (inner, config):
            values = {**source.extra, **source.to_dict()}
            found.update({name: values[name] for name in cls.field_names() if values.get(name) is not None})
        found.pop("transformers_version", None)
        found = {name: value for name, value in found.items() if value is not False or name == "use_cache"}
        if any(found.get(name) for name in ("output_attentions", "output_hidden_states", "output_scores")):
            found["return_dict_in_generate"] = True
        return cls(**found, extra={"_from_model_config": True})  # type: ignore[arg-type] # checked like a file's values

    def with_defaults(self) -> Self:
        """A copy in which every unset option has its value from `DEFAULTS`."""
        return self.replace(**{name: value for name, value in DEFAULTS.items() if vars(self)[name] is None})

    def merged(self, other: "GenerationConfig") -> Self:
        """A copy with the options that `other` sets, null ones excepted."""
        changes = {name: vars(other)[name] for name in other.field_names() if vars(other)[name] is not None}
        return self.replace(**changes, extra={**self.extra, **other.extra})

    def to_diff_dict(self) -> dict[str, JsonValue]:
        """Only the options that are set, and the unknown ones."""
        return {
            name: value for name, value in self.to_dict().items() if value is not None or name in self.extra
        }

    def to_json_string(self, use_diff: bool = True) -> str:
        """`to_diff_dict()`, or with `use_diff=False` everything, as indented JSON with sorted keys."""
        written = self.to_diff_dict() if use_diff else self.to_dict()
        return dump_json(encode_special_floats(written), sort_keys=True)

    def save_pretrained(
        self, save_directory: str | Path, config_file_name: str = GENERATION_CONFIG_NAME
    ) -> Path:
        """Writes generation_config.json into the folder, atomically, and returns the file's path."""
        path = Path(save_directory) / config_file_name
        atomic_write_text(path, self.to_json_string())
        return path
