"""What `from_pretrained` takes beside the path, for model classes and Auto classes alike."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypedDict

import torch

if TYPE_CHECKING:
    from torch.distributed.device_mesh import DeviceMesh

    from hf_config import PreTrainedConfig
    from hf_config.base import AttentionImplementation, ProblemType
    from hf_config.quantization import QuantizationConfig
    from hf_hub_io.trust import Trust


class LoadArguments(TypedDict, total=False):
    """Options of `from_pretrained`; the last group are fields of the config to change while loading.

    dtype: element type of the weights; "auto" and None take the config's, else the checkpoint's commonest.
    device: where the weights go; the default device when absent.
    device_map: "auto", "balanced", "sequential", or a device or "disk" by module name ("" is the rest).
    max_memory: bytes, or text such as "10GB", by device, for the automatic maps.
    tp_plan: "auto" spreads each layer over the processes that a launcher started; needs hf-parallel.
    tp_size: over how many of them, all if absent; device_mesh: or over those of its dimension "tp".
    allow_missing: patterns of weights that may start from random values (`"score.*"`).
    allow_unexpected: patterns of tensors on disk to leave out.
    allow_pickle: read `.bin` files, with torch's restricted unpickler.
    gguf_file: the `.gguf` file to load, settings and weights; they are unpacked to floating point.
    trust: vouches for the code of a repository whose model exists only as code, by commit and content.
    check_finite: refuse weights that hold NaN or infinity.
    """

    config: PreTrainedConfig
    dtype: torch.dtype | str | None
    device: torch.device | str | int | None
    device_map: str | Mapping[str, torch.device | str | int] | None
    max_memory: Mapping[int | str, int | str] | None
    tp_plan: Literal["auto"] | None
    tp_size: int | None
    device_mesh: DeviceMesh | None
    attn_implementation: AttentionImplementation | None
    quantization_config: QuantizationConfig | None
    allow_missing: tuple[str, ...]
    allow_unexpected: tuple[str, ...]
    check_finite: bool

    revision: str | None
    token: str | bool | None
    cache_dir: str | Path | None
    subfolder: str
    local_files_only: bool
    variant: str | None
    weights_name: str | None
    gguf_file: str | None
    use_safetensors: bool | None
    allow_pickle: bool
    trust: Trust | None

    num_labels: int
    id2label: Mapping[int, str]
    label2id: Mapping[str, int]
    problem_type: ProblemType | None
    num_hidden_layers: int
    output_attentions: bool
    output_hidden_states: bool
    pad_token_id: int | None
    tie_word_embeddings: bool
    use_cache: bool


CONFIG_FIELDS = frozenset(
    {
        "num_labels",
        "id2label",
        "label2id",
        "problem_type",
        "num_hidden_layers",
        "output_attentions",
        "output_hidden_states",
        "pad_token_id",
        "tie_word_embeddings",
        "use_cache",
        "attn_implementation",
    }
)
"""The arguments that change the config."""

DTYPES: Mapping[str, torch.dtype] = {
    "float64": torch.float64,
    "float32": torch.float32,
    "float16": torch.float16,
    "bfloat16": torch.bfloat16,
}
"""Element types that a model can calculate in, by the names that config.json uses."""


def refuse_unknown(arguments: Mapping[str, object]) -> None:
    """Raises TypeError for an argument that `from_pretrained` does not have, with the nearest name it has."""
    for name in arguments:
        if name not in LoadArguments.__annotations__:
            near = get_close_matches(name, LoadArguments.__annotations__, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise TypeError(f"from_pretrained() has no argument {name!r}{hint}")
