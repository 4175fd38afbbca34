"""`python -m tools.surface [--write] [PACKAGE ...]`: the public surface of each package, as a file in review.

`packages/NAME/surface.txt` lists every name of the package's `__all__` with its signature, and under a class
its public methods and fields. A change of surface is then a line in a diff, never an accident.
"""

import difflib
import importlib
import inspect
import re
import sys
from collections.abc import Callable, Iterator
from typing import Annotated, ForwardRef, Protocol, get_origin, get_overloads

import typer

from tools.workspace import ROOT, Member, members, select

SHOWN = {"__init__", "__call__"}
"""Special methods that are part of how a class is used."""
ADDRESS = re.compile(r" at 0x[0-9a-f]+")


class Raw(str):
    """An annotation printed as it was written, whether it is evaluated or text."""

    __repr__ = str.__str__


def annotation(value: object) -> Raw:
    """`value` as source text."""
    if isinstance(value, ForwardRef):
        return Raw(value.__forward_arg__)
    return Raw(value if isinstance(value, str) else inspect.formatannotation(value))


def signature(value: Callable[..., object]) -> str:
    """`(a: int, *, b: str = 'x') -> None`."""
    empty = inspect.Signature.empty
    found = inspect.signature(value)
    parameters = [
        item if item.annotation is empty else item.replace(annotation=annotation(item.annotation))
        for item in found.parameters.values()
    ]
    returns = empty if found.return_annotation is empty else annotation(found.return_annotation)
    return ADDRESS.sub("", str(found.replace(parameters=parameters, return_annotation=returns)))


def signatures(value: Callable[..., object]) -> list[str]:
    """The signature of each overload, or of the function itself where it has none."""
    return [signature(form) for form in get_overloads(value) or [value]]


def members_of(cls: type) -> Iterator[str]:
    """The public attributes that `cls` defines itself; inherited ones are listed where they are defined."""
    for name, value in sorted(vars(cls).items()):
        shown = not name.startswith("_") or name in SHOWN
        if not shown or (name == "__init__" and Protocol in cls.__bases__):
            continue
        match value:
            case staticmethod() | classmethod():
                yield from (f"{name}{form}  # {type(value).__name__}" for form in signatures(value.__func__))
            case property():
                returns = (
                    inspect.signature(value.fget).return_annotation if value.fget else inspect.Signature.empty
                )
                yield f"{name}: {annotation(returns)}  # property"
            case _ if inspect.isfunction(inspect.unwrap(value)):
                yield from (f"{name}{form}" for form in signatures(value))
            case _ if inspect.ismethoddescriptor(value):
                yield f"{name}  # {type(value).__name__}"
    fields = inspect.get_annotations(cls)
    yield from (f"{name}: {annotation(kind)}" for name, kind in sorted(fields.items()) if name[0] != "_")


def lines(member: Member) -> Iterator[str]:
    """The surface of one package, a line for each name and each public attribute."""
    package = importlib.import_module(member.import_name)
    for name in sorted(package.__all__):
        value = getattr(package, name)
        if inspect.isclass(value):
            bases = ", ".join(base.__name__ for base in value.__bases__ if base is not object)
            yield f"class {name}({bases})" if bases else f"class {name}"
            yield from (f"    {line}" for line in members_of(value))
        elif get_origin(value) is not None:
            yield f"{name} = {annotation(value)}"
        elif inspect.isfunction(inspect.unwrap(value)):
            yield from (f"def {name}{form}" for form in signatures(value))
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
