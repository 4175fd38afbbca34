"""Fields, aliases, derivation, immutability: what every record does."""

import copy
import inspect
import pickle
from collections.abc import Mapping

import pytest

from hf_config import (
    Exaone4Config,
    Gemma3TextConfig,
    GPT2Config,
    Lfm2Config,
    LlamaConfig,
    MixtralConfig,
    NemotronHConfig,
)
from hf_config.errors import (
    ConfigError,
    FrozenConfigError,
    InconsistentFieldsError,
    InvalidFieldError,
    UnknownFieldError,
    UnsupportedKeyError,
)
from hf_config.families.laguna import LagunaConfig


def test_values_left_out_are_derived() -> None:
    config = LlamaConfig(hidden_size=96, num_attention_heads=6)
    assert (config.head_dim, config.num_key_value_heads) == (16, 6)


def test_replace_derives_anew_what_was_derived_and_keeps_what_was_given() -> None:
    config = LlamaConfig(hidden_size=96, num_attention_heads=6)
    assert config.replace(num_attention_heads=8).head_dim == 12
    assert config.replace(head_dim=24).replace(num_attention_heads=8).head_dim == 24
    assert config.head_dim == 16


def test_assigning_tells_about_replace() -> None:
    config = LlamaConfig()
    with pytest.raises(FrozenConfigError, match=r"config = config\.replace\(hidden_size=\.\.\.\)"):
        config.hidden_size = 1  # type: ignore[misc] # the point of this test
    with pytest.raises(AttributeError, match="immutable"):
        del config.hidden_size
    assert config.hidden_size == 4096


def test_an_alias_reads_and_writes_the_field_it_stands_for() -> None:
    config = GPT2Config(n_embd=24)
    assert config.hidden_size == 24
    assert config.replace(hidden_size=48).n_embd == 48
    assert GPT2Config.from_dict({"hidden_size": 12}).n_embd == 12
    assert "hidden_size" not in config.to_dict()


def test_two_spellings_of_one_field_must_agree() -> None:
    assert MixtralConfig.from_dict({"num_experts": 4, "num_local_experts": 4}).num_local_experts == 4
    with pytest.raises(InconsistentFieldsError, match="num_experts and num_local_experts are one field"):
        MixtralConfig.from_dict({"num_experts": 4, "num_local_experts": 8})


def test_an_unknown_name_in_a_constructor_names_the_nearest() -> None:
    with pytest.raises(
        UnknownFieldError, match="no field 'hiden_size'; did you mean 'hidden_size'"
    ) as caught:
        LlamaConfig(hiden_size=1)  # type: ignore[call-arg] # the point of this test
    assert isinstance(caught.value, TypeError)
    with pytest.raises(UnknownFieldError):
        LlamaConfig().replace(nope=1)


def test_unknown_keys_of_a_file_are_kept_at_the_top_level() -> None:
    data = {"model_type": "llama", "my_key": {"a": [1, None]}, "extra": 3}
    config = LlamaConfig.from_dict(data)
    assert config.extra == {"my_key": {"a": [1, None]}, "extra": 3}
    written = config.to_dict()
    assert (written["my_key"], written["extra"]) == ({"a": [1, None]}, 3)
    assert LlamaConfig.from_dict(written) == config
    assert config.unknown_keys == ("extra", "my_key")


def test_harmless_keys_are_kept_and_not_reported() -> None:
    config = LlamaConfig.from_dict({"torchscript": True, "auto_map": {"AutoConfig": "code.Config"}})
    assert config.unknown_keys == ()
    assert config.to_dict()["auto_map"] == {"AutoConfig": "code.Config"}


def test_a_key_we_do_not_act_on_is_refused_unless_it_asks_for_nothing() -> None:
    assert LagunaConfig.from_dict({"moe_apply_router_weight_on_input": False}).unknown_keys == ()
    with pytest.raises(UnsupportedKeyError, match="moe_apply_router_weight_on_input") as caught:
        LagunaConfig.from_dict({"moe_apply_router_weight_on_input": True})
    assert caught.value.keys == ("moe_apply_router_weight_on_input",)


@pytest.mark.parametrize(
    ("field", "value", "expected"),
    [
        ("hidden_size", "4096", "LlamaConfig.hidden_size is '4096', expected an integer"),
        ("hidden_size", True, "hidden_size is True, expected an integer"),
        ("hidden_size", 0, "hidden_size is 0, expected a number above 0"),
        ("rms_norm_eps", "1e-5", "rms_norm_eps is '1e-5', expected a number"),
        ("attention_bias", 1, "attention_bias is 1, expected true or false"),
        ("eos_token_id", [1, "x"], "expected an integer, or a list of an integer, or null"),
        ("hidden_act", "silo", "nearest is 'silu'"),
        ("attn_implementation", "kernels-org/some-kernel", "expected one of 'eager', 'sdpa'"),
        ("dtype", "bf16", "nearest is 'bfloat16'"),
        ("problem_type", "classify", "expected one of 'regression'"),
        ("id2label", ["a", "b"], "expected an object of text"),
    ],
)
def test_a_value_of_the_wrong_kind_is_named(field: str, value: object, expected: str) -> None:
    with pytest.raises(InvalidFieldError) as caught:
        LlamaConfig.from_dict({field: value})
    assert caught.value.field == field
    assert expected in str(caught.value)


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ({"num_attention_heads": 6, "num_key_value_heads": 4}, "not a multiple of num_key_value_heads 4"),
        ({"num_labels": 3, "id2label": {"0": "a"}}, "num_labels is 3 and id2label has 1 entries"),
        ({"num_labels": 1, "problem_type": "single_label_classification"}, "needs two labels or more"),
        ({"model_type": "bert"}, "model_type is 'bert' and LlamaConfig reads 'llama'"),
    ],
)
def test_fields_that_contradict_each_other_are_named(values: Mapping[str, object], text: str) -> None:
    with pytest.raises(InconsistentFieldsError, match=text):
        LlamaConfig.from_dict(values)


def test_layer_lists_have_one_entry_for_each_layer() -> None:
    with pytest.raises(InconsistentFieldsError, match="layer_types has 1 entries for num_hidden_layers 2"):
        Lfm2Config(num_hidden_layers=2, layer_types=("conv",))
    with pytest.raises(InconsistentFieldsError, match="layers_block_type lists 2 layers"):
        NemotronHConfig(num_hidden_layers=3, layers_block_type=("moe", "mlp"))


def test_experts_per_token_fit_the_experts() -> None:
    with pytest.raises(
        InconsistentFieldsError, match="num_experts_per_tok 9 does not fit num_local_experts 8"
    ):
        MixtralConfig(num_experts_per_tok=9)


def test_null_in_a_field_that_cannot_be_null_means_its_default() -> None:
    config = LlamaConfig.from_dict({"attention_dropout": None, "head_dim": None, "pad_token_id": None})
    assert (config.attention_dropout, config.head_dim, config.pad_token_id) == (0.0, 128, None)


def test_numbers_take_the_type_of_their_field() -> None:
    config = LlamaConfig.from_dict({"hidden_size": 64.0, "attention_dropout": 0})
    assert type(config.hidden_size) is int
    assert type(config.attention_dropout) is float


def test_labels_come_from_their_count_or_their_names() -> None:
    config = LlamaConfig.from_dict({"id2label": {"0": "no", "1": "yes", "2": "maybe"}})
    assert config.id2label == {0: "no", 1: "yes", 2: "maybe"}
    assert config.label2id == {"no": 0, "yes": 1, "maybe": 2}
    fresh = config.replace(num_labels=4)
    assert fresh.num_labels == 4
    assert fresh.label2id["LABEL_3"] == 3
    assert LlamaConfig().num_labels == 2


def test_library_dtypes_and_the_older_key_are_read_as_names() -> None:
    class FakeDType:
        def __str__(self) -> str:
            return "torch.bfloat16"

    assert LlamaConfig.from_dict({"torch_dtype": "float16"}).dtype == "float16"
    assert LlamaConfig.from_dict({"torch_dtype": "float16", "dtype": "float32"}).dtype == "float32"
    assert LlamaConfig.from_dict({"dtype": FakeDType()}).dtype == "bfloat16"
    assert LlamaConfig.from_dict({"torch_dtype": "float16"}).to_dict()["dtype"] == "float16"


def test_configs_and_their_errors_survive_copies_and_processes() -> None:
    config = LlamaConfig(hidden_size=64, num_attention_heads=4, extra={"k": 1})
    assert copy.deepcopy(config) == config
    restored = pickle.loads(pickle.dumps(config))
    assert restored == config
    assert restored.replace(num_attention_heads=8).head_dim == 8
    with pytest.raises(InvalidFieldError) as caught:
        LlamaConfig.from_dict({"hidden_size": "x"})
    error = pickle.loads(pickle.dumps(caught.value.in_file("config.json")))
    assert isinstance(error, InvalidFieldError)
    assert (error.field, error.file) == ("hidden_size", "config.json")
    assert str(error) == str(caught.value)


def test_equality_ignores_where_a_config_came_from() -> None:
    assert LlamaConfig(name_or_path="a") == LlamaConfig(name_or_path="b", transformers_version="5.0")
    assert LlamaConfig(vocab_size=1) != LlamaConfig(vocab_size=2)
    assert LlamaConfig(extra={"a": 1}) != LlamaConfig()


def test_printing_shows_what_was_given() -> None:
    assert repr(LlamaConfig(vocab_size=10, head_dim=8)) == "LlamaConfig(head_dim=8, vocab_size=10)"


def test_every_error_is_a_value_error() -> None:
    assert issubclass(ConfigError, ValueError)


def test_without_a_window_every_layer_attends_fully() -> None:
    config = Exaone4Config(num_hidden_layers=4, sliding_window=None)
    assert set(config.layer_types) == {"full_attention"}
    words = Exaone4Config(num_hidden_layers=4, sliding_window_pattern="LLG")
    assert words.layer_types == (
        "sliding_attention",
        "sliding_attention",
        "full_attention",
        "sliding_attention",
    )


def test_older_names_of_layer_kinds_are_read() -> None:
    config = Lfm2Config(num_hidden_layers=2, layer_types=("attention", "mamba"))  # type: ignore[arg-type] # older
    assert config.layer_types == ("full_attention", "linear_attention")


def test_a_count_of_layers_must_be_one() -> None:
    with pytest.raises(InvalidFieldError, match="sliding_window_pattern is 'x', expected a number of layers"):
        Gemma3TextConfig.from_dict({"sliding_window_pattern": "x"})


def test_help_lists_the_fields() -> None:
    parameters = inspect.signature(LlamaConfig).parameters
    assert parameters["hidden_size"].default == 4096
    assert parameters["head_dim"].annotation is int


def test_null_derives_a_list_of_layers_anew() -> None:
    config = Exaone4Config.from_dict(Exaone4Config().to_dict())
    with pytest.raises(InconsistentFieldsError, match="null for layer_types to derive it"):
        config.replace(num_hidden_layers=2)
    assert len(config.replace(num_hidden_layers=2, layer_types=None).layer_types) == 2
    hybrid = NemotronHConfig.from_dict(NemotronHConfig().to_dict())
    assert hybrid.replace(layers_block_type=("moe",)).num_hidden_layers == 1
