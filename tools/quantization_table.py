"""The table of quantization methods in docs/quantization.md, from what the package registers.

`python -m tools.quantization_table --write` rewrites it; without, the exit status says whether it is current.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path

from hf_quant import METHODS, find_method
from tools.workspace import ROOT

PAGE = ROOT / "docs/quantization.md"
ORACLES: Mapping[str, str] = {
    "bitnet": "the peer",
    "bitsandbytes": "bitsandbytes, the peer",
    "compressed-tensors": "compressed-tensors, the peer",
    "fp8": "the peer",
    "gemma": "the peer",
    "gguf": "gguf",
    "hqq": "hqq",
    "mxfp4": "the peer",
    "nvfp4": "compressed-tensors",
    "quanto": "optimum-quanto",
    "torchao": "torchao, the peer",
}
"""What integration tests compare a method with; others are held to their layouts written out as loops."""
BEGIN, END = "<!-- methods -->\n", "<!-- /methods -->"


def table() -> str:
    """A line for each method."""
    lines = [
        "| method | settings | load | create | embeddings | compared with |",
        "|---|---|---|---|---|---|",
    ]
    for name in METHODS:
        method = find_method(name)
        created = "yes" if method.create else "data" if method.calibrated else "no"
        tables = "yes" if method.embeddings else "no"
        oracle = ORACLES.get(name, "its layout as loops")
        lines.append(f"| `{name}` | `{method.config.__name__}` | yes | {created} | {tables} | {oracle} |")
    return "\n".join(lines) + "\n"


def with_table(page: str) -> str:
    """The page with the table as it should be."""
    start = page.index(BEGIN) + len(BEGIN)
    return page[:start] + table() + page[page.index(END) :]


def main(arguments: list[str], page: Path = PAGE) -> int:
    """Check the page, or write it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help="rewrite the table")
    options = parser.parse_args(arguments)
    old = page.read_text()
    new = with_table(old)
    if options.write:
        page.write_text(new)
        return 0
    if old != new:
        print("docs/quantization.md is not current: python -m tools.quantization_table --write")
    return int(old != new)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
