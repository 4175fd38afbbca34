"""Laws that every source file of the nine packages keeps, read from the syntax tree."""

import ast
import inspect
import pkgutil
import re
from collections.abc import Iterator
from functools import cache
from importlib import import_module
from pathlib import Path

import pytest

from tools.workspace import ROOT, members

PACKAGES = [member.import_name for member in members().values()]
SOURCES = sorted(ROOT.glob("packages/*/src/**/*.py"))
FILE_LINES = 500
FUNCTION_LINES = 60
FORWARD_LINES = 40
OUR_CLASSES = 3

Function = ast.FunctionDef | ast.AsyncFunctionDef


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


def place(path: Path, node: ast.expr | ast.stmt) -> str:
    return f"{path.relative_to(ROOT)}:{node.lineno}"


def functions(path: Path) -> Iterator[Function]:
    return (node for node in ast.walk(tree(path)) if isinstance(node, Function))


def body_lines(function: Function) -> int:
    """Lines of a function without its docstring."""
    first = function.body[0]
    documented = ast.get_docstring(function) is not None and isinstance(first, ast.Expr)
    end = function.end_lineno or function.lineno
    doc_lines = (first.end_lineno or first.lineno) - first.lineno + 1 if documented else 0
    return end - function.lineno + 1 - doc_lines


def test_there_are_sources_to_check() -> None:
    assert {path.relative_to(ROOT).parts[1] for path in SOURCES} == set(members())


def test_files_fit_one_sitting() -> None:
    long = {str(path.relative_to(ROOT)): len(path.read_text().splitlines()) for path in SOURCES}
    assert {path: lines for path, lines in long.items() if lines > FILE_LINES} == {}


def test_functions_fit_a_screen() -> None:
    long = [
        f"{place(path, function)} {function.name}: {body_lines(function)} lines"
        for path in SOURCES
        for function in functions(path)
        if body_lines(function) > FUNCTION_LINES
    ]
    assert long == []


def test_nothing_is_left_for_later() -> None:
    mark = re.compile(r"\b(TODO|FIXME|XXX)\b|NotImplementedError|pragma: no cover")
    found = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()}"
        for path in SOURCES
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if mark.search(line)
    ]
    assert found == []


def test_no_probing_for_attributes() -> None:
    found = [
        place(path, node)
        for path in SOURCES
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "hasattr"
    ]
    assert found == []


def test_type_ignores_say_which_error_and_why() -> None:
    bare = re.compile(r"# type: ignore(?!\[[\w-]+(, ?[\w-]+)*\]\s+(#|-|:)\s*\S)")
    found = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()}"
        for path in SOURCES
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if bare.search(line)
    ]
    assert found == []


def test_forward_runs_straight() -> None:
    """A layer's constructor chose; its `forward` reads no config and no spec, and stays short."""
    found = []
    for path in ROOT.glob("packages/hf-modeling/src/hf_modeling/layers/*.py"):
        for function in functions(path):
            if function.name != "forward":
                continue
            if body_lines(function) > FORWARD_LINES:
                found.append(f"{place(path, function)}: {body_lines(function)} lines")
            found += [
                f"{place(path, node)}: reads .{node.attr}"
                for node in ast.walk(function)
                if isinstance(node, ast.Attribute) and node.attr in {"config", "spec"}
            ]
    assert found == []


def test_specs_and_configs_need_no_tensors() -> None:
    """`hf_modeling.spec` is data: it imports nothing of torch."""
    found = [
        place(path, node)
        for path in ROOT.glob("packages/hf-modeling/src/hf_modeling/spec/*.py")
        for node in ast.walk(tree(path))
        if (isinstance(node, ast.Import) and any(alias.name.split(".")[0] == "torch" for alias in node.names))
        or (isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "torch")
    ]
    assert found == []


def classes() -> Iterator[type]:
    """Every class our packages define, once each."""
    for package in PACKAGES:
        root = import_module(package)
        names = [info.name for info in pkgutil.walk_packages(root.__path__, f"{package}.")]
        for name in [package, *(name for name in names if not name.endswith(".__main__"))]:
            module = import_module(name)
            yield from (
                value
                for value in vars(module).values()
                if inspect.isclass(value) and value.__module__ == name
            )


def test_classes_stand_on_at_most_two_of_ours() -> None:
    """Exceptions may be finer, as callers catch by their hierarchy, and Protocols hold no code to look up.

    Model classes are made when asked for and stand in no module; hf-modeling's own tests hold this law for them.
    """
    deep = {}
    for cls in classes():
        ours = [base.__name__ for base in cls.__mro__ if base.__module__.split(".")[0] in PACKAGES]
        exempt = issubclass(cls, BaseException) or getattr(cls, "_is_protocol", False)
        if len(ours) > OUR_CLASSES and not exempt:
            deep[cls.__name__] = ours
    assert deep == {}


@pytest.mark.parametrize("package", PACKAGES)
def test_all_is_what_the_package_offers(package: str) -> None:
    module = import_module(package)
    offered = set(module.__all__)
    assert len(module.__all__) == len(offered), "a name stands twice in __all__"
    assert {name for name in offered if getattr(module, name, None) is None} == set()
    ours = {
        name for name, value in vars(module).items() if getattr(value, "__module__", "").startswith("hf_")
    }
    assert {name for name in ours - offered if not name.startswith("_")} == set()
    assert offered <= set(dir(module))
