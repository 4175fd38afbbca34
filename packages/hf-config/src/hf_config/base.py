"""`PreTrainedConfig`: what every family's configuration has, how it is read, and how it is written."""

from collections.abc import Mapping
from dataclasses import field
from pathlib import Path
from typing import ClassVar, Literal, Self, TypedDict, Unpack

from hf_config.convert import decode_special_floats, encode_special_floats
from hf_config.errors import ConfigError, InconsistentFieldsError, InvalidFieldError, UnsupportedKeyError
from hf_config.harmless import HARMLESS_KEYS
from hf_config.quantization import QuantizationConfig
from hf_config.record import Record, completed, derived, once_called, record
from hf_config.rules import check_fields
from hf_hub_io.atomic import atomic_write_text
from hf_hub_io.jsonio import JsonValue, dump_json, read_json_object

CONFIG_NAME = "config.json"

DTypeName = Literal[
    "float64",
    "float32",
    "float16",
    "bfloat16",
    "float8_e4m3fn",
    "float8_e5m2",
    "int8",
    "uint8",
    "int16",
    "int32",
    "int64",
]
AttentionImplementation = Literal[
    "eager",
    "sdpa",
    "flex",
    "flex_attention",
    "flash",
    "flash_attention_2",
    "flash_attention_3",
    "paged_attention",
]
ProblemType = Literal["regression", "single_label_classification", "multi_label_classification"]


class ConfigOverrides(TypedDict, total=False):
    """Fields that callers commonly change while loading; any other field changes with `config.replace`."""

    architectures: tuple[str, ...] | None
    attn_implementation: AttentionImplementation | None
    bos_token_id: int | None
    dtype: str | None
    eos_token_id: int | tuple[int, ...] | None
    id2label: Mapping[int, str]
    label2id: Mapping[str, int]
    name_or_path: str
    num_hidden_layers: int
    num_labels: int
    output_attentions: bool
    output_hidden_states: bool
    pad_token_id: int | None
    problem_type: ProblemType | None
    tie_word_embeddings: bool
    use_cache: bool
    vocab_size: int


def labels(default: int = 2) -> Mapping[int, str]:
    """A field of label names by number; `num_labels` stands for as many unnamed ones."""

    def run(owner: Record, given: object, absorbed: Mapping[str, object]) -> object:
        name = type(owner).__name__
        count = absorbed.get("num_labels")
        if given is None:
            size = default if count is None else count
            if not isinstance(size, int) or isinstance(size, bool) or size < 0:
                raise InvalidFieldError(name, "num_labels", size, "a count of labels")
            return {index: f"LABEL_{index}" for index in range(size)}
        if count is not None and isinstance(given, Mapping) and len(given) != count:
            raise InconsistentFieldsError(
                f"{name}: num_labels is {count} and id2label has {len(given)} entries",
                fields=("num_labels", "id2label"),
                fix="keep only id2label",
            )
        return given

    names: Mapping[int, str] = completed(run, absorbs=("num_labels",), restarts=("num_labels",))
    return names


def _numbers(config: "PreTrainedConfig") -> Mapping[str, int]:
    return {label: number for number, label in config.id2label.items()}


@record
class PreTrainedConfig(Record):
    """A model's configuration, immutable: the fields that all families share."""

    model_type: ClassVar[str] = ""
    """The family's name in config.json."""

    OTHER_MODEL_TYPES: ClassVar[frozenset[str]] = frozenset()
    """Further names under which files of the same format exist."""

    UNIMPLEMENTED: ClassVar[Mapping[str, JsonValue]] = {}
    """Keys of the family's format that we do not act on, each with the value that asks for nothing."""

    architectures: tuple[str, ...] | None = None
    dtype: DTypeName | None = once_called("torch_dtype", None)
    is_encoder_decoder: bool = False
    tie_word_embeddings: bool = True
    use_cache: bool = True
    bos_token_id: int | None = None
    eos_token_id: int | tuple[int, ...] | None = None
    pad_token_id: int | None = None
    decoder_start_token_id: int | None = None
    id2label: Mapping[int, str] = labels()
    label2id: Mapping[str, int] = derived(_numbers, restarts=("num_labels", "id2label"))
    problem_type: ProblemType | None = None
    output_attentions: bool = False
    output_hidden_states: bool = False
    return_dict: bool = True
    chunk_size_feed_forward: int = 0
    attn_implementation: AttentionImplementation | None = None
    quantization_config: QuantizationConfig | None = once_called("compression_config", None)
    name_or_path: str = once_called("_name_or_path", "", compare=False)
    transformers_version: str | None = field(default=None, compare=False)

    @property
    def num_labels(self) -> int:
        """How many labels a classification head has."""
        return len(self.id2label)

    @property
    def unknown_keys(self) -> tuple[str, ...]:
        """Kept keys of config.json that neither the family nor the list of harmless keys knows."""
        return tuple(sorted(self.extra.keys() - HARMLESS_KEYS - self.UNIMPLEMENTED.keys()))

    def get_text_config(self) -> "PreTrainedConfig":
        """The configuration of the part that writes text: this one, or the text model or decoder inside."""
        for name in ("text_config", "decoder"):
            inner = vars(self).get(name)
            if isinstance(inner, PreTrainedConfig):
                return inner
        return self

    def check(self) -> None:
        """Raises ConfigError if fields contradict each other or ask for what is not implemented."""
        values = dict(vars(self))
        values.update({alias: values[target] for alias, target in self.aliases().items()})
        if self.UNIMPLEMENTED:
            held = {**self.extra, **values}
            asked = [key for key, off in self.UNIMPLEMENTED.items() if held.get(key) not in (off, None)]
            if asked:
                raise UnsupportedKeyError(type(self).__name__, asked)
        check_fields(type(self).__name__, values)

    @classmethod
    def from_dict(cls, data: Mapping[str, object], /) -> Self:
        """The configuration of a parsed config.json.

        On `PreTrainedConfig` itself, `model_type` chooses the family. Raises ConfigError.
        """
        family: type[PreTrainedConfig] = cls
        if cls is PreTrainedConfig:
            from hf_config.registry import family_of

            family = family_of(data)
        values = family.sort_keys(data)
        named = values["extra"].pop("model_type", None)
        if named and named != family.model_type and named not in family.OTHER_MODEL_TYPES:
            raise InconsistentFieldsError(
                f"model_type is {named!r} and {family.__name__} reads {family.model_type!r}",
                fields=("model_type",),
                fix="let AutoConfig choose the class",
            )
        config = family(**values)
        assert isinstance(config, cls)
        return config

    @classmethod
    def from_pretrained(
        cls,
        path_or_repo: str | Path,
        *,
        revision: str | None = None,
        cache_dir: str | Path | None = None,
        token: str | None = None,
        subfolder: str = "",
        local_files_only: bool = False,
        **overrides: Unpack[ConfigOverrides],
    ) -> Self:
        """The configuration in a local folder or a Hub repository, with `overrides` applied.

        Raises RepoError if the file cannot be had, JsonFileError if it is not a JSON object, and ConfigError,
        naming field, value and file, if its content cannot be used.
        """
        file, data = read_config_file(
            path_or_repo,
            CONFIG_NAME,
            revision=revision,
            cache_dir=cache_dir,
            token=token,
            subfolder=subfolder,
            local_files_only=local_files_only,
        )
        try:
            config = cls.from_dict({**data, "name_or_path": str(path_or_repo)})
        except ConfigError as error:
            raise error.in_file(file) from None
        return config.replace(**overrides) if overrides else config

    def to_dict(self) -> dict[str, JsonValue]:
        """Everything, in JSON's types and in the newer spelling, such as `rope_parameters` and `dtype`."""
        written = super().to_dict()
        del written["attn_implementation"]
        if written["quantization_config"] is None:
            del written["quantization_config"]
        written["_name_or_path"] = written.pop("name_or_path")
        return {"model_type": self.model_type, **written}

    def to_diff_dict(self) -> dict[str, JsonValue]:
        """What a config.json holds: the family's fields, and shared ones that are not at their default."""
        families = [base for base in type(self).__mro__ if base not in PreTrainedConfig.__mro__]
        shared = PreTrainedConfig.field_names().difference(*(base.__annotations__ for base in families))
        defaults = PreTrainedConfig().to_dict()
        return {
            key: value
            for key, value in self.to_dict().items()
            if key != "_name_or_path" and not (key in shared and value == defaults.get(key))
        }

    def to_json_string(self, use_diff: bool = True) -> str:
        """`to_diff_dict()`, or with `use_diff=False` everything, as indented JSON with sorted keys."""
        written = self.to_diff_dict() if use_diff else self.to_dict()
        return dump_json(encode_special_floats(written), sort_keys=True)

    def save_pretrained(self, save_directory: str | Path) -> Path:
        """Writes config.json into the folder, atomically, and returns the file's path."""
        path = Path(save_directory) / CONFIG_NAME
        atomic_write_text(path, self.to_json_string())
        return path


def read_config_file(
    path_or_repo: str | Path,
    name: str,
    *,
    revision: str | None = None,
    cache_dir: str | Path | None = None,
    token: str | None = None,
    subfolder: str = "",
    local_files_only: bool = False,
) -> tuple[str, dict[str, JsonValue]]:
    """The path and the content of one JSON file of a repository. Raises RepoError and JsonFileError."""
    from hf_hub_io.repo import Repo

    repo = Repo.open(
        path_or_repo,
        revision=revision,
        cache_dir=cache_dir,
        token=token,
        subfolder=subfolder,
        local_files_only=local_files_only,
    )
    file = repo.file(name)
    data = {key: decode_special_floats(value) for key, value in read_json_object(file).items()}
    return str(file), data
