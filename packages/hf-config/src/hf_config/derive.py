"""Values that configurations leave out and every reader derives in the same way."""

from typing import Literal, Protocol

LayerType = Literal[
    "full_attention",
    "sliding_attention",
    "chunked_attention",
    "indexed_attention",
    "linear_attention",
    "conv",
    "moe",
    "hybrid",
]
MlpLayerType = Literal["dense", "sparse"]
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
    """A configuration with a width and a number of attention heads."""

    @property
    def hidden_size(self) -> int: ...

    @property
    def num_attention_heads(self) -> int: ...


def head_dim(config: HasHeads) -> int:
    """The width shared evenly by the heads."""
    return config.hidden_size // config.num_attention_heads


def kv_heads(config: HasHeads) -> int:
    """As many key heads as query heads: plain multi-head attention."""
    return config.num_attention_heads
