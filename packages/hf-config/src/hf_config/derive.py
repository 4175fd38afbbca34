"""Values that configurations leave out and every reader derives in the same way."""

import math
from collections.abc import Callable, Mapping
from typing import Literal, Never, Protocol, TypeVar

from hf_config.convert import convert
from hf_config.layers import LayerType
from hf_config.record import Record, completed
from hf_config.rope import RopeParameters

T = TypeVar("T")

Activation = Literal[
    "gelu",
    "gelu_10",
    "gelu_accurate",
    "gelu_fast",
    "gelu_new",
    "gelu_python",
    "gelu_python_tanh",
    "gelu_pytorch_tanh",
    "hardswish",
    "laplace",
    "leaky_relu",
    "linear",
    "mish",
    "prelu",
    "quick_gelu",
    "relu",
    "relu2",
    "relu6",
    "sigmoid",
    "silu",
    "sqrtsoftplus",
    "swish",
    "tanh",
    "xielu",
]


class HasHeads(Protocol):
    """A configuration with a number of attention heads."""

    @property
    def num_attention_heads(self) -> int: ...


class HasWidth(Protocol):
    """A configuration with a model width."""

    @property
    def hidden_size(self) -> int: ...


class HasWidthAndHeads(HasWidth, HasHeads, Protocol):
    """A configuration with a model width and a number of attention heads."""


class HasLatentHeads(Protocol):
    """A configuration of latent attention, whose heads have a rotated and a plain part."""

    @property
    def qk_nope_head_dim(self) -> int: ...

    @property
    def qk_rope_head_dim(self) -> int: ...


class HasLateWindow(Protocol):
    """A configuration whose later layers may attend within a window."""

    @property
    def num_hidden_layers(self) -> int: ...

    @property
    def sliding_window(self) -> int | None: ...

    @property
    def max_window_layers(self) -> int: ...


def head_dim(config: HasWidthAndHeads) -> int:
    """The width shared evenly by the heads."""
    return config.hidden_size // config.num_attention_heads


def kv_heads(config: HasHeads) -> int:
    """As many key heads as query heads: plain multi-head attention."""
    return config.num_attention_heads


def width(config: HasWidth) -> int:
    """The model's own width."""
    return config.hidden_size


def qk_head_dim(config: HasLatentHeads) -> int:
    """The size of a query or key head of latent attention: its plain and its rotated part."""
    return config.qk_nope_head_dim + config.qk_rope_head_dim


def rotated_dim(config: HasLatentHeads) -> int:
    """The rotated part of a head of latent attention, which is what rope settings are about."""
    return config.qk_rope_head_dim


def time_step_rank(config: HasWidth) -> int:
    """The rank of a Mamba layer's step projection: a sixteenth of the width."""
    return math.ceil(config.hidden_size / 16)


def late_windows(config: HasLateWindow) -> list[LayerType]:
    """Sliding attention from layer `max_window_layers` on, where there is a window."""
    return [
        "sliding_attention"
        if config.sliding_window and index >= config.max_window_layers
        else "full_attention"
        for index in range(config.num_hidden_layers)
    ]


def always(run: Callable[[Never], T]) -> T:
    """A field that is `run(config)` whatever the file says: files carry it, other fields decide it."""

    def complete(owner: Never, given: object, absorbed: Mapping[str, object]) -> object:
        return run(owner)

    value: T = completed(complete)
    return value


def auto(run: Callable[[Never], int]) -> int:
    """A number that files may give as "auto": `run(config)` then, or where it is absent."""

    def complete(owner: Never, given: object, absorbed: Mapping[str, object]) -> object:
        return run(owner) if given is None or given == "auto" else given

    value: int = completed(complete)
    return value


def renamed(older: str, default: T) -> T:
    """A field that older files call `older`, which wins where both are present."""

    def complete(owner: Never, given: object, absorbed: Mapping[str, object]) -> object:
        return absorbed.get(older, default if given is None else given)

    value: T = completed(complete, absorbs=(older,))
    return value


def used_window(default: int | None, *, unused: int | None = None) -> int | None:
    """A window length that counts only under `use_sliding_window`; `unused` otherwise."""

    def complete(owner: Record, given: object, absorbed: Mapping[str, object]) -> object:
        if not vars(owner)["use_sliding_window"]:
            return unused
        return given if owner.was_given("sliding_window") else default

    value: int | None = completed(complete)
    return value


class HasRotationInterval(Protocol):
    """A configuration that leaves every so many layers without positions."""

    @property
    def num_hidden_layers(self) -> int: ...

    @property
    def no_rope_layer_interval(self) -> int: ...


def rotated_layers(config: HasRotationInterval) -> tuple[int, ...]:
    """1 for each layer with rotary positions, 0 for every `no_rope_layer_interval`-th, which has none."""
    interval = config.no_rope_layer_interval
    return tuple(int((index + 1) % interval != 0) for index in range(config.num_hidden_layers))


class HasWindowPattern(Protocol):
    """A configuration whose windowed layers follow a period or a text such as "LLLG"."""

    @property
    def num_hidden_layers(self) -> int: ...

    @property
    def sliding_window(self) -> int | None: ...

    @property
    def sliding_window_pattern(self) -> int | str | None: ...


def windows_by_pattern(config: HasWindowPattern) -> list[LayerType]:
    """Full attention in every n-th layer, or where the pattern says "G"; everywhere without a window."""
    pattern = config.sliding_window_pattern
    if config.sliding_window is None or not pattern:
        return ["full_attention"] * config.num_hidden_layers
    # A period counts from one: three windowed layers, then a full one, is 4, or "LLLG".
    kinds = pattern if isinstance(pattern, str) else "L" * (pattern - 1) + "G"
    return [
        "full_attention" if kinds[index % len(kinds)] == "G" else "sliding_attention"
        for index in range(config.num_hidden_layers)
    ]


class HasLayerRotation(Protocol):
    """A configuration with one base of rotation for all its layers."""

    @property
    def num_hidden_layers(self) -> int: ...

    @property
    def rope_parameters(self) -> RopeParameters: ...


def one_theta(config: HasLayerRotation) -> tuple[float, ...]:
    """The shared base of rotation, once for each layer."""
    return (config.rope_parameters.rope_theta,) * config.num_hidden_layers


class HasGlobalHeads(Protocol):
    """A Gemma 4 configuration, whose full layers have heads of their own size and number."""

    @property
    def layer_types(self) -> tuple[LayerType, ...]: ...

    @property
    def attention_k_eq_v(self) -> bool: ...

    @property
    def global_head_dim(self) -> int: ...

    @property
    def num_global_key_value_heads(self) -> int | None: ...


def full_layer_heads(config: HasGlobalHeads) -> Mapping[int, Mapping[str, int]]:
    """What differs in each full layer: its head size and, where keys double as values, its key heads."""
    heads = {"head_dim": config.global_head_dim}
    if config.attention_k_eq_v and config.num_global_key_value_heads is not None:
        heads["num_key_value_heads"] = config.num_global_key_value_heads
    return {index: heads for index, kind in enumerate(config.layer_types) if kind == "full_attention"}


class HasLayers(Protocol):
    """A configuration with a number of layers."""

    @property
    def num_hidden_layers(self) -> int: ...


def six_with_full_last(config: HasLayers) -> list[LayerType]:
    """Five windowed layers before each full one, and a full one at the end whatever the count."""
    last = config.num_hidden_layers - 1
    return [
        "full_attention" if (index + 1) % 6 == 0 or index == last else "sliding_attention"
        for index in range(config.num_hidden_layers)
    ]


def tanh_gelu(owner: Record, given: object, absorbed: Mapping[str, object]) -> object:
    """Gemma's activation: its first files say "gelu" and mean the tanh form."""
    return "gelu_pytorch_tanh" if given in (None, "gelu") else given


class HasFeedForwardWords(Protocol):
    """A configuration of T5's kind, which names its MLP in words such as "gated-gelu"."""

    @property
    def feed_forward_proj(self) -> str: ...

    @property
    def num_layers(self) -> int: ...


def inner_activation(config: HasFeedForwardWords) -> Activation:
    """The activation in T5's words; its "gated-gelu" is the tanh form."""
    words = config.feed_forward_proj
    name = "gelu_new" if words == "gated-gelu" else words.split("-")[-1]
    activation: Activation = convert(name, Activation)  # type: ignore[assignment] # convert checked it
    return activation


def gated(config: HasFeedForwardWords) -> bool:
    """Whether T5's words ask for a gate."""
    return config.feed_forward_proj.startswith("gated-")


def decoder_layers(config: HasFeedForwardWords) -> int:
    """As many decoder layers as encoder layers."""
    return config.num_layers


def tied(config: Record) -> bool:
    """T5's input embeddings are one, whatever the file says about tying; see `scaled_outputs`."""
    return True


def scaled_outputs(config: Record, given: object, absorbed: Mapping[str, object]) -> object:
    """Whether T5 scales the decoder's outputs: files say so by tying, which later sizes switch off."""
    return absorbed.get("tie_word_embeddings") is not False if given is None else given


def position_terms(config: Record, given: object, absorbed: Mapping[str, object]) -> object:
    """DeBERTa's position terms, which files also write as "p2c|c2p"."""
    return [term.strip() for term in given.lower().split("|")] if isinstance(given, str) else given
