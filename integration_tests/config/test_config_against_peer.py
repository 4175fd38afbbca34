"""Our defaults, files and derived values equal the peer's, for every registered family."""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from hf_config import AutoConfig, GenerationConfig, PreTrainedConfig
from hf_config.convert import decode_special_floats
from hf_config.generation import DEFAULTS
from hf_config.quantization import METHODS, QuantizationConfig
from hf_config.registry import FAMILIES, config_class

pytestmark = pytest.mark.parity
transformers = pytest.importorskip("transformers")

# Where both take a value that was left out for granted, but only we write it down.
FILLED_IN = {
    "bamba": {"attn_layer_indices"},
    # Keys of its format that the peer reads from files without declaring them.
    "deberta-v2": {
        "share_att_key",
        "position_buckets",
        "norm_rel_ebd",
        "conv_kernel_size",
        "conv_groups",
        "conv_act",
    },
    "hunyuan_v1_dense": {"head_dim"},
    "hunyuan_v1_moe": {"head_dim"},
    "lfm2_moe": {"layer_types"},
    "minimax": {"head_dim"},
    "ministral": {"head_dim"},
    "mixtral": {"head_dim"},
    "nemotron": {"num_key_value_heads"},
    "cohere_compass_text": {"rope_parameters"},
}
# Where the peer derives into the file what we derive when asked, or keeps a second spelling inside.
ELSEWHERE = {"lfm2": {"full_attn_idxs"}, "ministral3": {"rope_parameters"}, "mistral4": {"rope_parameters"}}
# Ours alone: what the peer keeps outside its fields.
OURS = {"attn_implementation", "dtype", "name_or_path", "quantization_config", "transformers_version"}
# Sub-configurations are compared as families of their own, or belong to towers that are read as plain JSON.
NESTED = {
    "attn_config",
    "audio_config",
    "decoder",
    "encoder",
    "ffn_config",
    "per_layer_config",
    "text_config",
    "vision_config",
}


def plain(value: Any) -> Any:
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, Mapping):
        # "type" is the older word for rope_type; the peer keeps both.
        return {str(key): plain(item) for key, item in value.items() if item is not None and key != "type"}
    if isinstance(value, float) and math.isinf(value):
        return "inf"
    return plain(value.to_dict()) if hasattr(value, "to_dict") else value


def peer_value(config: Any, name: str) -> Any:
    try:
        return getattr(config, name)
    except Exception:  # noqa: BLE001 # per-layer values raise a type of their own when asked for globally
        return ...


@pytest.mark.parametrize("model_type", FAMILIES)
def test_defaults_equal_the_peers(model_type: str) -> None:
    ours, theirs = config_class(model_type)(), transformers.AutoConfig.for_model(model_type)
    skipped = OURS | NESTED | FILLED_IN.get(model_type, set()) | ELSEWHERE.get(model_type, set())
    compared = 0
    for name in sorted(ours.field_names() - skipped):
        expected = peer_value(theirs, name)
        if expected is not ...:
            assert plain(getattr(ours, name)) == plain(expected), name
            compared += 1
    assert compared >= (8 if ours.get_text_config() is ours else 1)


@pytest.mark.parametrize("model_type", FAMILIES)
def test_the_peers_file_comes_back_to_the_peer_unchanged(model_type: str, tmp_path: Path) -> None:
    theirs = transformers.AutoConfig.for_model(model_type)
    theirs.save_pretrained(tmp_path / "theirs")
    ours = AutoConfig.from_pretrained(tmp_path / "theirs")
    ours.save_pretrained(tmp_path / "ours")
    again = type(theirs).from_pretrained(tmp_path / "ours")
    before, after = plain(theirs.to_dict()), plain(again.to_dict())
    allowed = FILLED_IN.get(model_type, set()) | ELSEWHERE.get(model_type, set())
    for name in sorted((before.keys() | after.keys()) - allowed - {"_name_or_path", "transformers_version"}):
        if name in NESTED:
            assert_nested(before.get(name), after.get(name), name)
        else:
            assert after.get(name) == before.get(name), name


def assert_nested(before: Any, after: Any, name: str) -> None:
    if not isinstance(before, dict) or not isinstance(after, dict):
        assert after == before, name
        return
    assert {key: value for key, value in before.items() if after.get(key) != value} == {}, name


@pytest.mark.parametrize("model_type", FAMILIES)
def test_our_file_means_the_same_to_the_peer(model_type: str, tmp_path: Path) -> None:
    ours = config_class(model_type)(
        name_or_path="x", id2label={0: "a", 1: "b", 2: "c"}, dtype="bfloat16", architectures=("SomeModel",)
    )
    ours.save_pretrained(tmp_path)
    theirs = transformers.AutoConfig.from_pretrained(tmp_path)
    assert (theirs.id2label, str(theirs.dtype), theirs.architectures) == (
        {0: "a", 1: "b", 2: "c"},
        "torch.bfloat16",
        ["SomeModel"],
    )
    skipped = OURS | NESTED | ELSEWHERE.get(model_type, set())
    for name in sorted(ours.field_names() - skipped):
        expected = peer_value(theirs, name)
        if expected is not ...:
            assert plain(getattr(ours, name)) == plain(expected), name


# What files on the Hub say in older words, and the families that read them.
OLDER: list[tuple[str, dict[str, Any]]] = [
    ("llama", {"rope_theta": 5e5, "rope_scaling": None, "torch_dtype": "float16"}),
    ("llama", {"rope_scaling": {"type": "linear", "factor": 2.0}, "max_position_embeddings": 64}),
    ("gemma", {"hidden_act": "gelu"}),
    ("gemma3_text", {"sliding_window_pattern": 2, "num_hidden_layers": 4, "rope_local_base_freq": 5e3}),
    ("modernbert", {"global_attn_every_n_layers": 2, "num_hidden_layers": 5, "global_rope_theta": 8e4}),
    (
        "qwen2",
        {"use_sliding_window": True, "max_window_layers": 1, "num_hidden_layers": 3, "sliding_window": 8},
    ),
    ("qwen2", {"use_sliding_window": True, "num_hidden_layers": 2, "sliding_window": None}),
    ("qwen3_next", {"full_attention_interval": 2, "num_hidden_layers": 4}),
    ("gpt_neox", {"rotary_pct": 1.0, "rotary_emb_base": 20000}),
    ("mimo_v2_flash", {"sliding_window_size": 64, "routed_scaling_factor": None}),
    ("axk1", {"first_k_dense_replace": 2, "moe_layer_freq": 2, "num_hidden_layers": 6}),
    ("glm_moe_dsa", {"index_topk_pattern": "FSFS", "num_hidden_layers": 4}),
    ("glm_moe_dsa", {"index_topk_freq": 4, "num_hidden_layers": 9}),
    (
        "kimi_linear",
        {
            "linear_attn_config": {
                "head_dim": 8,
                "num_heads": 2,
                "kda_layers": [1, 3],
                "full_attn_layers": [2],
            },
            "num_hidden_layers": 3,
        },
    ),
    (
        "minimax_m3_vl_text",
        {
            "sparse_attention_config": {"sparse_block_size": 4, "sparse_attention_freq": [0, 1]},
            "moe_layer_freq": [0, 1],
            "num_hidden_layers": 2,
        },
    ),
    ("nemotron_h", {"hybrid_override_pattern": "M*E-", "mamba_n_groups": 2}),
    ("lfm2", {"block_ff_dim": 64, "tie_embedding": False, "full_attn_idxs": [1], "num_hidden_layers": 3}),
    ("bloom", {"n_embed": 32}),
    ("falcon", {"n_embed": 71 * 8, "multi_query": False}),
    ("t5", {"feed_forward_proj": "gated-gelu", "tie_word_embeddings": False}),
    ("longt5", {"feed_forward_proj": "gated-silu", "num_layers": 2}),
    ("deberta-v2", {"pos_att_type": "P2C|c2p", "pooler_hidden_size": 8}),
    ("minimax_m2", {"rotary_dim": 32}),
    ("qwen3_moe", {"num_experts": 4, "num_experts_per_tok": 2}),
    ("smollm3", {"no_rope_layer_interval": 2, "num_hidden_layers": 4}),
    (
        "jamba",
        {"mamba_dt_rank": "auto", "hidden_size": 100, "num_attention_heads": 4, "num_key_value_heads": 4},
    ),
    ("zamba2", {"num_hidden_layers": 54}),
    ("bart", {"num_labels": 4}),
]


@pytest.mark.parametrize(("model_type", "data"), OLDER)
def test_older_words_mean_the_same(model_type: str, data: dict[str, Any]) -> None:
    if model_type not in FAMILIES:
        pytest.skip(f"{model_type} is not registered")
    ours = PreTrainedConfig.from_dict({"model_type": model_type, **data})
    theirs = type(transformers.AutoConfig.for_model(model_type)).from_dict(json.loads(json.dumps(data)))
    skipped = OURS | NESTED | FILLED_IN.get(model_type, set())
    for name in sorted(ours.field_names() - skipped):
        expected = peer_value(theirs, name)
        if expected is not ...:
            assert plain(getattr(ours, name)) == plain(expected), name


def test_generation_options_and_their_defaults_equal_the_peers() -> None:
    theirs = transformers.GenerationConfig()
    names = theirs.to_dict().keys() - {"_from_model_config"}
    assert GenerationConfig.field_names() == names
    assert all(getattr(theirs, name) is None for name in names if name != "transformers_version")
    assert {
        name: value for name, value in theirs._get_default_generation_params().items() if value is not None
    } == DEFAULTS


@pytest.mark.parametrize(
    "model_type", ["bert", "llama", "bart", "t5", "gpt2", "marian", "blenderbot", "pegasus"]
)
def test_options_from_a_models_config_equal_the_peers(model_type: str, tmp_path: Path) -> None:
    ours = GenerationConfig.from_model_config(AutoConfig.for_model(model_type))
    expected = transformers.GenerationConfig.from_model_config(transformers.AutoConfig.for_model(model_type))
    written = {name: value for name, value in expected.to_diff_dict().items() if value is not False}
    written.pop("transformers_version", None)
    assert ours.to_diff_dict() == written
    ours.save_pretrained(tmp_path)
    read = transformers.GenerationConfig.from_pretrained(tmp_path)
    assert {name: read.to_dict()[name] for name in ours.field_names() - {"transformers_version"}} == {
        name: value
        for name, value in ours.to_dict().items()
        if name in ours.field_names() - {"transformers_version"}
    }


def peer_quantization_configs() -> dict[str, Any]:
    from transformers.utils import quantization_config as peer

    made = {}
    for method, kind in METHODS.items():
        cls = getattr(peer, kind.__name__, None)
        try:
            made[method] = cls(bits=4) if method == "gptq" else cls() if cls is not None else None
        except (ImportError, TypeError):  # needs a package that is not here, or has no defaults
            continue
    return {method: config for method, config in made.items() if config is not None}


def test_quantization_settings_of_the_peer_are_read_and_written_back() -> None:
    made = peer_quantization_configs()
    assert len(made) >= 20
    for method, theirs in made.items():
        data = json.loads(json.dumps(theirs.to_dict(), default=str))
        ours = QuantizationConfig.from_dict(data)
        assert type(ours) is METHODS[method], method
        assert ours.to_dict() == data, method
        fresh = METHODS[method]().to_dict()
        shared = {name: value for name, value in data.items() if name in fresh and name != "quant_method"}
        assert {name: fresh[name] for name in shared} == shared, method


def test_infinite_limits_come_back_from_the_peer(tmp_path: Path) -> None:
    config = config_class("mamba2")()
    config.save_pretrained(tmp_path)
    theirs = transformers.AutoConfig.from_pretrained(tmp_path)
    data = decode_special_floats(json.loads(theirs.to_json_string()))
    assert isinstance(data, dict)
    assert PreTrainedConfig.from_dict(data) == config
