"""A package that registers a quantizer is listed, and is the one that loading takes."""

from pathlib import Path
from typing import Any

import pytest
import torch

from hf_config.quantization import QuantizationConfig
from hf_modeling.quantizer import QuantizerRequest, find_quantizer
from hf_modeling.weights.errors import QuantizerMissingError
from hf_quant import METHODS, find_method, methods


def request(method: str) -> QuantizerRequest:
    """A checkpoint that says it was quantized so."""
    return QuantizerRequest(
        stored=QuantizationConfig(quant_method=method),
        asked=None,
        dtype=torch.float32,
        where="model",
        metadata={},
        sidecar=lambda name: None,
    )


def install(folder: Path, distribution: str, module: str, methods: list[str]) -> None:
    """What an installer leaves of a package with one module that registers quantizers."""
    folder.mkdir()
    (folder / f"{module}.py").write_text("def read(request):\n    return (__name__, request.method)\n")
    metadata = folder / f"{module}-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.0\n")
    lines = "".join(f"{method} = {module}:read\n" for method in methods)
    (metadata / "entry_points.txt").write_text(f"[hf_modeling.quantizers]\n{lines}")


def test_installed_methods_are_listed_with_their_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = methods()
    install(tmp_path / "a", "some-quant", "some_quant", ["zeta-4", "alpha-8"])
    install(tmp_path / "b", "other-quant", "other_quant", ["alpha-8"])
    monkeypatch.syspath_prepend(tmp_path / "b")
    monkeypatch.syspath_prepend(tmp_path / "a")
    assert methods() == dict(sorted({**before, "alpha-8": "some-quant", "zeta-4": "some-quant"}.items()))


def test_the_listed_package_is_the_one_that_reads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path / "a", "first-quant", "first_quant", ["beta-2"])
    install(tmp_path / "b", "second-quant", "second_quant", ["beta-2"])
    monkeypatch.syspath_prepend(tmp_path / "b")
    monkeypatch.syspath_prepend(tmp_path / "a")
    read: object = find_quantizer(request("beta-2"))
    assert read == ("first_quant", "beta-2")
    assert methods()["beta-2"] == "first-quant"


def test_a_method_nobody_reads_is_refused_by_name() -> None:
    with pytest.raises(QuantizerMissingError, match="'gamma-1', which no installed package reads"):
        find_quantizer(request("gamma-1"))
    assert "gamma-1" not in methods()


def test_every_method_is_registered_and_found() -> None:
    assert {name for name, package in methods().items() if package == "hf-quant"} == set(METHODS)
    for name in METHODS:
        method = find_method(name)
        assert method.name == name
        settings: dict[str, Any] = {"load_in_4bit": True} if name == "bitsandbytes" else {}
        assert isinstance(method.config(**settings), method.config)
