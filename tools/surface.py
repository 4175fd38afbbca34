"""`python -m tools.surface [--write] [PACKAGE ...]`: the public surface of each package, as a file in review.

`packages/NAME/surface.txt` lists every name of the package's `__all__` with its signature, and under a class
its public methods and fields. A change of surface is then a line in a diff, never an accident.
"""

import difflib
import importlib
import inspect
import re
import sys
from collections.abc import Iterator
from typing import Annotated

import typer

from tools.workspace import ROOT, Member, members, select

SHOWN = {"__init__", "__call__"}
"""Special methods that are part of how a class is used."""
ADDRESS = re.compile(r" at 0x[0-9a-f]+")


def signature(value: object) -> str:
    """`(a: int, *, b: str = 'x') -> None`, or nothing where Python knows no signature."""
    try:
        return ADDRESS.sub("", str(inspect.signature(value)))  # type: ignore[arg-type] # any object is tried
    except (TypeError, ValueError):
        return ""


def members_of(cls: type) -> Iterator[str]:
    """The public attributes that `cls` defines itself; inherited ones are listed where they are defined."""
    for name, value in sorted(vars(cls).items()):
        if name.startswith("_") and name not in SHOWN:
            continue
        match value:
            case staticmethod() | classmethod():
                yield f"{name}{signature(value.__func__)}  # {type(value).__name__}"
            case property():
                returns = (
                    inspect.signature(value.fget).return_annotation if value.fget else inspect.Signature.empty
                )
                yield f"{name}: {inspect.formatannotation(returns)}  # property"
            case _ if inspect.isroutine(value):
                yield f"{name}{signature(value)}"
    fields = inspect.get_annotations(cls)
    yield from (
        f"{name}: {inspect.formatannotation(kind)}" for name, kind in sorted(fields.items()) if name[0] != "_"
    )


def lines(member: Member) -> Iterator[str]:
    """The surface of one package, a line for each name and each public attribute."""
    package = importlib.import_module(member.import_name)
    for name in sorted(package.__all__):
        value = getattr(package, name)
        if inspect.isclass(value):
            bases = ", ".join(base.__name__ for base in value.__bases__ if base is not object)
            yield f"class {name}({bases})" if bases else f"class {name}"
            yield from (f"    {line}" for line in members_of(value))
        elif callable(value):
            yield f"def {name}{signature(value)}"
        else:
            yield f"{name}: {type(value).__name__}"


def main(
    packages: Annotated[list[str] | None, typer.Argument(help="Packages; all when none.")] = None,
    write: Annotated[
        bool, typer.Option("--write", help="Update the files instead of checking them.")
    ] = False,
) -> None:
    """Exit status 1 when a package's surface is not what its file says."""
    known = members()
    stale = []
    for name in select(packages, known):
        path = known[name].path / "surface.txt"
        surface = "".join(f"{line}\n" for line in lines(known[name]))
        if write:
            path.write_text(surface)
        recorded = path.read_text() if path.exists() else ""
        difference = difflib.unified_diff(
            recorded.splitlines(), surface.splitlines(), str(path.relative_to(ROOT)), "now", lineterm="", n=0
        )
        if shown := list(difference):
            print("\n".join(shown))
            stale.append(name)
    if stale:
        print(f"the public surface of {', '.join(stale)} changed; if that is meant, update the files with:")
        sys.exit("uv run python -m tools.surface --write")
    print("the public surfaces are as recorded")


if __name__ == "__main__":
    typer.run(main)
