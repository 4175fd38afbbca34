"""Checkpoint repositories as typed files and bytes: resolve, validate, map, write atomically."""

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

__all__ = [
    "AtomicDirectory",
    "Checkpoint",
    "DType",
    "Header",
    "HfError",
    "JsonLike",
    "JsonValue",
    "MappedFile",
    "MissingPackageError",
    "RangeRead",
    "Repo",
    "ShardPlan",
    "Source",
    "TensorBytes",
    "TensorInfo",
    "WeightFile",
    "WeightFormat",
    "atomic_open",
    "atomic_write_bytes",
    "atomic_write_json",
    "atomic_write_text",
    "discover",
    "dump_json",
    "parse_json",
    "parse_json_object",
    "parse_size",
    "plan_shards",
    "read_header",
    "read_json_object",
    "read_ranges",
    "safe_join",
    "safe_name",
    "save_tensors",
    "write_safetensors",
    "write_shards",
]
