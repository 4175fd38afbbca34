"""Checkpoint repositories as typed files and bytes: resolve, validate, map, write atomically."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from hf_hub_io.atomic import atomic_open, atomic_write_bytes, atomic_write_json, atomic_write_text
from hf_hub_io.checkpoint import Checkpoint, WeightFile, WeightFormat
from hf_hub_io.directory import AtomicDirectory
from hf_hub_io.discover import discover
from hf_hub_io.dtypes import DType
from hf_hub_io.errors import HfError, MissingPackageError
from hf_hub_io.header import Header, TensorInfo, read_header
from hf_hub_io.jsonio import JsonLike, JsonValue, dump_json, parse_json, parse_json_object, read_json_object
from hf_hub_io.mapped import MappedFile
from hf_hub_io.paths import safe_join, safe_name
from hf_hub_io.read import RangeRead, read_ranges
from hf_hub_io.repo import Repo, Source
from hf_hub_io.shards import ShardPlan, parse_size, plan_shards
from hf_hub_io.write import TensorBytes, save_tensors, write_safetensors, write_shards

if TYPE_CHECKING:
    from hf_hub_io.adapter import AdapterCheckpoint, discover_adapter, has_adapter
    from hf_hub_io.bundle import export_bundle, import_bundle
    from hf_hub_io.card import EvaluationResult, ModelCard, read_card_metadata
    from hf_hub_io.gguf import GgmlType, GgufFile, GgufTensor, GgufValue
    from hf_hub_io.lock import Lock, LockedFile, LockedRepo, lock_repo
    from hf_hub_io.push import PushResult, push_to_hub
    from hf_hub_io.risk import Finding, Risk, scan
    from hf_hub_io.trust import RemoteCode, Trust, import_trusted, read_remote_code, trusted_code

__all__ = [
    "AdapterCheckpoint",
    "AtomicDirectory",
    "Checkpoint",
    "DType",
    "EvaluationResult",
    "Finding",
    "GgmlType",
    "GgufFile",
    "GgufTensor",
    "GgufValue",
    "Header",
    "HfError",
    "JsonLike",
    "JsonValue",
    "Lock",
    "LockedFile",
    "LockedRepo",
    "MappedFile",
    "MissingPackageError",
    "ModelCard",
    "PushResult",
    "RangeRead",
    "RemoteCode",
    "Repo",
    "Risk",
    "ShardPlan",
    "Source",
    "TensorBytes",
    "TensorInfo",
    "Trust",
    "WeightFile",
    "WeightFormat",
    "atomic_open",
    "atomic_write_bytes",
    "atomic_write_json",
    "atomic_write_text",
    "discover",
    "discover_adapter",
    "dump_json",
    "export_bundle",
    "has_adapter",
    "import_bundle",
    "import_trusted",
    "lock_repo",
    "parse_json",
    "parse_json_object",
    "parse_size",
    "plan_shards",
    "push_to_hub",
    "read_card_metadata",
    "read_header",
    "read_json_object",
    "read_ranges",
    "read_remote_code",
    "safe_join",
    "safe_name",
    "save_tensors",
    "scan",
    "trusted_code",
    "write_safetensors",
    "write_shards",
]

# What a program that only loads a checkpoint never needs is imported when it is first named.
_LATER = {
    "AdapterCheckpoint": "adapter",
    "EvaluationResult": "card",
    "Finding": "risk",
    "GgmlType": "gguf",
    "GgufFile": "gguf",
    "GgufTensor": "gguf",
    "GgufValue": "gguf",
    "Lock": "lock",
    "LockedFile": "lock",
    "LockedRepo": "lock",
    "ModelCard": "card",
    "PushResult": "push",
    "RemoteCode": "trust",
    "Risk": "risk",
    "Trust": "trust",
    "discover_adapter": "adapter",
    "export_bundle": "bundle",
    "has_adapter": "adapter",
    "import_bundle": "bundle",
    "import_trusted": "trust",
    "lock_repo": "lock",
    "push_to_hub": "push",
    "read_card_metadata": "card",
    "read_remote_code": "trust",
    "scan": "risk",
    "trusted_code": "trust",
}


def __getattr__(name: str) -> object:
    if (module := _LATER.get(name)) is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{module}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_LATER})
