"""Every registered family: it stands by its defaults, survives a round trip, and is known by its name."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import hf_config
from hf_config import families
from hf_config.base import PreTrainedConfig
from hf_config.convert import decode_special_floats
from hf_config.registry import FAMILIES, MODULES, config_class
from hf_hub_io.jsonio import parse_json_object

SOURCE = Path(hf_config.__file__).parent


@pytest.mark.parametrize("model_type", FAMILIES)
def test_a_family_round_trips_through_its_own_file(model_type: str) -> None:
    cls = config_class(model_type)
    config = cls()
    assert model_type == cls.model_type or model_type in cls.OTHER_MODEL_TYPES
    for text in (config.to_json_string(), config.to_json_string(use_diff=False)):
        parsed = {
            key: decode_special_floats(value)
            for key, value in parse_json_object(text, source=cls.__name__).items()
        }
        read = PreTrainedConfig.from_dict(parsed)
        assert type(read) is cls
        assert read == config
        assert read.unknown_keys == ()


@pytest.mark.parametrize("model_type", FAMILIES)
def test_a_familys_module_is_short_and_says_what_the_family_is(model_type: str) -> None:
    module = MODULES.get(model_type, model_type).replace("-", "_")
    path = SOURCE / "families" / f"{module}.py"
    assert len(path.read_text().splitlines()) <= 120
    assert (config_class(model_type).__doc__ or "").endswith(".")


def test_the_module_list_has_no_strangers() -> None:
    modules = {MODULES.get(model_type, model_type).replace("-", "_") for model_type in FAMILIES}
    assert {path.stem for path in (SOURCE / "families").glob("*.py")} - {"__init__"} == modules


def imported_names(path: Path) -> set[tuple[str, str]]:
    tree = ast.parse(path.read_text())
    block = next(node for node in tree.body if isinstance(node, ast.If))
    return {
        (str(node.module), alias.name)
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }


def test_static_names_equal_the_registry() -> None:
    expected = {
        (f"hf_config.families.{MODULES.get(model_type, model_type).replace('-', '_')}", name)
        for model_type, name in FAMILIES.items()
    }
    assert imported_names(SOURCE / "families" / "__init__.py") == expected
    assert sorted(name for _, name in expected) == sorted(families.__all__)
    core = {name for _, name in imported_names(SOURCE / "__init__.py")} - {"*"}
    assert sorted(hf_config.__all__) == sorted([*core, *families.__all__])


@pytest.mark.parametrize("name", hf_config.__all__)
def test_every_public_name_resolves(name: str) -> None:
    assert getattr(hf_config, name).__name__ == name


def test_a_name_that_does_not_exist_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'NoSuchConfig'"):
        hf_config.NoSuchConfig  # noqa: B018


def test_importing_is_light_and_one_family_loads_one_module() -> None:
    program = (
        "import sys, hf_config\n"
        "before = set(sys.modules)\n"
        "hf_config.LlamaConfig()\n"
        "heavy = {'torch', 'numpy', 'jinja2', 'httpx', 'requests', 'huggingface_hub'} & set(sys.modules)\n"
        "loaded = sorted(name for name in sys.modules if name.startswith('hf_config.families.'))\n"
        "print(sorted(heavy), loaded, [name for name in before if name.startswith('hf_config.')])\n"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[] ['hf_config.families.llama'] ['hf_config.families']"


@settings(max_examples=30, deadline=None)
@given(
    model_type=st.sampled_from(
        ["llama", "qwen3_moe", "gpt2", "gemma3_text", "bamba", "t5", "deepseek_v3", "bart"]
    ),
    heads=st.integers(1, 8),
    size=st.integers(1, 32),
    layers=st.integers(1, 9),
    extra=st.dictionaries(
        st.from_regex(r"x_[a-z]{1,8}", fullmatch=True), st.none() | st.booleans() | st.text(max_size=5)
    ),
)
def test_any_sizes_round_trip(
    model_type: str, heads: int, size: int, layers: int, extra: dict[str, object]
) -> None:
    cls = config_class(model_type)
    data = {
        "num_attention_heads": heads,
        "num_key_value_heads": heads,
        "hidden_size": heads * size,
        "num_hidden_layers": layers,
        **extra,
    }
    config = cls.from_dict(data)
    assert cls.from_dict(config.to_dict()) == config
    assert cls.from_dict(config.to_diff_dict()) == config
    assert config.replace() == config
