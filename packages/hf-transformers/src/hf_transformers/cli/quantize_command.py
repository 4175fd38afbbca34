"""`hft quantize`: a plain checkpoint in, a quantized one out, and what that did to it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from hf_hub_io.errors import HfError
from hf_transformers.cli.inputs import parse_options
from hf_transformers.cli.terminal import answers_console

if TYPE_CHECKING:
    from torch import Tensor

    from hf_config.quantization import QuantizationConfig
    from hf_quant.calibrate import Progress

RECEIPT = "quantization_report.json"
BITS = {
    "gptq": "bits",
    "awq": "bits",
    "auto-round": "bits",
    "hqq": "nbits",
    "metal": "bits",
    "mlx": "bits",
    "higgs": "bits",
    "sinq": "nbits",
}
"""What methods with a width of their own call it."""
NAMED: Mapping[tuple[str, int], Mapping[str, object]] = {
    ("bitsandbytes", 4): {"load_in_4bit": True, "bnb_4bit_quant_type": "nf4"},
    ("bitsandbytes", 8): {"load_in_8bit": True},
    ("quanto", 8): {"weights": "int8"},
    ("quanto", 4): {"weights": "int4"},
    ("quanto", 2): {"weights": "int2"},
    ("fp8", 8): {},
    ("eetq", 8): {"weights": "int8"},
    ("mxfp4", 4): {},
    ("nvfp4", 4): {},
}
"""Settings of methods whose widths have names."""


class QuantizeCommandError(HfError, ValueError):
    """Options of `hft quantize` that do not go together, or a place that cannot be written to."""


def quantize(
    model: Annotated[str, typer.Argument(help="Hub id or local folder of a plain causal language model.")],
    out: Annotated[Path, typer.Argument(help="The folder to write; it must not exist, or be empty.")],
    method: Annotated[str, typer.Option("--method", help="gptq, awq, auto-round, hqq, bitsandbytes, ...")],
    bits: Annotated[
        int | None, typer.Option("--bits", help="The width of a number; 4 where the method has it.")
    ] = None,
    group_size: Annotated[
        int | None, typer.Option("--group-size", help="Inputs that share a scale; -1 for all.")
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", "-s", help="Another setting of the method, as desc_act=true. Repeatable."),
    ] = None,
    text: Annotated[
        Path | None, typer.Option("--text", help="Text to calibrate with; methods with data need it.")
    ] = None,
    evaluate: Annotated[
        Path | None,
        typer.Option("--eval", help="Text for the perplexity before and after; best not the same text."),
    ] = None,
    samples: Annotated[int, typer.Option("--samples", min=1, help="Rows of each text to read.")] = 64,
    length: Annotated[int, typer.Option("--length", min=2, help="Tokens of a row.")] = 256,
    resume: Annotated[
        Path | None, typer.Option("--resume", help="Keep finished blocks here, and go on from them.")
    ] = None,
) -> None:
    """Quantize a model, write it in the method's own layout, and print size, errors and perplexity.

    Example:

      hft quantize --method awq --bits 4 --text train.txt --eval test.txt ORG/NAME OUT
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise QuantizeCommandError(f"{out} is there already", fix="name a folder that does not exist")
    from hf_quant import find_method
    from hf_tokenize import AutoTokenizer

    config = settings_of(method, bits, group_size, settings or [])
    with_data = find_method(config.quant_method).create is None
    if with_data and text is None:
        raise QuantizeCommandError(
            f"{method} chooses its roundings with data", fix="name a text file: --text train.txt"
        )
    tokenizer = AutoTokenizer.from_pretrained(model)

    def rows(path: Path) -> Tensor:
        return read_rows(path, lambda content: list(tokenizer(content)["input_ids"]), samples, length)

    # Texts are read before the model, so that a short one is refused at once.
    data = None if text is None or not with_data else rows(text)
    held_out = None if evaluate is None else rows(evaluate)
    write_quantized(model, out, config, data, held_out, resume)
    tokenizer.save_pretrained(out)


def write_quantized(
    model: str,
    out: Path,
    config: QuantizationConfig,
    data: Tensor | None,
    held_out: Tensor | None,
    resume: Path | None,
) -> None:
    """Quantize the model, with `data` if there are any, write it and its receipt, and print what was done."""
    from hf_modeling import AutoModelForCausalLM
    from hf_modeling.heads.causal_lm import CausalLM
    from hf_quant import quantize_model
    from hf_quant.calibrate import calibrate, perplexity

    loaded = AutoModelForCausalLM.from_pretrained(model)
    assert isinstance(loaded, CausalLM), "the class is one for causal language models"
    console = answers_console()
    before = None if held_out is None else perplexity(loaded, held_out)

    record: dict[str, object] = {}
    if data is not None:
        report = calibrate(loaded, config, data, resume=resume, progress=_say)
        receipt = report.receipt
        record["layers"] = [
            {"module": line.module, "error": line.error, "nearest": line.nearest} for line in report.layers
        ]
    else:
        receipt = quantize_model(loaded, config)
    after = None if held_out is None else perplexity(loaded, held_out)
    loaded.save_pretrained(out)
    record |= json.loads(receipt.to_json())
    if before is not None and after is not None:
        record["perplexity"] = {"before": before, "after": after}
    _write(out / RECEIPT, record)
    console.print(escape(str(receipt)), soft_wrap=True)
    if before is not None and after is not None:
        console.print(f"perplexity {before:.4f} -> {after:.4f} ({after / before - 1:+.2%})")
    size = sum(file.stat().st_size for file in out.glob("*.safetensors"))
    console.print(f"[bold]{escape(str(out))}[/]: {size / 1e6:,.2f} MB of weights", soft_wrap=True)


def _say(progress: Progress) -> None:
    """One line for each block that calibration has done."""
    worst = max(progress.layers, key=lambda layer: layer.error, default=None)
    told = "" if worst is None else f", error at most {worst.error:.4f} ({worst.module})"
    how = "resumed" if progress.is_resumed else f"{progress.seconds:.1f} s"
    line = f"[dim]block {progress.block} of {progress.blocks}: {how}{escape(told)}[/]"
    answers_console().print(line, soft_wrap=True)


def settings_of(
    method: str, bits: int | None, group_size: int | None, others: list[str]
) -> QuantizationConfig:
    """A method's settings from options. Raises QuantizeCommandError, and as the settings' class."""
    from hf_quant import find_method

    content: dict[str, object] = {"quant_method": method}
    widths = tuple(width for name, width in NAMED if name == method)
    if method in BITS:
        content[BITS[method]] = 4 if bits is None else bits
    elif widths:
        width = bits if bits is not None else min(widths, key=lambda width: abs(width - 4))
        if width not in widths:
            raise QuantizeCommandError(
                f"{method} has no {width} bits", fix=f"ask for --bits {' or '.join(map(str, widths))}"
            )
        content.update(NAMED[method, width])
    elif bits is not None:
        raise QuantizeCommandError(
            f"the settings of {method} do not name one width", fix="leave out --bits and use --set NAME=VALUE"
        )
    if group_size is not None:
        content["group_size"] = group_size
    content.update(parse_options(others))
    return find_method(method).config.from_dict(content)


def read_rows(path: Path, ids_of: Callable[[str], list[int]], samples: int, length: int) -> Tensor:
    """Rows of token ids from a text file (S, T); fewer than `samples` if the text is short.

    Raises QuantizeCommandError if it cannot be read, CalibrationDataError if it is shorter than one row.
    """
    import torch

    from hf_quant.calibrate import rows_of

    try:
        content = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise QuantizeCommandError(
            f"{path} cannot be read as text: {error}", fix="name a UTF-8 file"
        ) from None
    ids = torch.tensor(ids_of(content), dtype=torch.long)
    return rows_of(ids, samples=max(1, min(samples, len(ids) // length)), length=length)


def _write(path: Path, record: dict[str, object]) -> None:
    from hf_hub_io.atomic import atomic_write_text

    atomic_write_text(path, json.dumps(record, indent=2) + "\n")
