"""Rotary settings: all spellings become one."""

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hf_config import (
    BeamConfig,
    DbrxConfig,
    Gemma3TextConfig,
    GPTNeoXConfig,
    LlamaConfig,
    MiniMaxM2Config,
    Olmo3Config,
    Phi3Config,
    RopeParameters,
)
from hf_config.errors import InconsistentFieldsError, InvalidFieldError

LLAMA3 = {
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 8192,
}


@pytest.mark.parametrize(
    "spelling",
    [
        {"rope_theta": 5e5, "rope_scaling": {"type": "llama3", **LLAMA3}},
        {"rope_theta": 500000, "rope_scaling": {"rope_type": "llama3", "type": "llama3", **LLAMA3}},
        {"rope_parameters": {"rope_type": "llama3", "rope_theta": 5e5, **LLAMA3}},
        {"rope_theta": 5e5, "rope_parameters": {"rope_type": "llama3", "rope_theta": 5e5, **LLAMA3}},
    ],
)
def test_spellings_of_one_setting_are_one_setting(spelling: Mapping[str, object]) -> None:
    config = LlamaConfig.from_dict(spelling)
    expected = RopeParameters(
        rope_type="llama3",
        rope_theta=500000.0,
        factor=8.0,
        low_freq_factor=1.0,
        high_freq_factor=4.0,
        original_max_position_embeddings=8192,
    )
    assert config.rope_parameters == expected
    written = config.to_dict()
    assert "rope_theta" not in written
    assert written["rope_parameters"] == {"rope_type": "llama3", "rope_theta": 500000.0, **LLAMA3}


def test_the_trained_length_is_filled_in_where_scaling_needs_it() -> None:
    scaling = {"type": "yarn", "factor": 4.0}
    config = LlamaConfig.from_dict({"max_position_embeddings": 1024, "rope_scaling": scaling})
    assert config.rope_parameters.original_max_position_embeddings == 1024
    linear = LlamaConfig.from_dict({"rope_scaling": {"type": "linear", "factor": 2}})
    assert linear.rope_parameters.original_max_position_embeddings is None


def test_the_constructor_takes_the_older_keys_too() -> None:
    config = LlamaConfig(rope_theta=2e6)  # type: ignore[call-arg] # typed only in its newer form
    assert config.rope_parameters == RopeParameters(rope_theta=2e6)


def test_contradicting_bases_are_refused() -> None:
    with pytest.raises(
        InconsistentFieldsError, match=r"rope_theta is 1.0 and rope_parameters.rope_theta is 2.0"
    ):
        LlamaConfig.from_dict({"rope_theta": 1.0, "rope_parameters": {"rope_theta": 2.0}})


def test_an_unknown_type_names_the_nearest() -> None:
    with pytest.raises(InvalidFieldError, match="the nearest is 'yarn'"):
        LlamaConfig.from_dict({"rope_scaling": {"type": "yarm", "factor": 2.0}})


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"rope_type": "linear"}, "factor is None, expected a value, which rope_type 'linear' needs"),
        ({"rope_type": "linear", "factor": 0}, "factor is 0.0, expected a number above 0"),
        ({"rope_theta": -1}, "rope_theta is -1.0"),
        ({"partial_rotary_factor": 1.5}, "a share of the head"),
        ({"rope_type": "longrope", "short_factor": [1.0]}, "long_factor is None"),
        ("yarn", "expected an object of rope settings"),
    ],
)
def test_settings_that_cannot_be_are_named(settings: object, text: str) -> None:
    with pytest.raises(InvalidFieldError, match=text):
        LlamaConfig.from_dict({"rope_parameters": settings})


def test_a_familys_own_keys_are_read() -> None:
    neox = GPTNeoXConfig.from_dict({"rotary_pct": 0.5, "rotary_emb_base": 20000})
    assert neox.rope_parameters == RopeParameters(rope_theta=20000.0, partial_rotary_factor=0.5)
    assert GPTNeoXConfig().rope_parameters.partial_rotary_factor == 0.25
    assert (
        MiniMaxM2Config.from_dict({"rotary_dim": 64, "head_dim": 128}).rope_parameters.partial_rotary_factor
        == 0.5
    )
    assert DbrxConfig.from_dict({"attn_config": {"rope_theta": 5e5}}).rope_parameters.rope_theta == 5e5


def test_phi3_names_its_scaling_in_older_words() -> None:
    factors = [1.0] * 48
    scaling = {"type": "su", "short_factor": factors, "long_factor": factors}
    config = Phi3Config.from_dict({"rope_scaling": scaling, "original_max_position_embeddings": 2048})
    assert config.rope_parameters.rope_type == "longrope"
    assert config.rope_parameters.original_max_position_embeddings == 2048


def test_layer_types_have_settings_of_their_own() -> None:
    config = Gemma3TextConfig.from_dict(
        {
            "rope_theta": 2e6,
            "rope_local_base_freq": 5e3,
            "rope_scaling": {"rope_type": "linear", "factor": 8.0},
        }
    )
    assert config.rope_parameters == {
        "full_attention": RopeParameters(rope_type="linear", rope_theta=2e6, factor=8.0),
        "sliding_attention": RopeParameters(rope_theta=5e3),
    }
    assert Gemma3TextConfig.from_dict(config.to_dict()) == config


def test_a_layer_type_without_rotation_is_null() -> None:
    assert BeamConfig().rope_parameters["full_attention"] is None
    assert BeamConfig.from_dict(BeamConfig().to_dict()) == BeamConfig()


def test_flat_settings_where_layers_differ_are_refused() -> None:
    with pytest.raises(InvalidFieldError, match="nest the rope settings by layer type"):
        Olmo3Config.from_dict({"rope_parameters": {"rope_type": "default", "rope_theta": 1e4}})


@given(
    theta=st.floats(min_value=1, max_value=1e9, allow_nan=False),
    factor=st.floats(min_value=1, max_value=64),
    kind=st.sampled_from(["linear", "dynamic", "yarn"]),
)
def test_what_is_written_is_read_again(theta: float, factor: float, kind: str) -> None:
    config = LlamaConfig.from_dict({"rope_theta": theta, "rope_scaling": {"type": kind, "factor": factor}})
    assert LlamaConfig.from_dict(config.to_dict()) == config
