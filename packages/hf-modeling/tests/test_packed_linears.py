"""Packed layers give the same numbers, step aside when weights change, and leave no trace in the state."""

from __future__ import annotations

import copy
import io
import mmap
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from hf_modeling.layers.base import Linear, together
from hf_modeling.layers.mlp import GatedMlpLayer
from hf_modeling.packed import PackReport, prepare, prepare_for_inference, unpack, worth
from hf_modeling.packed.memory import clean_mappings, is_mapped, release
from hf_modeling.packed.product import pack
from hf_modeling.packed.worth import is_worth_packing

WIDE = 384

pytestmark = pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="this torch has no oneDNN")


def filled(module: nn.Module, dtype: torch.dtype = torch.float32) -> nn.Module:
    generator = torch.Generator().manual_seed(0)
    for owner in module.modules():
        for name, parameter in owner._parameters.items():
            if parameter is not None:
                value = torch.randn(parameter.shape, generator=generator) * 0.05
                owner._parameters[name] = nn.Parameter(value.to(dtype))
    return module.eval()


class Model(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.mlp = GatedMlpLayer(WIDE, WIDE * 2, torch.sigmoid, bias=False)
        self.head = Linear(WIDE, WIDE + 64, bias=True)
        self.narrow = Linear(WIDE, 8)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        y = self.mlp.forward(x)
        return self.head(y), self.narrow(y)


@pytest.fixture(autouse=True)
def _any_processor_counts_as_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worth, "MEASURED", (torch.backends.cpu.get_cpu_capability(),))


def model(dtype: torch.dtype = torch.float32) -> Model:
    made = filled(Model(), dtype)
    assert isinstance(made, Model)
    return made


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("rows", [(1,), (3, 5), (70,)])
def test_numbers_are_the_same(dtype: torch.dtype, rows: tuple[int, ...]) -> None:
    plain, packed = model(dtype), model(dtype)
    report = prepare_for_inference(packed)
    assert (report.packed, report.kept) == (3, 0)
    assert packed.narrow.packed is None, "narrow layers stay as they are"
    x = torch.randn(*rows, WIDE, generator=torch.Generator().manual_seed(1)).to(dtype)
    with torch.inference_mode():
        for want, got in zip(plain(x), packed(x), strict=True):
            tolerance = 1e-5 if dtype is torch.float32 else 2e-2
            torch.testing.assert_close(got, want, rtol=tolerance, atol=tolerance * float(want.abs().max()))


def used(layer: Linear, x: Tensor) -> bool:
    return layer.packed is not None and layer.packed.serves(x)


CHANGES: dict[str, Callable[[Model], object]] = {
    "in place": lambda m: m.head.weight.mul_(2.0),
    "bias": lambda m: m.head.bias.add_(1.0),
    "new parameter": lambda m: setattr(m.head, "weight", nn.Parameter(m.head.weight * 2)),
    "new data": lambda m: setattr(m.head.weight, "data", m.head.weight.data * 2),
    "loaded": lambda m: m.load_state_dict({k: v * 2 for k, v in m.state_dict().items()}),
    "cast": lambda m: m.to(torch.float64),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_weight_is_seen_at_once(change: str) -> None:
    changed = model()
    prepare_for_inference(changed)
    x = torch.randn(2, WIDE)
    with torch.no_grad():
        assert used(changed.head, x)
        CHANGES[change](changed)
        x = x.to(changed.head.weight.dtype)
        assert not used(changed.head, x)
        want = nn.functional.linear(x, changed.head.weight, changed.head.bias)
        assert torch.equal(changed.head(x), want)


def test_a_write_past_the_version_counter_is_seen_when_prepared_again() -> None:
    changed = model()
    prepare_for_inference(changed)
    changed.head.weight.data.mul_(3.0)
    assert prepare_for_inference(changed).packed == 1
    x = torch.randn(2, WIDE)
    with torch.no_grad():
        assert used(changed.head, x)
        torch.testing.assert_close(
            changed.head(x), nn.functional.linear(x, changed.head.weight, changed.head.bias)
        )


def test_gradients_take_the_plain_path() -> None:
    trained = model()
    prepare_for_inference(trained)
    x = torch.randn(2, WIDE)
    assert not used(trained.head, x), "gradients are recorded here"
    trained.head(x).sum().backward()
    assert trained.head.weight.grad is not None
    trained.train()
    assert trained.head.packed is None
    assert prepare_for_inference(trained) == PackReport()


def test_autocast_takes_the_plain_path() -> None:
    cast = model()
    prepare_for_inference(cast)
    with torch.inference_mode(), torch.autocast("cpu", dtype=torch.bfloat16):
        assert not used(cast.head, torch.randn(1, WIDE))


def test_no_trace_in_state_copies_and_files() -> None:
    packed, before = model(), model()
    prepare_for_inference(packed)
    assert packed.state_dict().keys() == before.state_dict().keys()
    assert len(list(packed.buffers())) == 0
    twin = copy.deepcopy(packed)
    assert twin.head.packed is None
    stream = io.BytesIO()
    torch.save(packed, stream)
    stream.seek(0)
    assert torch.load(stream, weights_only=False).head.packed is None
    with torch.no_grad():
        x = torch.randn(1, WIDE)
        torch.testing.assert_close(twin(x)[0], packed(x)[0])


def test_preparing_twice_does_the_work_once() -> None:
    packed = model()
    assert prepare_for_inference(packed).packed == 3
    kept = packed.head.packed
    assert prepare_for_inference(packed).packed == 0
    assert packed.head.packed is kept
    unpack(packed)
    assert packed.head.packed is None


@pytest.mark.parametrize(
    ("inputs", "outputs", "dtype", "worth_it"),
    [
        (384, 384, torch.float32, True),
        (384, 1536, torch.float32, True),
        (576, 49152, torch.float32, True),
        (256, 256, torch.float32, False),
        (256, 256, torch.bfloat16, True),
        (4096, 64, torch.float32, False),
        (64, 4096, torch.bfloat16, False),
    ],
)
def test_the_rule_goes_by_shape_and_type(
    inputs: int, outputs: int, dtype: torch.dtype, worth_it: bool
) -> None:
    assert is_worth_packing(inputs, outputs, dtype) is worth_it


def test_nothing_is_packed_on_a_processor_that_was_not_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worth, "MEASURED", ("another",))
    assert prepare_for_inference(model()).packed == 0


def test_every_load_decides_alike_whatever_else_the_machine_does() -> None:
    def decisions(made: Model) -> list[str]:
        prepare_for_inference(made)
        return [name for name, m in made.named_modules() if isinstance(m, Linear) and m.packed is not None]

    alone = decisions(model())
    stop = threading.Event()

    def burn() -> None:
        x = torch.randn(256, 256)
        while not stop.is_set():
            x = torch.tanh(x @ x)

    load = [threading.Thread(target=burn) for _ in range(4)]
    for thread in load:
        thread.start()
    try:
        loads = [decisions(model()) for _ in range(5)]
    finally:
        stop.set()
        for thread in load:
            thread.join()
    assert alone == ["mlp.gate_proj", "mlp.down_proj", "head"]
    assert loads == [alone] * 5


def test_hooks_see_their_layers() -> None:
    packed, seen = model(), list[int]()
    prepare_for_inference(packed)
    gate, up = packed.mlp.gate_proj, packed.mlp.up_proj
    x = torch.randn(1, WIDE)
    with torch.no_grad():
        one_product = together(x, gate, up)
        up.register_forward_hook(lambda module, inputs, output: seen.append(output.shape[-1]))
        separately = together(x, gate, up)
    assert seen == [WIDE * 2]
    for a, b in zip(one_product, separately, strict=True):
        torch.testing.assert_close(a, b)


def test_what_the_processor_cannot_pack_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    def unsupported(*arguments: object) -> Tensor:
        raise RuntimeError("needs avx512_fp16")

    monkeypatch.setattr(torch.ops.mkldnn, "_reorder_linear_weight", unsupported, raising=False)
    plain = model()
    assert pack([plain.head]) is None
    assert prepare_for_inference(plain).kept == 3
    with torch.no_grad():
        plain(torch.randn(1, WIDE))
    assert plain.head.packed is None


def test_short_memory_decides_against_copies(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prepare, "available_bytes", lambda: 1000)
    plain = model()
    report = prepare_for_inference(plain)
    assert (report.packed, report.kept) == (0, 3)


def mapped_weight(path: Path, elements: int) -> tuple[Tensor, mmap.mmap]:
    path.write_bytes(torch.arange(elements, dtype=torch.float32).numpy().tobytes())
    with path.open("r+b") as file:
        pages = mmap.mmap(file.fileno(), 0, flags=mmap.MAP_PRIVATE, prot=mmap.PROT_READ | mmap.PROT_WRITE)
    return torch.frombuffer(pages, dtype=torch.float32), pages


@pytest.mark.skipif(not Path("/proc/self/smaps").exists(), reason="only Linux tells what is mapped")
def test_pages_of_a_file_are_given_back_and_read_again(tmp_path: Path) -> None:
    weight, _pages = mapped_weight(tmp_path / "weights", 1 << 18)
    assert float(weight[1000]) == 1000
    mappings = clean_mappings()
    assert is_mapped(weight, mappings)
    assert not is_mapped(torch.zeros(4), mappings)
    assert release([weight], mappings) == weight.nbytes
    assert torch.equal(weight, torch.arange(1 << 18, dtype=torch.float32))


@pytest.mark.skipif(not Path("/proc/self/smaps").exists(), reason="only Linux tells what is mapped")
def test_pages_that_were_written_to_are_never_dropped(tmp_path: Path) -> None:
    weight, _pages = mapped_weight(tmp_path / "weights", 1 << 18)
    weight[5] = -1.0
    mappings = clean_mappings()
    assert not is_mapped(weight, mappings)
    assert release([weight], mappings) == 0
    assert float(weight[5]) == -1.0
