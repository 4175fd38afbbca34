"""How long a chat template may run and how much it may write.

A template is a program from a stranger. The sandbox keeps it from reaching Python; this keeps it from never ending.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, final

from hf_tokenize.errors import ChatTemplateLimitError


@dataclass(frozen=True, kw_only=True, slots=True)
class TemplateLimits:
    """Bounds on one rendering: `seconds` of running, `characters` of text, also of any text in between."""

    seconds: float = 5.0
    characters: int = 16_000_000


DEFAULT_LIMITS: Final = TemplateLimits()
_GROWING: Final = frozenset({"center", "ljust", "rjust", "zfill", "expandtabs", "indent"})
_WIDTH: Final = re.compile(r"\d{6,}")


@final
class Budget:
    """What one rendering has left. Its methods are what the sandbox calls at every loop, call and operator."""

    __slots__ = ("_deadline", "limits", "written")

    def __init__(self, limits: TemplateLimits) -> None:
        self.limits = limits
        self.written = 0
        self._deadline = time.monotonic() + limits.seconds

    def tick(self) -> None:
        """Raises ChatTemplateLimitError when the time is up."""
        if time.monotonic() > self._deadline:
            raise ChatTemplateLimitError(
                f"the chat template ran longer than {self.limits.seconds} s",
                fix="correct the template, or pass limits=TemplateLimits(seconds=...)",
            )

    def loop(self, items: Iterable[object]) -> Iterator[object]:
        """`items`, with a look at the clock before each."""
        for item in items:
            self.tick()
            yield item

    def write(self, text: str) -> str:
        """`text`, counted as output."""
        self.written += len(text)
        self.tick()
        self.check_size(self.written)
        return text

    def join(self, *parts: object) -> str:
        """What `~` gives in a template."""
        texts = [str(part) for part in parts]
        self.check_size(sum(map(len, texts)))
        return "".join(texts)

    def check_size(self, characters: int) -> None:
        """Raises ChatTemplateLimitError for a text that would be too long."""
        if characters > self.limits.characters:
            raise ChatTemplateLimitError(
                f"the chat template writes more than {self.limits.characters} characters",
                fix="correct the template, or pass limits=TemplateLimits(characters=...)",
            )

    def check_operator(self, operator: str, left: object, right: object) -> None:
        """Refuses operations whose result would be huge, before they are done."""
        self.tick()
        if operator == "*":
            for text, times in ((left, right), (right, left)):
                if isinstance(text, str | list | tuple) and isinstance(times, int):
                    self.check_size(len(text) * max(times, 0))
            if isinstance(left, int) and isinstance(right, int):
                self.check_size(left.bit_length() + right.bit_length())
        elif operator == "**" and isinstance(left, int) and isinstance(right, int):
            self.check_size(left.bit_length() * max(right, 0))
        elif operator == "+" and isinstance(left, str) and isinstance(right, str):
            self.check_size(len(left) + len(right))
        elif operator == "%" and isinstance(left, str):
            self.check_format(left, right)

    def check_call(self, name: str, owner: object, arguments: Sequence[object]) -> None:
        """Refuses string methods that would make a huge text."""
        self.tick()
        if name in _GROWING:
            self.check_size(max((a for a in arguments if isinstance(a, int)), default=0))
        elif name == "format" and isinstance(owner, str):
            self.check_format(owner, arguments)
        elif name == "replace" and isinstance(owner, str) and len(arguments) > 1:
            self.check_size(len(owner) + (owner.count(str(arguments[0])) + 1) * len(str(arguments[1])))
        elif (
            name == "join" and isinstance(owner, str) and arguments and isinstance(arguments[0], list | tuple)
        ):
            texts = arguments[0]
            self.check_size(sum(len(str(text)) for text in texts) + len(owner) * len(texts))

    def check_format(self, pattern: str, arguments: object) -> None:
        """Refuses widths such as in `"{:1000000000}"`, given in the pattern or as a number."""
        if _WIDTH.search(pattern) or ("*" in pattern and _has_large(arguments)):
            self.check_size(self.limits.characters + 1)
        if "{" in pattern and _has_large(arguments):
            self.check_size(self.limits.characters + 1)


def _has_large(values: object) -> bool:
    if isinstance(values, Mapping):
        values = list(values.values())
    items = values if isinstance(values, list | tuple) else (values,)
    return any(isinstance(item, int) and item > 1_000_000 for item in items)
