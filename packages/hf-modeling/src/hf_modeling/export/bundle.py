"""Gathering definitions from this package's modules into one file: what is asked for and all that it needs."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import final

from hf_modeling.export.prune import Prune

OURS = ("hf_modeling", "hf_hub_io")
Definition = ast.FunctionDef | ast.ClassDef | ast.Assign | ast.AnnAssign


@final
@dataclass(frozen=True)
class Module:
    """A parsed source file: its definitions by name, where its imports lead, and its lines."""

    file: str
    text: str
    definitions: Mapping[str, Definition]
    ours: Mapping[str, tuple[str, str]]
    foreign: Mapping[str, str]


@final
@dataclass
class Bundle:
    """Definitions from many modules, each once, with the imports they need.

    `prune` cuts what is never reached; `instead` gives other source for some names; without `annotations`
    what only types mention is not taken. Modules are written in the order of `order`, so that bases stand
    before what is built on them; definitions in their own.
    """

    prune: Prune
    order: tuple[str, ...]
    instead: Mapping[str, str] = field(default_factory=dict)
    annotations: bool = True
    _written: dict[tuple[str, str], str] = field(default_factory=dict)
    _imports: dict[str, None] = field(default_factory=dict)

    def need(self, module: str, name: str) -> None:
        """Take `name` of `module`, and everything it refers to."""
        where, name = resolve(module, name)
        if (where, name) in self._written:
            return
        source = parse(where)
        self._written[where, name] = ""  # taken before its own needs are followed: definitions may be mutual
        if name in self.instead:
            text = self.instead[name]
        else:
            text = self._cut(source, name)
        self._written[where, name] = text
        node = ast.parse(text).body[0]
        for used in _names(node, self.annotations):
            if used in source.definitions:
                self.need(where, used)
            elif used in source.ours:
                self.need(*source.ours[used])
            elif used in source.foreign:
                self._imports[source.foreign[used]] = None

    @property
    def names(self) -> frozenset[str]:
        """Everything taken."""
        return frozenset(name for _, name in self._written)

    @property
    def calls(self) -> frozenset[str]:
        """The names that what was taken calls."""
        texts = (ast.parse(text) for text in self._written.values())
        return frozenset(
            node.func.id
            for tree in texts
            for node in ast.walk(tree)
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
        )

    def text(self) -> str:
        """Imports, then definitions module by module."""
        rank = {name: place for place, name in enumerate(self.order)}
        taken = sorted(
            self._written, key=lambda key: (rank.get(_group(key[0], self.order), len(rank)), key[0])
        )
        pieces: list[str] = []
        for module in dict.fromkeys(where for where, _ in taken):
            names = [name for name in parse(module).definitions if (module, name) in self._written]
            pieces += [self._written[module, name] for name in names]
        return "\n".join(sorted(self._imports)) + "\n\n\n" + "\n\n\n".join(pieces) + "\n"

    def _cut(self, source: Module, name: str) -> str:
        """A definition as written, or anew where pruning changed it."""
        node = source.definitions[name]
        self.prune.changed = False
        pruned = self.prune.visit(ast.parse(_segment(source, node)).body[0])
        if self.prune.changed:
            return ast.unparse(ast.fix_missing_locations(pruned))
        return _segment(source, node)


def resolve(module: str, name: str) -> tuple[str, str]:
    """Where a name is really defined, through any number of re-exports."""
    source = parse(module)
    while name not in source.definitions:
        module, name = source.ours[name]
        source = parse(module)
    return module, name


@cache
def parse(module: str) -> Module:
    """The source of a module of ours."""
    found = find_spec(module)
    assert found is not None, f"{module} is one of ours"
    assert found.origin is not None, f"{module} has a file"
    text = Path(found.origin).read_text()
    definitions: dict[str, Definition] = {}
    ours: dict[str, tuple[str, str]] = {}
    foreign: dict[str, str] = {}
    for node in _statements(ast.parse(text).body):
        match node:
            case ast.FunctionDef(name=name) | ast.ClassDef(name=name):
                definitions[name] = node
            case ast.Assign(targets=[ast.Name(id=name)]) | ast.AnnAssign(target=ast.Name(id=name)):
                definitions[name] = node
            case ast.ImportFrom(module=str(origin), names=names):
                for alias in names:
                    local = alias.asname or alias.name
                    if origin.split(".")[0] in OURS:
                        ours[local] = (origin, alias.name)
                    elif origin != "__future__":
                        foreign[local] = f"from {origin} import {ast.unparse(alias)}"
            case ast.Import(names=names):
                foreign |= {(a.asname or a.name).split(".")[0]: f"import {ast.unparse(a)}" for a in names}
            case _:
                pass
    return Module(found.origin, text, definitions, ours, foreign)


def _statements(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """Top-level statements, those under `if TYPE_CHECKING` too."""
    for node in body:
        if isinstance(node, ast.If):
            yield from node.body
        else:
            yield node


def _segment(source: Module, node: Definition) -> str:
    """A definition's own lines, decorators included."""
    decorators = getattr(node, "decorator_list", [])
    first = min([node.lineno, *(decorator.lineno for decorator in decorators)])
    return "\n".join(source.text.splitlines()[first - 1 : node.end_lineno])


def _names(node: ast.AST, annotations: bool) -> Iterator[str]:
    """Every name that a definition refers to; those in text annotations too, or none of its annotations."""
    for name, value in ast.iter_fields(node):
        if name in ("annotation", "returns") and not annotations:
            continue
        for part in value if isinstance(value, list) else [value]:
            if isinstance(part, ast.Name):
                yield part.id
            elif isinstance(part, ast.Constant) and isinstance(part.value, str) and part.value.isidentifier():
                yield part.value
            elif isinstance(part, ast.AST):
                yield from _names(part, annotations)


def _group(module: str, order: tuple[str, ...]) -> str:
    """The entry of `order` that a module belongs to: itself, or the package it is in."""
    return next((entry for entry in order if module == entry or module.startswith(entry + ".")), module)
