"""Laws of loading that hold for every family, on checkpoints that it wrote itself; the peer is not needed."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from hf_config import config_class
from hf_modeling import AutoModelForCausalLM
from hf_modeling.families import FAMILIES, find_family
from hf_modeling.heads.causal_lm import CausalLM
from hf_modeling.weights.errors import MissingWeightsError, ShapeMismatchError, UnexpectedWeightsError
from hf_modeling.weights.match import Patterns
from hf_modeling.weights.table import Drop
from integration_tests.families.oracle import LENGTH, fill, random_ids
from integration_tests.families.tiny_configs import ROWS, Row, marked

FIRST = {row.model_type: row for row in reversed(ROWS) if row.model_type in FAMILIES}
"""One row for each family: the first."""
SOME = [FIRST[name] for name in ("llama", "gemma4_text", "gpt2", "gpt_oss", "dbrx", "falcon", "qwen2_moe")]


@pytest.fixture(scope="module", params=marked(FIRST.values()))
def row(request: pytest.FixtureRequest) -> Row:
    found: Row = request.param
    return found


@pytest.fixture(scope="module")
def folder(row: Row, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return written(row, tmp_path_factory.mktemp(row.name))


def written(row: Row, folder: Path) -> Path:
    """A checkpoint of the row's model, every weight random."""
    model = AutoModelForCausalLM.from_config(config_class(row.model_type).from_dict(row.arguments))
    fill(model)
    model.save_pretrained(folder)
    return folder


def changed(folder: Path, tensors: dict[str, Tensor], to: Path) -> Path:
    """The same checkpoint with other tensors."""
    (to / "config.json").write_bytes((folder / "config.json").read_bytes())
    save_file(tensors, to / "model.safetensors", metadata={"format": "pt"})
    return to


def test_a_missing_tensor_is_named(folder: Path, tmp_path: Path) -> None:
    tensors = load_file(folder / "model.safetensors")
    for name in (min(tensors), sorted(tensors)[len(tensors) // 2], max(tensors)):
        rest = {other: tensor for other, tensor in tensors.items() if other != name}
        # Without the last expert of a layer, the others are right for fewer experts than the config has.
        with pytest.raises((MissingWeightsError, ShapeMismatchError)) as caught:
            AutoModelForCausalLM.from_pretrained(changed(folder, rest, tmp_path))
        if isinstance(caught.value, MissingWeightsError):
            assert name in str(caught.value), "the message says which tensor on disk"
        else:
            assert ".experts." in name


def test_a_tensor_too_many_is_named(folder: Path, tmp_path: Path) -> None:
    tensors = load_file(folder / "model.safetensors")
    with pytest.raises(UnexpectedWeightsError) as caught:
        AutoModelForCausalLM.from_pretrained(
            changed(folder, {**tensors, "somewhere.else.weight": torch.ones(2)}, tmp_path)
        )
    assert caught.value.names == ("somewhere.else.weight",)


def test_a_tensor_of_another_shape_is_named(folder: Path, tmp_path: Path) -> None:
    tensors = load_file(folder / "model.safetensors")
    name = max(tensors, key=lambda name: tensors[name].numel())
    longer = torch.cat([tensors[name], tensors[name][:1]])
    with pytest.raises(ShapeMismatchError) as caught:
        AutoModelForCausalLM.from_pretrained(changed(folder, {**tensors, name: longer}, tmp_path))
    assert caught.value.mismatches


def test_what_a_rule_leaves_out_is_left_out(row: Row, folder: Path, tmp_path: Path) -> None:
    family = find_family(row.model_type)
    rules = family.weights(config_class(row.model_type).from_dict(row.arguments)).rules
    drops = [rule for rule in (*family.ignored, *rules) if isinstance(rule, Drop)]
    extra = {name: torch.ones(2) for drop in drops for name in examples(drop)}
    tensors = load_file(folder / "model.safetensors")
    assert not extra.keys() & tensors.keys(), "nothing that the model writes is left out"
    model = AutoModelForCausalLM.from_pretrained(changed(folder, {**tensors, **extra}, tmp_path))
    assert isinstance(model, CausalLM)
    assert model.load_report is not None
    assert model.load_report.ignored.keys() == extra.keys()


def examples(drop: Drop) -> Iterator[str]:
    """A name for each pattern of a rule that leaves out."""
    layers = sorted(drop.layers) if drop.layers is not None else [0]
    for pattern in drop.disk if layers else ():
        name = pattern.replace("{layer}", str(layers[-1])).replace("{s}", "weight")
        yield name.replace("{rest}", "some.weight").replace("{expert}", "0")


def test_bfloat16_keeps_what_must_stay_float32(row: Row, folder: Path, tmp_path: Path) -> None:
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.bfloat16)
    assert isinstance(model, CausalLM)
    kept = Patterns([model.weight_table().fp32])
    state = model.state_dict()
    floats = {name: tensor.dtype for name, tensor in state.items() if tensor.is_floating_point()}
    wanted = {name: torch.float32 if kept.match(name) else torch.bfloat16 for name in floats}
    assert floats == wanted
    with torch.no_grad():
        logits = model(random_ids(2, LENGTH)).logits
    assert logits.dtype == torch.bfloat16
    assert logits.isfinite().all()

    model.save_pretrained(tmp_path)
    again = AutoModelForCausalLM.from_pretrained(tmp_path, dtype="auto").state_dict()
    assert again.keys() == state.keys()
    assert all(again[name].dtype == tensor.dtype for name, tensor in state.items())
    assert all(torch.equal(again[name], tensor) for name, tensor in state.items())


@pytest.mark.parametrize("row", FIRST.values(), ids=lambda row: row.model_type)
def test_every_float32_pattern_names_a_weight(row: Row) -> None:
    config = config_class(row.model_type).from_dict(row.arguments)
    patterns = find_family(row.model_type).weights(config).fp32
    names = AutoModelForCausalLM.from_config(config).state_dict() if patterns else ()
    unused = [pattern for pattern in patterns if not any(map(Patterns([(pattern,)]).match, names))]
    assert not unused


def test_threads_load_as_one_does(tmp_path: Path) -> None:
    folders = [written(row, tmp_path / row.name) for row in SOME]
    alone = [AutoModelForCausalLM.from_pretrained(folder).state_dict() for folder in folders]
    with ThreadPoolExecutor(len(folders)) as pool:
        models = list(pool.map(AutoModelForCausalLM.from_pretrained, folders * 2))
    for expected, model in zip(alone * 2, models, strict=True):
        actual = model.state_dict()
        assert actual.keys() == expected.keys()
        assert all(torch.equal(actual[name], tensor) for name, tensor in expected.items())
