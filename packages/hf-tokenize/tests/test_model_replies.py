"""Replies taken apart, in the forms models write them."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from hf_tokenize import PreTrainedTokenizer
from hf_tokenize.chat.response import parse_response

Get = Callable[[str], PreTrainedTokenizer]
CALL = '{"name": "f", "arguments": {"x": 1}}'


@pytest.mark.parametrize(
    ("text", "content", "reasoning", "calls", "complete"),
    [
        ("plain", "plain", None, [], True),
        ("<think>why</think>\n\nbecause", "because", "why", [], True),
        ("opened by the template</think>yes", "yes", "opened by the template", [], True),
        ("<think>never ends", "", "never ends", [], False),
        ("[THINK]a[/THINK]b", "b", "a", [], True),
        (f"sure <tool_call>\n{CALL}\n</tool_call>", "sure", None, [("f", {"x": 1})], True),
        (
            f"<tool_call>{CALL}</tool_call><tool_call>{CALL}</tool_call>",
            "",
            None,
            [("f", {"x": 1})] * 2,
            True,
        ),
        (f"<tool_call>{CALL}", "", None, [("f", {"x": 1})], False),
        ('<tool_call>{"name": "f", "argum', "", None, [], False),
        (f"[TOOL_CALLS][{CALL}]", "", None, [("f", {"x": 1})], True),
        ('[TOOL_CALLS]f[ARGS]{"x": 1}', "", None, [("f", {"x": 1})], True),
        ('<|python_tag|>{"name": "f", "parameters": {"x": 1}}', "", None, [("f", {"x": 1})], True),
        (
            "<tool_call><function=f>\n<parameter=x>\n1\n</parameter>"
            "<parameter=s>a b</parameter></function></tool_call>",
            "",
            None,
            [("f", {"x": 1, "s": "a b"})],
            True,
        ),
        (
            '<tool_call>{"function": {"name": "f", "arguments": "{\\"x\\": 1}"}}</tool_call>',
            "",
            None,
            [("f", {"x": 1})],
            True,
        ),
        ("<tool_call>no json</tool_call>after", "after", None, [], True),
    ],
)
def test_replies(
    text: str, content: str, reasoning: str | None, calls: list[tuple[str, object]], complete: bool
) -> None:
    reply = parse_response(text)
    assert reply.content == content
    assert reply.reasoning == reasoning
    assert [(call.name, call.arguments) for call in reply.tool_calls] == calls
    assert reply.complete is complete


def test_a_tokenizer_parses_its_own_ids(get: Get) -> None:
    tokenizer = get("llama3")
    ids = tokenizer.encode("<think>a</think>b<|end|>", add_special_tokens=False)
    reply = tokenizer.parse_response(ids)
    assert (reply.reasoning, reply.content) == ("a", "b")
