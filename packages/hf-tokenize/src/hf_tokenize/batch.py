"""The result of a call: a mapping from names to rows, which also knows where each token came from."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, MutableMapping
from typing import TYPE_CHECKING, Generic, TypeVar, cast, final, overload

from hf_tokenize.encoding import CharSpan, Encoding, TokenSpan
from hf_tokenize.errors import DetailsError
from hf_tokenize.options import TensorType
from hf_tokenize.tensors import Nested, nested_to_tensor

if TYPE_CHECKING:
    import torch

V = TypeVar("V")


@final
class BatchEncoding(MutableMapping[str, V], Generic[V]):
    """What a model takes: `input_ids`, `attention_mask`, ... by name, ready for `model(**batch)`.

    The caller owns it and may add entries (`batch["labels"] = ...`). `batch[0]` is the `Encoding` of row 0,
    with tokens, offsets and words; it is worked out when first asked for. Pickling keeps it only if it was.
    """

    __slots__ = ("_details", "_encodings", "data")

    def __init__(
        self,
        data: Mapping[str, V] | None = None,
        encodings: tuple[Encoding, ...] | None = None,
        *,
        details: Callable[[], tuple[Encoding, ...]] | None = None,
    ) -> None:
        self.data: dict[str, V] = {} if data is None else dict(data)
        self._encodings = encodings
        self._details = details

    @overload
    def __getitem__(self, key: str) -> V: ...
    @overload
    def __getitem__(self, key: int) -> Encoding: ...
    def __getitem__(self, key: str | int) -> V | Encoding:
        return self.encodings[key] if isinstance(key, int) else self.data[key]

    def __setitem__(self, key: str, value: V) -> None:
        self.data[key] = value

    def __delitem__(self, key: str) -> None:
        del self.data[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self.data)

    def __len__(self) -> int:
        return len(self.data)

    def __repr__(self) -> str:
        return f"BatchEncoding({self.data!r})"

    def __reduce__(self) -> tuple[object, ...]:
        return BatchEncoding, (self.data, self._encodings)

    @property
    def input_ids(self) -> V:
        """The token ids."""
        return self.data["input_ids"]

    @property
    def attention_mask(self) -> V:
        """1 for real tokens, 0 for padding."""
        return self.data["attention_mask"]

    @property
    def token_type_ids(self) -> V:
        """Which segment each token belongs to, for models that read it."""
        return self.data["token_type_ids"]

    @property
    def encodings(self) -> tuple[Encoding, ...]:
        """Everything known about each row. Raises DetailsError for a batch that was not made by a
        tokenizer.
        """
        if self._encodings is None:
            if self._details is None:
                raise DetailsError(
                    "this batch no longer knows its tokens, offsets and words",
                    fix="ask the tokenizer's own result, before it is pickled or goes through pad()",
                )
            # Two threads may both work this out; they get equal values, and either may stay.
            self._encodings = self._details()
        return self._encodings

    @property
    def n_sequences(self) -> int:
        """1 for single texts, 2 for pairs."""
        return self.encodings[0].n_sequences

    def tokens(self, batch_index: int = 0) -> list[str]:
        """The tokens of a row as strings."""
        return list(self.encodings[batch_index].tokens)

    def sequence_ids(self, batch_index: int = 0) -> list[int | None]:
        """For each token of a row the text it comes from: 0, 1, or None for special and padding tokens."""
        return list(self.encodings[batch_index].sequence_ids)

    def word_ids(self, batch_index: int = 0) -> list[int | None]:
        """For each token of a row the word it is part of; None for special and padding tokens."""
        return list(self.encodings[batch_index].word_ids)

    def _at(self, row_or_index: int, index: int | None) -> tuple[Encoding, int]:
        return (self.encodings[0], row_or_index) if index is None else (self.encodings[row_or_index], index)

    def token_to_sequence(self, batch_or_token_index: int, token_index: int | None = None) -> int | None:
        """The text a token comes from. With one argument, a token of row 0; with two, a row and a token."""
        encoding, token = self._at(batch_or_token_index, token_index)
        return encoding.token_to_sequence(token)

    def token_to_word(self, batch_or_token_index: int, token_index: int | None = None) -> int | None:
        """The word a token is part of; arguments as in `token_to_sequence`."""
        encoding, token = self._at(batch_or_token_index, token_index)
        return encoding.token_to_word(token)

    def token_to_chars(self, batch_or_token_index: int, token_index: int | None = None) -> CharSpan | None:
        """The characters a token stands for; arguments as in `token_to_sequence`."""
        encoding, token = self._at(batch_or_token_index, token_index)
        return encoding.token_to_chars(token)

    def char_to_token(
        self, batch_or_char_index: int, char_index: int | None = None, sequence_index: int = 0
    ) -> int | None:
        """The first token that covers a character of a row; None where no token does."""
        encoding, char = self._at(batch_or_char_index, char_index)
        return encoding.char_to_token(char, sequence_index)

    def char_to_word(
        self, batch_or_char_index: int, char_index: int | None = None, sequence_index: int = 0
    ) -> int | None:
        """The word that a character of a row belongs to; None for white space."""
        encoding, char = self._at(batch_or_char_index, char_index)
        return encoding.char_to_word(char, sequence_index)

    def word_to_tokens(
        self, batch_or_word_index: int, word_index: int | None = None, sequence_index: int = 0
    ) -> TokenSpan | None:
        """The tokens of a word of a row; None for a word without tokens."""
        encoding, word = self._at(batch_or_word_index, word_index)
        return encoding.word_to_tokens(word, sequence_index)

    def word_to_chars(
        self, batch_or_word_index: int, word_index: int | None = None, sequence_index: int = 0
    ) -> CharSpan | None:
        """The characters of a word of a row; None for a word without tokens."""
        encoding, word = self._at(batch_or_word_index, word_index)
        return encoding.word_to_chars(word, sequence_index)

    def convert_to_tensors(
        self, tensor_type: TensorType, *, prepend_batch_axis: bool = False
    ) -> BatchEncoding[object]:
        """A new batch whose entries are int64 tensors. Raises OptionError for rows of different lengths."""
        tensors: dict[str, object] = {}
        for name, value in self.data.items():
            numbers = cast("Nested", value)
            tensors[name] = nested_to_tensor(
                [numbers] if prepend_batch_axis else numbers, tensor_type, name=name
            )
        return BatchEncoding(tensors, self._encodings, details=self._details)

    def to(self, device: str | int | torch.device, *, non_blocking: bool = False) -> BatchEncoding[V]:
        """This batch with its torch tensors moved to `device`; other entries stay as they are."""
        import torch

        moved = {
            name: value.to(device, non_blocking=non_blocking)
            for name, value in self.data.items()
            if isinstance(value, torch.Tensor)
        }
        self.data.update(cast("dict[str, V]", moved))
        return self
