"""`python -m tools.class_stub [--check]`: the static names of every family class, `hf_modeling/models.pyi`.

The classes are made when first asked for, so editors and type checkers need them written down; this writes them
from the families' own tables.
"""

import sys
from collections import defaultdict
from pathlib import Path

from hf_modeling.classes import BASES, HEADS, SEQ2SEQ_HEADS
from hf_modeling.families import FAMILIES, find_family

STUB = Path(__file__).parents[1] / "packages/hf-modeling/src/hf_modeling/models.pyi"
HEADER = '"""Every family class by name. Written by `python -m tools.class_stub`."""\n'


def stub() -> str:
    """The text of the stub: imports of the skeletons, then a class per family and task."""
    imports: dict[str, set[str]] = defaultdict(set)
    classes: dict[str, str] = {}
    for model_type in FAMILIES:
        facts = find_family(model_type)
        for task, name in facts.classes.items():
            heads = SEQ2SEQ_HEADS if facts.skeleton == "seq2seq" else HEADS
            module, skeleton = BASES[facts.skeleton] if task == "base" else heads[task]
            imports[module].add(skeleton)
            classes[name] = skeleton
    lines = [f"from {module} import {', '.join(sorted(names))}" for module, names in sorted(imports.items())]
    lines += ["", *(f"class {name}({skeleton}): ..." for name, skeleton in sorted(classes.items()))]
    return HEADER + "\n" + "\n".join(lines) + "\n"


if __name__ == "__main__":
    if "--check" not in sys.argv:
        STUB.write_text(stub())
    elif STUB.read_text() != stub():
        sys.exit(f"{STUB.name} is not what the families say; run python -m tools.class_stub")
