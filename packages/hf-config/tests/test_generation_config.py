"""Options of generation: ranges, contradictions, defaults and files."""

from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hf_config import (
    BartConfig,
    EncoderDecoderConfig,
    GenerationConfig,
    LlamaConfig,
    SynthIDTextWatermarkingConfig,
    WatermarkingConfig,
)
from hf_config.errors import ConfigError, InconsistentFieldsError, InvalidFieldError
from hf_config.generation import DEFAULTS
from hf_hub_io.errors import FileMissingError


def test_unset_options_are_null_and_have_defaults() -> None:
    config = GenerationConfig(top_p=0.5)
    assert config.temperature is None
    filled = config.with_defaults()
    assert (filled.top_p, filled.temperature, filled.top_k, filled.max_length) == (0.5, 1.0, 50, 20)
    assert DEFAULTS.keys() <= GenerationConfig.field_names()


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"top_p": 1.5}, "top_p is 1.5, expected between 0 and 1"),
        ({"temperature": -1}, "temperature is -1.0, expected at least 0"),
        ({"max_new_tokens": 0}, "max_new_tokens is 0, expected at least 1"),
        ({"early_stopping": "sometimes"}, "early_stopping is 'sometimes'"),
        ({"cache_implementation": "statik"}, "nearest is 'static'"),
        ({"assistant_ensemble_weight": 1.0}, "both excluded"),
        ({"bad_words_ids": [1, 2]}, "expected a list of a list of an integer, or null"),
        ({"watermarking_config": {"seeding_scheme": "x"}}, "expected one of 'lefthash', 'selfhash'"),
    ],
)
def test_values_out_of_range_are_named(options: Mapping[str, object], text: str) -> None:
    with pytest.raises(InvalidFieldError, match=text):
        GenerationConfig.from_dict(options)


@pytest.mark.parametrize(
    ("options", "fields"),
    [
        ({"num_return_sequences": 2}, ("num_return_sequences", "do_sample", "num_beams")),
        ({"num_return_sequences": 4, "num_beams": 2}, ("num_return_sequences", "num_beams")),
        ({"num_beams": 5, "num_beam_groups": 2}, ("num_beams", "num_beam_groups")),
        ({"min_length": 9, "max_length": 8}, ("min_length", "max_length")),
        ({"min_new_tokens": 3, "max_new_tokens": 2}, ("min_new_tokens", "max_new_tokens")),
        (
            {"forced_eos_token_id": [1, 2], "suppress_tokens": [2, 1, 0]},
            ("forced_eos_token_id", "suppress_tokens"),
        ),
    ],
)
def test_contradicting_options_are_named(options: Mapping[str, object], fields: tuple[str, ...]) -> None:
    with pytest.raises(InconsistentFieldsError) as caught:
        GenerationConfig.from_dict(options)
    assert caught.value.fields == fields
    assert caught.value.fix


def test_sampling_may_return_several() -> None:
    assert GenerationConfig(do_sample=True, num_return_sequences=3).num_return_sequences == 3


def test_arguments_of_generate_do_not_belong_in_a_file() -> None:
    with pytest.raises(ConfigError, match="cannot hold streamer"):
        GenerationConfig.from_dict({"streamer": True})


def test_only_what_is_set_is_written(tmp_path: Path) -> None:
    config = GenerationConfig(
        eos_token_id=(1, 2), watermarking_config=WatermarkingConfig(bias=1.5), extra={"lang_to_id": {"a": 1}}
    )
    config.save_pretrained(tmp_path)
    read = GenerationConfig.from_pretrained(tmp_path)
    assert read == config
    assert config.to_diff_dict().keys() == {"eos_token_id", "watermarking_config", "lang_to_id"}


def test_a_bad_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileMissingError, match=r"generation_config\.json"):
        GenerationConfig.from_pretrained(tmp_path)
    (tmp_path / "generation_config.json").write_text('{"top_k": -2}')
    with pytest.raises(InvalidFieldError, match=r"top_k is -2.*\(in .*generation_config\.json\)"):
        GenerationConfig.from_pretrained(tmp_path)


def test_the_kind_of_watermark_is_told_by_its_fields() -> None:
    read = GenerationConfig.from_dict({"watermarking_config": {"ngram_len": 5, "keys": [1, 2]}})
    assert read.watermarking_config == SynthIDTextWatermarkingConfig(ngram_len=5, keys=(1, 2))
    with pytest.raises(InvalidFieldError, match="keys"):
        GenerationConfig.from_dict({"watermarking_config": {"ngram_len": 5}})


def test_sequence_biases_are_pairs_in_files_and_a_mapping_in_python() -> None:
    config = GenerationConfig(sequence_bias={(1, 2): 0.5})  # type: ignore[arg-type] # the handier of two forms
    assert config.sequence_bias == (((1, 2), 0.5),)
    assert config.to_dict()["sequence_bias"] == [[[1, 2], 0.5]]


def test_older_files_keep_options_in_the_models_config() -> None:
    config = LlamaConfig.from_dict({"temperature": 0.7, "max_length": 99, "do_sample": True})
    options = GenerationConfig.from_model_config(config)
    assert (options.temperature, options.max_length, options.do_sample) == (0.7, 99, True)
    assert (options.bos_token_id, options.eos_token_id, options.output_scores) == (1, 2, None)
    assert GenerationConfig.from_model_config(BartConfig()).forced_eos_token_id == 2
    pair = EncoderDecoderConfig.from_dict(
        {"encoder": {"model_type": "bert"}, "decoder": {"model_type": "gpt2"}, "decoder_start_token_id": 4}
    )
    options = GenerationConfig.from_model_config(pair)
    assert (options.eos_token_id, options.decoder_start_token_id) == (50256, 4)


def test_merging_lets_set_options_win() -> None:
    base = GenerationConfig(temperature=0.5, top_k=7)
    assert base.merged(GenerationConfig(top_k=9)) == GenerationConfig(temperature=0.5, top_k=9)


@given(
    temperature=st.none() | st.floats(0, 5),
    top_k=st.none() | st.integers(0, 1000),
    eos=st.none() | st.integers(0, 9) | st.lists(st.integers(0, 9), max_size=3),
    stop=st.none() | st.text(max_size=4) | st.lists(st.text(max_size=4), max_size=2),
)
def test_options_round_trip(temperature: float | None, top_k: int | None, eos: object, stop: object) -> None:
    data = {"temperature": temperature, "top_k": top_k, "eos_token_id": eos, "stop_strings": stop}
    config = GenerationConfig.from_dict(data)
    assert GenerationConfig.from_dict(config.to_diff_dict()) == config
    assert GenerationConfig.from_dict(config.to_dict()) == config
