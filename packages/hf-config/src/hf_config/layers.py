"""Fields that say what kind each layer is: explicit in newer files, a period or a count in older ones."""

from collections.abc import Callable, Mapping, Sequence
from typing import Literal, Never

from hf_config.errors import InvalidFieldError
from hf_config.record import Record, completed

LayerType = Literal[
    "full_attention",
    "sliding_attention",
    "chunked_attention",
    "indexed_attention",
    "linear_attention",
    "minimax_m3_sparse",
    "conv",
    "hybrid",
    "hybrid_sliding",
    "moe",
    "mlp",
]
MlpType = Literal["dense", "sparse"]

_OLDER_NAMES: Mapping[object, str] = {
    "attention": "full_attention",
    "mamba": "linear_attention",
    "deepseek_sparse_attention": "indexed_attention",
    "qwen_sparse_attention": "indexed_attention",
}


def layer_types(run: Callable[[Never], Sequence[LayerType]]) -> tuple[LayerType, ...]:
    """A field of one kind for each layer; `run(config)` where the file does not list them."""

    def complete(owner: Never, given: object, absorbed: Mapping[str, object]) -> object:
        return tuple(run(owner)) if given is None else named_layers(given)

    kinds: tuple[LayerType, ...] = completed(complete)
    return kinds


def every(
    period: int, *, last: LayerType = "full_attention", rest: LayerType = "sliding_attention", key: str = ""
) -> tuple[LayerType, ...]:
    """A field of layer kinds where every `period`-th layer is `last`: S S S F for 4.

    `key` is the field, or the older files' key, that gives another period; 0 means `last` everywhere.
    """

    def complete(owner: Record, given: object, absorbed: Mapping[str, object]) -> object:
        if given is not None:
            return named_layers(given)
        step = _count(owner, absorbed, key, period)
        return [rest if step and (index + 1) % step else last for index in range(_layers(owner))]

    kinds: tuple[LayerType, ...] = completed(complete, absorbs=(key,) if key else ())
    return kinds


def starting(
    period: int, *, first: LayerType = "full_attention", rest: LayerType = "sliding_attention", key: str = ""
) -> tuple[LayerType, ...]:
    """A field of layer kinds where each group of `period` layers starts with `first`: F S S S for 4."""

    def complete(owner: Record, given: object, absorbed: Mapping[str, object]) -> object:
        if given is not None:
            return named_layers(given)
        step = _count(owner, absorbed, key, period)
        return [rest if step and index % step else first for index in range(_layers(owner))]

    kinds: tuple[LayerType, ...] = completed(complete, absorbs=(key,) if key else ())
    return kinds


def uniform(kind: LayerType) -> tuple[LayerType, ...]:
    """A field of layer kinds, all the same where the file does not list them."""
    return every(1, last=kind)


def dense_first(count: int = 0, *, key: str = "", step_key: str = "") -> tuple[MlpType, ...]:
    """A field of MLP kinds: `count` dense layers, then mixtures of experts.

    `key` gives another count, and `step_key` that only every so many layers has experts.
    """

    def complete(owner: Record, given: object, absorbed: Mapping[str, object]) -> object:
        if given is not None:
            return given
        dense, step = _count(owner, absorbed, key, count), _count(owner, absorbed, step_key, 1)
        return [
            "dense" if index < dense or index % max(step, 1) else "sparse" for index in range(_layers(owner))
        ]

    kinds: tuple[MlpType, ...] = completed(complete, absorbs=tuple(filter(None, (key, step_key))))
    return kinds


def named_layers(given: object) -> object:
    """A list of layer kinds with the older names replaced; anything else as it is."""
    if not isinstance(given, (list, tuple)):
        return given
    return tuple(_OLDER_NAMES.get(kind, kind) for kind in given)


def _layers(owner: Record) -> int:
    count = vars(owner)[owner.aliases().get("num_hidden_layers", "num_hidden_layers")]
    assert isinstance(count, int)
    return count


def _count(owner: Record, absorbed: Mapping[str, object], key: str, default: int) -> int:
    count = vars(owner).get(key, absorbed.get(key, default))
    if not isinstance(count, int) or isinstance(count, bool) or count < 0:
        raise InvalidFieldError(type(owner).__name__, key, count, "a number of layers", fix=f"correct {key}")
    return count
