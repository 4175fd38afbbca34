"""What a model replied, taken apart: its reasoning, the tools it calls, and the rest."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from hf_hub_io import JsonValue


@dataclass(frozen=True, kw_only=True, slots=True)
class ToolCall:
    """One call: the tool's name, its arguments, and the text it was read from."""

    name: str
    arguments: Mapping[str, JsonValue]
    text: str


@dataclass(frozen=True, kw_only=True, slots=True)
class ParsedResponse:
    """A reply: `content` for the user, `reasoning` (None: there was none), and tool calls in order.

    `complete` is False when a reasoning or tool block was begun and not ended, as in a reply that was cut off.
    """

    content: str
    reasoning: str | None = None
    tool_calls: tuple[ToolCall, ...] = ()
    complete: bool = True


_REASONING: Final = (("<think>", "</think>"), ("<thinking>", "</thinking>"), ("[THINK]", "[/THINK]"))
_TOOL_BLOCKS: Final = (
    ("<tool_call>", "</tool_call>"),
    ("<|tool_call|>", "<|/tool_call|>"),
    ("<function_call>", "</function_call>"),
)
_TOOL_LIST: Final = "[TOOL_CALLS]"
_PYTHON_TAG: Final = "<|python_tag|>"
_XML_CALL: Final = re.compile(r"<function=([^>]+)>(.*?)</function>", re.DOTALL)
_XML_PARAMETER: Final = re.compile(r"<parameter=([^>]+)>\n?(.*?)\n?</parameter>", re.DOTALL)


def parse_response(text: str, *, special: tuple[str, ...] = ()) -> ParsedResponse:
    """The parts of a reply in the forms models use; `special` are tokens to drop from the content.

    Reasoning in `<think>` (also when the template already opened it), tool calls as JSON in `<tool_call>` blocks,
    after `[TOOL_CALLS]` or `<|python_tag|>`, or as `<function=name><parameter=...>` elements.
    """
    complete = True
    reasoning: str | None = None
    for start, stop in _REASONING:
        if stop in text:
            before, _, text = text.partition(stop)
            reasoning = before.partition(start)[2] if start in before else before
            break
        if start in text:
            text, _, reasoning = text.partition(start)
            complete = False
            break
    calls: list[ToolCall] = []
    text, ended = _take_calls(text, calls)
    for token in sorted(special, key=len, reverse=True):
        text = text.replace(token, "")
    return ParsedResponse(
        content=text.strip(),
        reasoning=None if reasoning is None else reasoning.strip(),
        tool_calls=tuple(calls),
        complete=complete and ended,
    )


def _take_calls(text: str, calls: list[ToolCall]) -> tuple[str, bool]:
    ended = True
    for start, stop in _TOOL_BLOCKS:
        while start in text:
            before, _, rest = text.partition(start)
            body, found, after = rest.partition(stop)
            calls += _read_calls(body)
            ended = ended and bool(found)
            text = before + after
    for marker in (_TOOL_LIST, _PYTHON_TAG):
        if marker in text:
            text, _, body = text.partition(marker)
            found_calls = [call for part in body.split(marker) for call in _read_calls(part)]
            ended = ended and bool(found_calls)
            calls += found_calls
    return text, ended


def _read_calls(body: str) -> list[ToolCall]:
    """The calls in one block: JSON of one call or a list, a name before JSON arguments, or XML-like elements."""
    elements = [
        ToolCall(
            name=m.group(1).strip(),
            arguments={
                p.group(1).strip(): _json_or_text(p.group(2)) for p in _XML_PARAMETER.finditer(m.group(2))
            },
            text=m.group(),
        )
        for m in _XML_CALL.finditer(body)
    ]
    if elements:
        return elements
    name, marked, arguments = body.partition("[ARGS]")
    if marked:
        value = _json_or_text(arguments.strip())
        return [ToolCall(name=name.strip(), arguments=value, text=body)] if isinstance(value, dict) else []
    start = min((at for at in (body.find("{"), body.find("[")) if at >= 0), default=-1)
    if start < 0:
        return []
    try:
        value, _ = json.JSONDecoder().raw_decode(body[start:])
    except ValueError:
        return []
    name = body[:start].strip()
    if name and isinstance(value, dict):
        return [ToolCall(name=name, arguments=value, text=body.strip())]
    return [call for item in (value if isinstance(value, list) else [value]) if (call := _one_call(item))]


def _one_call(value: JsonValue) -> ToolCall | None:
    if not isinstance(value, dict):
        return None
    inner = value.get("function")
    if isinstance(inner, dict):
        value = inner
    name = value.get("name")
    arguments = value.get("arguments", value.get("parameters", {}))
    if isinstance(arguments, str):
        arguments = _json_or_text(arguments)
    if not isinstance(name, str) or not isinstance(arguments, dict):
        return None
    return ToolCall(name=name, arguments=arguments, text=json.dumps(value, ensure_ascii=False))


def _json_or_text(text: str) -> JsonValue:
    try:
        value: JsonValue = json.loads(text)
    except ValueError:
        return text
    return value
