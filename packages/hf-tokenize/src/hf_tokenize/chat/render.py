"""Messages through a template: the text, and which parts of it the assistant said."""

from __future__ import annotations

import functools
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeAlias

from hf_hub_io.errors import MissingPackageError
from hf_tokenize.chat.limits import DEFAULT_LIMITS, Budget, TemplateLimits
from hf_tokenize.errors import ChatTemplateError, ChatTemplateLimitError

if TYPE_CHECKING:
    from jinja2 import Template

TemplateValue: TypeAlias = (
    "bool | int | float | str | Sequence[TemplateValue] | Mapping[str, TemplateValue] | None"
)
Message: TypeAlias = Mapping[str, TemplateValue]
Conversation: TypeAlias = Sequence[Message]
Span: TypeAlias = tuple[int, int]

_END: Final = "\ufdd4"  # marks where a continued message ends


@dataclass(frozen=True, kw_only=True, slots=True)
class Rendering:
    """The text of a conversation, and the `[start, stop)` characters that are the assistant's, if asked for."""

    text: str
    spans: tuple[Span, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class ChatTemplate:
    """A template with what it is given beside the messages."""

    source: str
    variables: Mapping[str, TemplateValue]
    limits: TemplateLimits = DEFAULT_LIMITS

    def render(self, messages: Conversation, *, add_generation_prompt: bool = False) -> str:
        """The text of `messages`, with the marks of `{% generation %}` blocks taken out.

        Raises ChatTemplateError, ChatTemplateLimitError.
        """
        return _without_marks(self._render(messages, add_generation_prompt))[0]

    def render_with_spans(self, messages: Conversation) -> Rendering:
        """The text and the assistant's parts: those in `{% generation %}` blocks, or else its whole turns.

        Raises ChatTemplateError, also when the assistant says nothing that can be found in the text.
        """
        text, spans = _without_marks(self._render(messages, False))
        if not spans:
            spans = _turn_spans(self, messages, text)
        if not spans:
            raise ChatTemplateError(
                "no part of this conversation is the assistant's, so its mask would be all zeros",
                fix="check the roles of the messages, or put {% generation %} blocks into the template",
            )
        return Rendering(text=text, spans=tuple(spans))

    def render_open(self, messages: Conversation) -> str:
        """The text up to the end of the last message's content, for the model to go on from."""
        last = dict(messages[-1]) if messages else {}
        content = last.get("content")
        if isinstance(content, str):
            last["content"] = content + _END
        elif isinstance(content, Sequence) and content and isinstance(content[-1], Mapping):
            part = dict(content[-1])
            part["text"] = f"{part.get('text', '')}{_END}"
            last["content"] = [*content[:-1], part]
        text = self.render([*messages[:-1], last])
        if _END not in text:
            raise ChatTemplateError(
                "the template does not show the content of the last message, so it cannot be continued",
                fix="use add_generation_prompt=True to start a new message",
                message=len(messages) - 1,
            )
        return text[: text.rindex(_END)]

    def _render(self, messages: Conversation, add_generation_prompt: bool) -> str:
        try:
            return self._run(messages, add_generation_prompt)
        except ChatTemplateLimitError:
            raise
        except Exception as error:  # noqa: BLE001 - a template can raise anything
            raise self._explain(error, messages, add_generation_prompt) from None

    def _run(self, messages: Conversation, add_generation_prompt: bool) -> str:
        from hf_tokenize.chat.environment import with_defaults

        template = compile_template(self.source)
        budget = Budget(self.limits)
        # None stands for "not there": templates would write it out as the word None.
        clean = [{key: value for key, value in message.items() if value is not None} for message in messages]
        variables = {**self.variables, "messages": clean, "add_generation_prompt": add_generation_prompt}
        return "".join(template.generate(with_defaults(variables, budget)))

    def _explain(
        self, error: Exception, messages: Conversation, add_generation_prompt: bool
    ) -> ChatTemplateError:
        """What went wrong, at which line of the template and, by trying shorter conversations, at which message."""
        if isinstance(error, ChatTemplateError):
            return error
        line = next(
            (
                frame.lineno
                for frame in reversed(traceback.extract_tb(error.__traceback__))
                if frame.filename == "<template>"
            ),
            None,
        )
        index = self._first_refused(error, messages, add_generation_prompt)
        place = f" at line {line}" if line is not None else ""
        who = f", at message {index}" if index is not None else ""
        why = (
            "it calls itself without end"
            if isinstance(error, RecursionError)
            else str(error) or type(error).__name__
        )
        return ChatTemplateError(
            f"the chat template refuses{place}{who}: {why}",
            fix="correct the messages or the template; hft chat-template shows what a model would see",
            line=line,
            message=index,
        )

    def _first_refused(
        self, error: Exception, messages: Conversation, add_generation_prompt: bool
    ) -> int | None:
        """The message up to which the conversation must go to fail so; None when no message is to blame."""
        for count in range(len(messages) + 1):
            try:
                self._run(messages[:count], add_generation_prompt)
            except Exception as other:  # noqa: BLE001 - a template can raise anything
                if type(other) is type(error) and str(other) == str(error):
                    return count - 1 if count else None
        return None


@functools.lru_cache(maxsize=64)
def compile_template(source: str) -> Template:
    """The compiled template. Raises MissingPackageError, ChatTemplateError naming the line."""
    try:
        from jinja2 import TemplateSyntaxError

        from hf_tokenize.chat.environment import environment
    except ImportError:
        raise MissingPackageError("jinja2", "apply_chat_template") from None
    try:
        return environment().from_string(source)
    except TemplateSyntaxError as error:
        raise ChatTemplateError(
            f"the chat template is not valid at line {error.lineno}: {error.message}",
            fix="correct the template",
            line=error.lineno,
        ) from None
    except (RecursionError, ValueError, OverflowError, SyntaxError, MemoryError) as error:
        raise ChatTemplateError(
            f"the chat template cannot be compiled: {error}", fix="correct the template"
        ) from None


def _without_marks(text: str) -> tuple[str, list[Span]]:
    """The text without the marks of generation blocks, and the spans they enclosed."""
    from hf_tokenize.chat.environment import CLOSE, OPEN

    if OPEN not in text:
        return text.replace(CLOSE, ""), []
    pieces: list[str] = []
    spans: list[Span] = []
    at = 0
    start = None
    for part in text.replace(CLOSE, OPEN + CLOSE).split(OPEN):
        body = part.removeprefix(CLOSE)
        if body is not part and part.startswith(CLOSE):
            if start is not None and at > start:
                spans.append((start, at))
            start = None
        elif pieces:
            start = at
        pieces.append(body)
        at += len(body)
    return "".join(pieces), spans


def _turn_spans(template: ChatTemplate, messages: Conversation, text: str) -> list[Span]:
    """The assistant's turns, from the end of the generation prompt to the end of the turn.

    Found by rendering the conversation up to each turn; where the template tells earlier turns differently than
    later ones, by the place of the content itself.
    """
    spans: list[Span] = []
    for index, message in enumerate(messages):
        if message.get("role") not in ("assistant", "model"):
            continue
        after = spans[-1][1] if spans else 0
        span = _by_prefix(template, messages, index, text) or _by_content(message, text, after)
        if span is not None and span[1] > span[0]:
            spans.append((max(span[0], after), span[1]))
    return spans


def _by_prefix(template: ChatTemplate, messages: Conversation, index: int, text: str) -> Span | None:
    try:
        before = template.render(messages[:index], add_generation_prompt=True)
        has_prompt = before != template.render(messages[:index])
        through = template.render(messages[: index + 1])
    except ChatTemplateError:
        return None  # a template may refuse half a conversation
    if has_prompt and through.startswith(before) and text.startswith(through):
        stop = len(through)
        # White space after the end-of-turn token belongs to the template, not to the turn.
        while stop > len(before) and text[stop - 1].isspace():
            stop -= 1
        return len(before), stop
    return None


def _by_content(message: Message, text: str, after: int) -> Span | None:
    content = message.get("content")
    if not isinstance(content, str) or not content.strip():
        return None
    start = text.find(content.strip(), after)
    return None if start < 0 else (start, start + len(content.strip()))
