"""Quantization settings: the method chooses the class, and files are written back as they were."""

from collections.abc import Mapping

import pytest

from hf_config import LlamaConfig
from hf_config.errors import ConfigError, InconsistentFieldsError, InvalidFieldError, UnknownQuantMethodError
from hf_config.quantization import (
    METHODS,
    AwqConfig,
    BitsAndBytesConfig,
    CompressedTensorsConfig,
    FineGrainedFP8Config,
    FPQuantConfig,
    GPTQConfig,
    HqqConfig,
    MlxConfig,
    ModelOptConfig,
    QuantizationArgs,
    QuantizationConfig,
    QuantizationScheme,
    QuarkConfig,
    VptqConfig,
)

SPELLINGS: list[tuple[Mapping[str, object], type[QuantizationConfig]]] = [
    ({"quant_method": "gptq", "bits": 4, "checkpoint_format": "GPTQ_V2"}, GPTQConfig),
    ({"quant_method": "GPTQ", "bits": 8}, GPTQConfig),
    ({"quant_method": "awq", "w_bit": 4, "q_group_size": 64, "version": "GEMM"}, AwqConfig),
    ({"load_in_4bit": True, "bnb_4bit_quant_type": "nf4"}, BitsAndBytesConfig),
    ({"quant_method": "bitsandbytes", "_load_in_8bit": True, "_load_in_4bit": False}, BitsAndBytesConfig),
    ({"quant_method": "bitsandbytes_8bit", "load_in_8bit": True}, BitsAndBytesConfig),
    (
        {"quant_method": "fp8", "ignored_layers": ["lm_head"], "weight_block_size": [128, 128]},
        FineGrainedFP8Config,
    ),
    ({"quant_method": "mxfp8"}, FineGrainedFP8Config),
    ({"config_groups": {"group_0": {"targets": ["Linear"]}}}, CompressedTensorsConfig),
    ({"quant_method": "modelopt", "quant_algo": "NVFP4", "ignore": ["lm_head"]}, ModelOptConfig),
    (
        {"producer": {"name": "modelopt"}, "quantization": {"quant_algo": "FP8", "exclude_modules": ["a"]}},
        ModelOptConfig,
    ),
    ({"group_size": 64, "bits": 4}, MlxConfig),
    ({"quant_method": "quark", "export": {}, "global_quant_config": {}, "exclude": []}, QuarkConfig),
]


@pytest.mark.parametrize(("data", "kind"), SPELLINGS)
def test_every_spelling_finds_its_class_and_is_written_back(
    data: Mapping[str, object], kind: type[QuantizationConfig]
) -> None:
    full = {**data, "nobody_knows": {"a": [1]}}
    config = QuantizationConfig.from_dict(full)
    assert type(config) is kind
    assert config.to_dict() == full
    model = LlamaConfig.from_dict({"quantization_config": full})
    assert model.quantization_config == config
    assert model.to_diff_dict()["quantization_config"] == full
    assert LlamaConfig.from_dict(model.to_dict()) == model


def test_spellings_mean_the_same() -> None:
    gptq = QuantizationConfig.from_dict(SPELLINGS[0][0])
    assert isinstance(gptq, GPTQConfig)
    assert (gptq.format, gptq.checkpoint_format, gptq.group_size) == ("gptq_v2", "gptq_v2", 128)
    awq = QuantizationConfig.from_dict(SPELLINGS[2][0])
    assert isinstance(awq, AwqConfig)
    assert (awq.bits, awq.group_size, awq.version) == (4, 64, "gemm")
    bits = QuantizationConfig.from_dict(SPELLINGS[4][0])
    assert isinstance(bits, BitsAndBytesConfig)
    assert (bits.load_in_8bit, bits.load_in_4bit) == (True, False)
    fp8 = QuantizationConfig.from_dict(SPELLINGS[6][0])
    assert isinstance(fp8, FineGrainedFP8Config)
    assert fp8.modules_to_not_convert == ("lm_head",)
    modelopt = QuantizationConfig.from_dict(SPELLINGS[10][0])
    assert isinstance(modelopt, ModelOptConfig)
    assert (modelopt.quant_algo, modelopt.modules_to_not_convert) == ("FP8", ("a",))


def test_settings_made_in_python_are_written_in_full() -> None:
    written = GPTQConfig(bits=4).to_dict()
    assert (written["quant_method"], written["group_size"], written["checkpoint_format"]) == (
        "gptq",
        128,
        "gptq",
    )


def test_replacing_writes_the_new_value() -> None:
    config = QuantizationConfig.from_dict({"quant_method": "gptq", "bits": 4, "other": 1})
    changed = config.replace(bits=8).to_dict()
    assert (changed["bits"], changed["other"]) == (8, 1)


def test_the_older_key_is_read(tmp_path: object) -> None:
    config = LlamaConfig.from_dict({"compression_config": {"format": "dense", "config_groups": {}}})
    assert isinstance(config.quantization_config, CompressedTensorsConfig)


def test_nested_settings_are_typed() -> None:
    weights = {"num_bits": 4, "type": "int", "strategy": "group", "group_size": 128}
    config = CompressedTensorsConfig.from_dict(
        {"config_groups": {"g": {"targets": ["Linear"], "weights": weights}, "FP8": ["re:.*attn"]}}
    )
    scheme = config.config_groups["g"]
    assert isinstance(scheme, QuantizationScheme)
    assert scheme.weights == QuantizationArgs(num_bits=4, strategy="group", group_size=128)
    assert config.config_groups["FP8"] == ("re:.*attn",)
    vptq = VptqConfig.from_dict({"config_for_layers": {"a": {"vector_lens": [-1, 8]}}})
    assert vptq.config_for_layers["a"].vector_lens == (-1, 8)


def test_hqq_builds_its_settings_from_short_ones() -> None:
    config = HqqConfig(nbits=3, axis=0)  # type: ignore[call-arg] # absorbed into quant_config
    weights = config.quant_config["weight_quant_params"]
    assert isinstance(weights, Mapping)
    assert (weights["nbits"], weights["axis"], weights["round_zero"], weights["group_size"]) == (
        3,
        0,
        False,
        64,
    )


def test_a_default_may_follow_another_field() -> None:
    assert FPQuantConfig().hadamard_group_size == 16
    assert FPQuantConfig(forward_dtype="mxfp4").hadamard_group_size == 32


def test_an_unknown_method_names_the_nearest() -> None:
    with pytest.raises(UnknownQuantMethodError, match="unknown quant_method 'gptqq'; did you mean 'gptq'"):
        QuantizationConfig.from_dict({"quant_method": "gptqq"})
    with pytest.raises(ConfigError, match="names no quant_method"):
        QuantizationConfig.from_dict({"something": 1})


@pytest.mark.parametrize(
    ("data", "text"),
    [
        ({"quant_method": "gptq", "bits": 9}, "bits is 9, expected one of 2, 3"),
        ({"quant_method": "gptq", "bits": 4, "group_size": 0}, "group_size is 0"),
        ({"quant_method": "gptq", "bits": 4, "damp_percent": 2.0}, "damp_percent is 2.0"),
        ({"quant_method": "awq", "version": "gem"}, "version is 'gem'"),
        ({"quant_method": "higgs", "group_size": 100}, "group_size is 100"),
        ({"quant_method": "fp8", "weight_block_size": [128]}, "weight_block_size"),
        ({"quant_method": "quanto", "weights": "int5"}, "expected one of 'int8', 'float8'"),
        ({"quant_method": "spqr", "beta1": 8}, "beta1 is 8"),
    ],
)
def test_values_that_cannot_be_are_named(data: Mapping[str, object], text: str) -> None:
    with pytest.raises(InvalidFieldError, match=text):
        QuantizationConfig.from_dict(data)


def test_two_widths_at_once_are_refused() -> None:
    with pytest.raises(InconsistentFieldsError, match="both true"):
        BitsAndBytesConfig(load_in_4bit=True, load_in_8bit=True)


@pytest.mark.parametrize("method", METHODS)
def test_each_method_names_itself(method: str) -> None:
    config = QuantizationConfig.from_dict({"quant_method": method})
    assert config.quant_method == method
