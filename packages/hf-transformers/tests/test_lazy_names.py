from __future__ import annotations

import ast
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

import hf_transformers
from hf_transformers import _NAMES, _WHOLE


def static_imports() -> tuple[dict[str, str], tuple[str, ...]]:
    """What type checkers see: names with their packages, and the packages taken whole."""
    assert hf_transformers.__file__ is not None
    tree = ast.parse(Path(hf_transformers.__file__).read_text(encoding="utf-8"))
    block = next(node for node in tree.body if isinstance(node, ast.If))
    assert isinstance(block.test, ast.Name)
    assert block.test.id == "TYPE_CHECKING"
    names: dict[str, str] = {}
    whole: list[str] = []
    for statement in block.body:
        assert isinstance(statement, ast.ImportFrom)
        assert statement.module is not None
        for alias in statement.names:
            if alias.name == "*":
                whole.append(statement.module)
            else:
                assert alias.asname == alias.name, "only `X as X` is re-exported to strict type checkers"
                names[alias.name] = statement.module
    return names, tuple(whole)


def test_type_checkers_see_the_names_that_there_are() -> None:
    names, whole = static_imports()
    assert names == _NAMES
    assert sorted(names) == sorted(hf_transformers.__all__)
    assert whole == ("hf_config", "hf_config.families", "hf_modeling", "hf_modeling.models")
    assert set(_WHOLE) == {package.partition(".")[0] for package in whole}


def test_every_name_is_the_object_of_its_package() -> None:
    for name, package in _NAMES.items():
        assert getattr(hf_transformers, name) is getattr(import_module(package), name)
    for name, package in [
        ("BertConfig", "hf_config"),
        ("AutoModel", "hf_modeling"),
        ("BertModel", "hf_modeling"),
    ]:
        assert getattr(hf_transformers, name) is getattr(import_module(package), name)


def test_no_name_stands_for_two_things() -> None:
    owners: dict[str, str] = dict(_NAMES)
    for package in _WHOLE:
        module = import_module(package)
        for name in dir(module):
            other = owners.setdefault(name, package)
            assert other == package or getattr(import_module(other), name) is getattr(module, name)


def test_dir_lists_what_an_editor_completes() -> None:
    listed = dir(hf_transformers)
    assert {"AutoModelForCausalLM", "AutoTokenizer", "BertConfig", "BertModel", "pipeline"} <= set(listed)
    assert listed == sorted(listed)


def test_an_unknown_name_has_a_suggestion() -> None:
    with pytest.raises(AttributeError, match="no attribute 'AutoTokeniser'; did you mean AutoTokenizer"):
        _ = hf_transformers.AutoTokeniser  # type: ignore[attr-defined]  # the point of the test


@pytest.mark.parametrize(
    "use",
    [
        "import hf_transformers",
        "from hf_transformers import AutoTokenizer, PreTrainedTokenizer",
        "from hf_transformers import AutoConfig, BertConfig",
        "import hf_transformers.cli",
    ],
)
def test_nothing_heavy_is_imported_before_a_model_is_named(use: str) -> None:
    heavy = "{'torch', 'numpy', 'huggingface_hub', 'httpx', 'requests', 'jinja2'}"
    program = f"import sys; {use}; print(*sorted({heavy} & sys.modules.keys()))"
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert ran.stdout.split() == []
