"""Family classes and Auto classes: made once, found by name, and loading nothing that is not asked for."""

from __future__ import annotations

import copy
import json
import pickle
import subprocess
import sys
import threading
from importlib.metadata import EntryPoint, EntryPoints
from pathlib import Path

import pytest
import torch

import hf_modeling
from hf_config import LlamaConfig
from hf_config.errors import UnknownModelTypeError
from hf_hub_io.errors import RemoteCodeRefusedError
from hf_hub_io.repo import Repo
from hf_hub_io.trust import Trust, read_remote_code
from hf_modeling import AutoModel, AutoModelForCausalLM, AutoModelForMaskedLM, LlamaForCausalLM
from hf_modeling.auto import AutoModelForSequenceClassification
from hf_modeling.classes import TaskMissingError, find_class
from hf_modeling.families import FAMILIES, find_family, model_types
from hf_modeling.model import PreTrainedModel
from hf_modeling.weights.errors import MissingWeightsError


def tiny() -> LlamaConfig:
    """A Llama of two small layers."""
    return LlamaConfig(
        vocab_size=64,
        hidden_size=16,
        intermediate_size=24,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A saved tiny Llama."""
    LlamaForCausalLM(tiny()).save_pretrained(tmp_path / "llama")
    return tmp_path / "llama"


def test_importing_one_family_loads_no_other() -> None:
    code = """if True:
        import sys
        from hf_modeling import LlamaForCausalLM
        print(*sorted(m for m in sys.modules if "families." in m and m.startswith("hf_")))
    """
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.split()
    assert {module.rpartition(".")[2] for module in loaded} & set(FAMILIES) == {"llama"}


def test_importing_the_package_loads_no_torch() -> None:
    code = "import hf_modeling, sys; print('torch' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "False"


def test_a_class_is_made_once_whoever_asks_first() -> None:
    found: list[object] = []
    threads = [
        threading.Thread(target=lambda: found.append(find_class("LlamaForCausalLM"))) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(found) == {LlamaForCausalLM}
    assert hf_modeling.LlamaForCausalLM is LlamaForCausalLM


def test_classes_and_models_can_be_pickled_and_copied() -> None:
    assert pickle.loads(pickle.dumps(LlamaForCausalLM)) is LlamaForCausalLM
    model = LlamaForCausalLM(tiny())
    for twin in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert type(twin) is LlamaForCausalLM
        assert twin.config == model.config
        assert all(torch.equal(a, b) for a, b in zip(model.parameters(), twin.parameters(), strict=True))


@pytest.mark.parametrize("model_type", sorted(FAMILIES))
def test_every_class_is_found_by_its_name_and_is_at_most_three_deep(model_type: str) -> None:
    facts = find_family(model_type)
    assert facts.model_type == model_type or model_type in facts.config.OTHER_MODEL_TYPES
    for task, name in facts.classes.items():
        cls = find_class(name)
        assert (cls.__name__, cls.task) == (name, task)
        # A model that reads text inside one that reads more has the class name of the text model.
        assert cls.family is facts or cls.family.model_type == f"{model_type}_text"
        ours = [c for c in cls.__mro__ if c.__module__.startswith("hf_modeling")]
        assert len(ours) <= 3
        assert ours[-1] is PreTrainedModel


def test_the_stub_and_dir_list_every_class() -> None:
    names = {name for model_type in FAMILIES for name in find_family(model_type).classes.values()}
    assert names <= set(dir(hf_modeling)), "run python -m tools.class_stub"


def test_unknown_names_name_their_neighbours() -> None:
    with pytest.raises(
        AttributeError, match=r"no class 'LlammaForCausalLM'; families with similar names:.*Llama"
    ):
        find_class("LlammaForCausalLM")
    with pytest.raises(ImportError):
        exec("from hf_modeling import Nonsense")
    with pytest.raises(AttributeError):
        _ = hf_modeling._private  # type: ignore[attr-defined] # that is the test


def test_auto_classes_choose_by_model_type(folder: Path) -> None:
    model = AutoModelForCausalLM.from_pretrained(folder)
    assert type(model) is LlamaForCausalLM
    assert type(AutoModel.from_pretrained(folder)).__name__ == "LlamaModel"
    made = AutoModelForCausalLM.from_config(tiny(), dtype=torch.bfloat16)
    assert type(made) is LlamaForCausalLM
    assert made.dtype == torch.bfloat16
    assert made.training
    assert repr(AutoModel) == "AutoModel"


def test_config_fields_can_be_changed_while_loading(folder: Path) -> None:
    model = AutoModelForSequenceClassification.from_pretrained(
        folder, num_labels=4, allow_missing=("score.*",)
    )
    assert model.score.out_features == model.config.num_labels == 4
    with pytest.raises(MissingWeightsError, match=r'allow_missing=\("score\.weight",\)'):
        AutoModelForSequenceClassification.from_pretrained(folder)
    with pytest.raises(TypeError, match="no argument 'num_label'; did you mean 'num_labels'"):
        AutoModel.from_pretrained(folder, num_label=3)  # type: ignore[call-arg] # that is the test


def test_a_task_the_family_lacks(folder: Path) -> None:
    with pytest.raises(TaskMissingError, match="the family 'llama' has no model for 'masked-lm'") as error:
        AutoModelForMaskedLM.from_pretrained(folder)
    assert "LlamaForCausalLM (causal-lm)" in error.value.fix


def edit_config(folder: Path, **changes: object) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def test_unknown_model_type(folder: Path) -> None:
    edit_config(folder, model_type="lama")
    with pytest.raises(UnknownModelTypeError, match=r"unknown model_type 'lama'.*llama"):
        AutoModelForCausalLM.from_pretrained(folder)


MYSTERY = """
import torch

class Mystery(torch.nn.Module):
    @classmethod
    def from_pretrained(cls, path):
        model = cls()
        model.path = path
        return model
"""


def test_code_of_a_repository_runs_only_for_exactly_the_code_that_was_trusted(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
    edit_config(folder, model_type="mystery", auto_map={"AutoModelForCausalLM": "modeling_mystery.Mystery"})
    file = folder / "modeling_mystery.py"
    file.write_text(MYSTERY)
    with pytest.raises(RemoteCodeRefusedError, match="wants to run its own code, and nothing vouches for it"):
        AutoModelForCausalLM.from_pretrained(folder)
    with pytest.raises(UnknownModelTypeError):
        AutoModelForMaskedLM.from_pretrained(folder)
    trust = Trust(revision="0" * 40, sha256=read_remote_code(Repo.open(folder)).sha256)
    model = AutoModelForCausalLM.from_pretrained(folder, trust=trust)
    assert type(model).__name__ == "Mystery"
    assert model.path == folder
    file.write_text(MYSTERY + "raise SystemExit('executed')")
    with pytest.raises(RemoteCodeRefusedError, match="content hash"):
        AutoModelForCausalLM.from_pretrained(folder, trust=trust)
    edit_config(folder, model_type="llama")  # a family that is known never needs the code
    assert type(AutoModelForCausalLM.from_pretrained(folder, trust=trust)) is LlamaForCausalLM


def test_another_package_brings_a_family_by_an_entry_point(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = EntryPoint("toy", "hf_modeling.testing.toy:FAMILY", "hf_modeling.families")
    monkeypatch.setattr("hf_modeling.families.entry_points", only(entry))
    assert "toy" in model_types()
    assert find_family("toy").classes["causal-lm"] == "ToyForCausalLM"
    with pytest.raises(UnknownModelTypeError):
        find_family("joy")
    find_family.cache_clear()


def only(entry: EntryPoint) -> object:
    """An `entry_points` that knows one more package."""
    return lambda **wanted: EntryPoints((entry,)).select(**wanted)
