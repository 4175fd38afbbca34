"""The options of one call: what a user may pass, and the plan they amount to."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from typing import Literal, NamedTuple, TypeAlias, TypedDict, get_args

from hf_tokenize.errors import NoPadTokenError, OptionError, UnknownOptionError
from hf_tokenize.inputs import TextInput

PaddingStrategy: TypeAlias = Literal["longest", "max_length", "do_not_pad"]
TruncationStrategy: TypeAlias = Literal["longest_first", "only_first", "only_second", "do_not_truncate"]
Side: TypeAlias = Literal["left", "right"]
TensorType: TypeAlias = Literal["np", "pt", "jax", "mlx"]

UNLIMITED = 10**20
"""A `model_max_length` above this means that the model sets no limit (files write 1e30)."""


class EncodeOptions(TypedDict, total=False):
    """Options of `tokenizer(...)`, beside the text and those that decide what kind of value comes back.

    `add_special_tokens` (True): apply the model's template. `padding` (False): True or "longest",
    "max_length", or not at all. `truncation`: True or "longest_first", "only_first", "only_second", or not
    at all; giving `max_length` without padding turns it on. `stride` (0): tokens that consecutive windows
    share.
    `pad_to_multiple_of`: round padded lengths up.
    The sides default to the tokenizer's. `split_special_tokens`: treat special tokens in the text as text.
    `text_target`: texts to encode as the target of translation, whose ids come back as `labels`.
    """

    add_special_tokens: bool
    padding: bool | PaddingStrategy
    truncation: bool | TruncationStrategy | None
    max_length: int | None
    stride: int
    pad_to_multiple_of: int | None
    padding_side: Side | None
    truncation_side: Side | None
    return_token_type_ids: bool | None
    return_attention_mask: bool | None
    return_special_tokens_mask: bool
    return_offsets_mapping: bool
    return_length: bool
    split_special_tokens: bool | None
    text_target: TextInput


class Request(NamedTuple):
    """The options of one call, with defaults; a named tuple because one is made per call."""

    add_special_tokens: bool = True
    padding: bool | PaddingStrategy = False
    truncation: bool | TruncationStrategy | None = None
    max_length: int | None = None
    stride: int = 0
    is_split_into_words: bool = False
    pad_to_multiple_of: int | None = None
    padding_side: Side | None = None
    truncation_side: Side | None = None
    return_token_type_ids: bool | None = None
    return_attention_mask: bool | None = None
    return_overflowing_tokens: bool = False
    return_special_tokens_mask: bool = False
    return_offsets_mapping: bool = False
    return_length: bool = False
    split_special_tokens: bool | None = None
    text_target: TextInput | None = None


DEFAULT_REQUEST = Request()


@dataclass(frozen=True, slots=True)
class Truncation:
    """Cut to at most `max_length` tokens, special ones included."""

    strategy: TruncationStrategy
    max_length: int
    stride: int
    side: Side


@dataclass(frozen=True, slots=True)
class Padding:
    """Pad to `length` tokens (None: the longest of the batch), then up to a multiple of `multiple_of`."""

    length: int | None
    multiple_of: int | None
    side: Side
    token: str
    id: int
    type_id: int

    def target(self, longest: int) -> int:
        """The padded length of a batch whose longest row has `longest` tokens."""
        length = longest if self.length is None else self.length
        if self.multiple_of is not None and length % self.multiple_of:
            length += self.multiple_of - length % self.multiple_of
        return length


@dataclass(frozen=True, slots=True)
class Defaults:
    """What a tokenizer supplies where a call leaves a choice open."""

    model_max_length: int
    padding_side: Side
    truncation_side: Side
    pad_token: str | None
    pad_token_id: int | None
    pad_token_type_id: int


def make_request(options: EncodeOptions, *, overflow: bool = False, words: bool = False) -> Request:
    """The request that `options` spell. Raises UnknownOptionError for a name that is not an option."""
    try:
        return Request(return_overflowing_tokens=overflow, is_split_into_words=words, **options)
    except TypeError:
        raise unknown_option(next(name for name in options if name not in Request._fields)) from None


def unknown_option(name: str, known: tuple[str, ...] = Request._fields) -> UnknownOptionError:
    """The error for an option that does not exist."""
    near = difflib.get_close_matches(name, known, n=3)
    advice = f"did you mean {' or '.join(near)}?" if near else f"the options are {', '.join(known)}"
    return UnknownOptionError(f"there is no option {name!r}", fix=advice)


def plan_truncation(request: Request, defaults: Defaults) -> Truncation | None:
    """How this call truncates; None when it does not. Raises OptionError."""
    strategy = request.truncation
    if strategy is None and request.max_length is not None and request.padding is False:
        strategy = True  # a lone max_length has always meant "cut to this length"
    if strategy is None or strategy is False or strategy == "do_not_truncate":
        return None
    if strategy is True:
        strategy = "longest_first"
    elif strategy not in get_args(TruncationStrategy):
        raise _not_one_of("truncation", strategy, (True, False, *get_args(TruncationStrategy)))
    max_length = defaults.model_max_length if request.max_length is None else request.max_length
    if max_length > UNLIMITED:
        return None
    _check_count("max_length", max_length)
    _check_count("stride", request.stride)
    side = _side("truncation_side", request.truncation_side, defaults.truncation_side)
    return Truncation(strategy, max_length, request.stride, side)


def plan_padding(request: Request, defaults: Defaults) -> Padding | None:
    """How this call pads; None when it does not. Raises OptionError, NoPadTokenError."""
    strategy = request.padding
    if strategy is False or strategy == "do_not_pad":
        return None
    if strategy is not True and strategy not in get_args(PaddingStrategy):
        raise _not_one_of("padding", strategy, (True, False, *get_args(PaddingStrategy)))
    length = None
    if strategy == "max_length":
        length = defaults.model_max_length if request.max_length is None else request.max_length
        if length > UNLIMITED:
            return None
        _check_count("max_length", length)
    multiple_of = request.pad_to_multiple_of
    if multiple_of is not None and multiple_of < 1:
        raise OptionError(f"pad_to_multiple_of={multiple_of!r} is not positive", fix="pass 8, or None")
    if defaults.pad_token is None or defaults.pad_token_id is None:
        raise NoPadTokenError(
            "padding was asked for, and this tokenizer has no padding token",
            fix="load it with AutoTokenizer.from_pretrained(..., pad_token='...') or use "
            "tokenizer.replace(pad_token=tokenizer.eos_token)",
        )
    side = _side("padding_side", request.padding_side, defaults.padding_side)
    return Padding(
        length, multiple_of, side, defaults.pad_token, defaults.pad_token_id, defaults.pad_token_type_id
    )


def check_multiple(truncation: Truncation | None, padding: Padding | None) -> None:
    """Refuses a truncation length that padding would round up again. Raises OptionError."""
    multiple_of = None if padding is None else padding.multiple_of
    if truncation is not None and multiple_of is not None and truncation.max_length % multiple_of:
        raise OptionError(
            f"max_length={truncation.max_length} is not a multiple of pad_to_multiple_of={multiple_of}",
            fix=f"use max_length={truncation.max_length - truncation.max_length % multiple_of}",
        )


def _check_count(name: str, value: int) -> None:
    if value < 0:
        raise OptionError(f"{name}={value!r} is not a number of tokens", fix=f"pass an integer {name} >= 0")


def _side(name: str, asked: Side | None, default: Side) -> Side:
    if asked is None:
        return default
    if asked not in ("left", "right"):
        raise _not_one_of(name, asked, ("left", "right"))
    return asked


def _not_one_of(name: str, value: object, known: tuple[object, ...]) -> OptionError:
    return OptionError(f"{name}={value!r} is unknown", fix=f"use one of {', '.join(map(repr, known))}")
