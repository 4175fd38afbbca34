"""Conversations through templates: text, ids, masks, and what errors say."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import pytest

from hf_tokenize import AutoTokenizer, PreTrainedTokenizer
from hf_tokenize.chat.render import Conversation
from hf_tokenize.chat.tools import function_schema
from hf_tokenize.errors import ChatTemplateError, OptionError, UnknownOptionError

Get = Callable[[str], PreTrainedTokenizer]
CHATML = (
    "{% for m in messages %}<|begin|>{{ m['role'] }}\n{{ m['content'] }}<|end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|begin|>assistant\n{% endif %}"
)
MARKED = (
    "{% for m in messages %}<|begin|>{{ m.role }}\n{% if m.role == 'assistant' %}"
    "{% generation %}{{ m.content }}<|end|>{% endgeneration %}{% else %}{{ m.content }}<|end|>{% endif %}\n{% endfor %}"
)
# Tells earlier turns otherwise than the last one, as templates do that drop old reasoning.
FORGETFUL = (
    "{% for m in messages %}<|begin|>{{ m.role }}\n"
    "{% if m.role == 'assistant' and loop.last %}(thought) {% endif %}{{ m.content | trim }}<|end|>\n{% endfor %}"
)
TALK: Conversation = [
    {"role": "system", "content": "be brief"},
    {"role": "user", "content": "hello there"},
    {"role": "assistant", "content": "hi you"},
    {"role": "user", "content": "and now?"},
    {"role": "assistant", "content": "good night"},
]


@pytest.fixture
def chat(get: Get) -> PreTrainedTokenizer:
    return get("llama3").replace(chat_template=CHATML)


def said(tokenizer: PreTrainedTokenizer, template: str) -> list[str]:
    """The texts of the runs of ones in the assistant's mask."""
    batch = tokenizer.apply_chat_template(TALK, chat_template=template, return_assistant_tokens_mask=True)
    runs: list[list[int]] = []
    before = 0
    for id, mask in zip(batch["input_ids"], batch["assistant_masks"], strict=True):
        if mask and not before:
            runs.append([])
        if mask:
            runs[-1].append(id)
        before = mask
    return [tokenizer.decode(run) for run in runs]


def test_ids_are_those_of_the_text_with_one_beginning(chat: PreTrainedTokenizer) -> None:
    text = chat.apply_chat_template(TALK, tokenize=False)
    assert isinstance(text, str)
    assert text.startswith("<|begin|>system\nbe brief<|end|>\n")
    batch = chat.apply_chat_template(TALK)
    assert batch["input_ids"] == chat.encode(text, add_special_tokens=False)
    assert batch["input_ids"].count(chat.bos_token_id) == len(TALK), (
        "the tokenizer's own template adds no other"
    )


def test_generation_prompt(chat: PreTrainedTokenizer) -> None:
    text = chat.apply_chat_template(TALK[:2], tokenize=False, add_generation_prompt=True)
    assert isinstance(text, str)
    assert text.endswith("<|begin|>assistant\n")


def test_batches_of_conversations(chat: PreTrainedTokenizer) -> None:
    batch = chat.apply_chat_template([TALK, TALK[:2]], padding=True, return_tensors=None)
    assert len(batch["input_ids"]) == 2
    assert len(batch["input_ids"][0]) == len(batch["input_ids"][1])
    assert chat.apply_chat_template([TALK, TALK[:2]], tokenize=False) == [
        chat.apply_chat_template(TALK, tokenize=False),
        chat.apply_chat_template(TALK[:2], tokenize=False),
    ]


@pytest.mark.parametrize(
    ("template", "runs"),
    [
        (CHATML, ["hi you<|end|>", "good night<|end|>"]),
        (MARKED, ["hi you<|end|>", "good night<|end|>"]),
        (FORGETFUL, ["hi you", "good night"]),
    ],
    ids=["whole turns", "generation blocks", "a template that forgets"],
)
def test_masks_hold_what_the_assistant_said(
    chat: PreTrainedTokenizer, template: str, runs: list[str]
) -> None:
    assert [run.strip() for run in said(chat, template)] == runs


def test_masks_survive_truncation(chat: PreTrainedTokenizer) -> None:
    whole = chat.apply_chat_template(TALK, return_assistant_tokens_mask=True)
    cut = chat.apply_chat_template(TALK, return_assistant_tokens_mask=True, truncation=True, max_length=30)
    assert cut["assistant_masks"] == whole["assistant_masks"][:30]


def test_a_mask_of_zeros_is_an_error(chat: PreTrainedTokenizer) -> None:
    with pytest.raises(ChatTemplateError, match="no part of this conversation is the assistant's"):
        chat.apply_chat_template(TALK[:2], return_assistant_tokens_mask=True)


def test_the_last_message_can_be_continued(chat: PreTrainedTokenizer) -> None:
    text = chat.apply_chat_template(TALK, tokenize=False, continue_final_message=True)
    assert isinstance(text, str)
    assert text.endswith("<|begin|>assistant\ngood night")
    parts: Conversation = [{"role": "user", "content": [{"type": "text", "text": "abc"}]}]
    template = "{% for m in messages %}{% for c in m.content %}{{ c.text }}{% endfor %}!{% endfor %}"
    text = chat.apply_chat_template(
        parts, tokenize=False, continue_final_message=True, chat_template=template
    )
    assert text == "abc"
    with pytest.raises(ChatTemplateError, match="does not show the content of the last message"):
        chat.apply_chat_template(TALK, continue_final_message=True, chat_template="{{ messages[0].content }}")
    with pytest.raises(
        OptionError, match="continue_final_message and add_generation_prompt exclude each other"
    ):
        chat.apply_chat_template(TALK, continue_final_message=True, add_generation_prompt=True)


def test_tools_documents_and_other_variables(chat: PreTrainedTokenizer) -> None:
    def weather(city: str, unit: Literal["C", "F"] = "C", days: list[int] | None = None) -> str:
        """Tells the weather.

        Args:
            city: Where to
                look.
            unit: Of degrees. (choices: ["C", "F"])
            days: Which days.
        """
        return f"{city}{unit}{days}"

    template = (
        "{{ tools | tojson }}|{{ documents[0].title }}|{{ enable_thinking }}|{{ mood }}|{{ bos_token }}"
    )
    text = chat.apply_chat_template(
        TALK,
        tokenize=False,
        tools=[weather, {"type": "function", "function": {"name": "x"}}],
        documents=[{"title": "t", "text": "u"}],
        enable_thinking=False,
        template_variables={"mood": "good"},
        chat_template=template,
    )
    assert isinstance(text, str)
    tools, *rest = text.split("|")
    assert rest == ["t", "False", "good", "<", "begin", ">"]
    schema = json.loads(tools)[0]["function"]
    assert schema["name"] == "weather"
    assert schema["description"] == "Tells the weather."
    assert schema["parameters"]["required"] == ["city"]
    assert schema["parameters"]["properties"] == {
        "city": {"type": "string", "description": "Where to look."},
        "unit": {"type": "string", "enum": ["C", "F"], "description": "Of degrees."},
        "days": {
            "type": "array",
            "items": {"type": "integer"},
            "nullable": True,
            "description": "Which days.",
        },
    }


def test_tools_that_say_too_little() -> None:
    def silent(x: int) -> None: ...

    def vague(x: int) -> None:
        """Does."""

    def untyped(x) -> None:  # type: ignore[no-untyped-def]  # the mistake is the point
        """Does.

        Args:
            x: What.
        """

    for tool, message in (
        (silent, "silent has no docstring"),
        (vague, "vague does not describe x"),
        (untyped, "x of tool untyped has no type hint"),
    ):
        with pytest.raises(ChatTemplateError, match=message):
            function_schema(tool)


def test_templates_by_name_and_none(get: Get) -> None:
    tokenizer = get("llama3")
    with pytest.raises(ChatTemplateError, match="has no default chat template: it has none"):
        tokenizer.apply_chat_template(TALK)
    several = tokenizer.replace(chat_template={"default": "d", "tool_use": "t", "rag": "r"})
    assert several.chat_template == "d"
    assert several.apply_chat_template(TALK, tokenize=False) == "d"
    assert several.apply_chat_template(TALK, tokenize=False, tools=[]) == "d"
    assert several.apply_chat_template(TALK, tokenize=False, tools=[{"name": "x"}]) == "t"
    assert several.apply_chat_template(TALK, tokenize=False, chat_template="rag") == "r"
    with pytest.raises(ChatTemplateError, match="it has templates named rag"):
        tokenizer.replace(chat_template={"rag": "r"}).apply_chat_template(TALK)


def test_template_files(folder_of: Callable[[str], Path], tmp_path: Path) -> None:
    AutoTokenizer.from_pretrained(folder_of("llama3")).replace(
        chat_template={"default": "from jinja", "rag": "for rag"}
    ).save_pretrained(tmp_path)
    assert (tmp_path / "chat_template.jinja").read_text() == "from jinja"
    assert (tmp_path / "additional_chat_templates" / "rag.jinja").read_text() == "for rag"
    again = AutoTokenizer.from_pretrained(tmp_path)
    assert dict(again.settings.chat_templates) == {"default": "from jinja", "rag": "for rag"}
    (tmp_path / "chat_template.jinja").unlink()
    config = json.loads((tmp_path / "tokenizer_config.json").read_text())
    config["chat_template"] = [{"name": "default", "template": "listed"}]
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(config))
    assert AutoTokenizer.from_pretrained(tmp_path).chat_template == "listed"


def test_errors_name_line_and_message(chat: PreTrainedTokenizer) -> None:
    template = (
        "{% for m in messages %}\n{% if m.role == 'system' and not loop.first %}\n"
        "{{ raise_exception('late system') }}\n{% endif %}{% endfor %}"
    )
    late: Conversation = [*TALK[1:3], {"role": "system", "content": "x"}]
    with pytest.raises(ChatTemplateError, match="refuses at line 3, at message 2: late system") as caught:
        chat.apply_chat_template(late, chat_template=template)
    assert (caught.value.line, caught.value.message) == (3, 2)
    with pytest.raises(ChatTemplateError, match=r"not valid at line 2") as caught:
        chat.apply_chat_template(TALK, chat_template="a\n{% if %}")
    assert caught.value.line == 2
    with pytest.raises(ChatTemplateError, match="has no attribute 'foo'"):
        chat.apply_chat_template(TALK, chat_template="{{ messages[0].foo.bar }}")
    with pytest.raises(OptionError, match="the conversation is empty"):
        chat.apply_chat_template([])
    with pytest.raises(UnknownOptionError, match="no option 'add_generation_prompts'"):
        chat.apply_chat_template(TALK, add_generation_prompts=True)  # type: ignore[call-overload]  # the mistake is the point


def test_none_values_are_as_if_not_there(chat: PreTrainedTokenizer) -> None:
    message = {"role": "assistant", "content": "x", "tool_calls": None}
    template = "{{ messages[0].tool_calls is defined }}"
    assert chat.apply_chat_template([message], tokenize=False, chat_template=template) == "False"
