"""A Python function as the JSON schema that models are told of."""

from __future__ import annotations

import inspect
import re
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Literal, TypeAlias

from hf_tokenize.chat.render import TemplateValue
from hf_tokenize.errors import ChatTemplateError

Tool: TypeAlias = "Callable[..., object] | Mapping[str, TemplateValue]"
"""A function with type hints and a docstring, or its schema."""

_PLAIN: Final[Mapping[object, str]] = {
    int: "integer",
    float: "number",
    str: "string",
    bool: "boolean",
    dict: "object",
    list: "array",
    type(None): "null",
}
_ARGS: Final = re.compile(
    r"^\s*Args:\s*\n(.*?)(?=^\s*(?:Returns|Raises|Yields|Examples?):|\Z)", re.DOTALL | re.MULTILINE
)
_ARG: Final = re.compile(
    r"^\s*(\w+)\s*(?:\([^)]*\))?:\s*(.*?)(?=^\s*\w+\s*(?:\([^)]*\))?:|\Z)", re.DOTALL | re.MULTILINE
)
_CHOICES: Final = re.compile(r"\(choices:\s*(\[.*?\])\s*\)\s*$", re.DOTALL)


def tool_schemas(tools: Sequence[Tool]) -> list[TemplateValue]:
    """The schemas of `tools`; those given as mappings pass through."""
    return [dict(tool) if isinstance(tool, Mapping) else function_schema(tool) for tool in tools]


def function_schema(function: Callable[..., object]) -> dict[str, TemplateValue]:
    """The schema of a function: its name, what its docstring says, and its parameters by their type hints.

    The docstring must describe every parameter under `Args:`. Raises ChatTemplateError naming what is missing.
    """
    name = getattr(function, "__name__", type(function).__name__)
    text = inspect.getdoc(function)
    if not text:
        raise ChatTemplateError(f"the tool {name} has no docstring", fix="say what it does, and its Args:")
    described = _describe_arguments(text)
    hints = typing.get_type_hints(function)
    properties: dict[str, TemplateValue] = {}
    required: list[TemplateValue] = []
    for parameter in inspect.signature(function).parameters.values():
        if parameter.name not in hints:
            raise ChatTemplateError(
                f"the parameter {parameter.name} of tool {name} has no type hint", fix="add it"
            )
        if parameter.name not in described:
            raise ChatTemplateError(
                f"the docstring of tool {name} does not describe {parameter.name}", fix="add it under Args:"
            )
        schema = dict(_type_schema(hints[parameter.name]))
        schema["description"] = described[parameter.name]
        if (choices := _CHOICES.search(described[parameter.name])) is not None:
            schema["enum"] = [c.strip().strip("'\"") for c in choices.group(1).strip("[]").split(",")]
            schema["description"] = described[parameter.name][: choices.start()].strip()
        properties[parameter.name] = schema
        if parameter.default is inspect.Parameter.empty:
            required.append(parameter.name)
    parameters: dict[str, TemplateValue] = {"type": "object", "properties": properties}
    if required:
        parameters["required"] = required
    summary = re.split(r"^\s*(?:Args|Returns|Raises|Examples?):", text, maxsplit=1, flags=re.MULTILINE)[
        0
    ].strip()
    schema = {"name": name, "description": summary, "parameters": parameters}
    if "return" in hints and hints["return"] is not type(None):
        schema["return"] = _type_schema(hints["return"])
    return {"type": "function", "function": schema}


def _describe_arguments(text: str) -> dict[str, str]:
    section = _ARGS.search(text)
    if section is None:
        return {}
    return {m.group(1): " ".join(m.group(2).split()) for m in _ARG.finditer(section.group(1))}


def _type_schema(hint: Any) -> dict[str, TemplateValue]:
    if hint in _PLAIN:
        return {"type": _PLAIN[hint]}
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is Literal:
        kinds = {_PLAIN.get(type(argument), "string") for argument in arguments}
        return {"type": kinds.pop() if len(kinds) == 1 else sorted(kinds), "enum": list(arguments)}
    if origin in (typing.Union, types.UnionType):
        inner = [_type_schema(argument) for argument in arguments if argument is not type(None)]
        nullable: dict[str, TemplateValue] = {"nullable": True} if type(None) in arguments else {}
        return {**inner[0], **nullable} if len(inner) == 1 else {"anyOf": inner, **nullable}
    if origin in (list, Sequence):
        return {"type": "array", "items": _type_schema(arguments[0])}
    if origin is tuple:
        return {"type": "array", "prefixItems": [_type_schema(argument) for argument in arguments]}
    if origin in (dict, Mapping):
        return {"type": "object", "additionalProperties": _type_schema(arguments[1])}
    return {}
