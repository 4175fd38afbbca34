"""The tokenizer: an engine and its settings, neither of which ever changes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, Unpack, cast, final, overload

from hf_tokenize.batch import BatchEncoding
from hf_tokenize.cleanup import clean_up_spaces
from hf_tokenize.decode import IdBatch, Ids, as_ids, decode_batch
from hf_tokenize.encode import Plan, encode, encode_plainly
from hf_tokenize.engine import Engine
from hf_tokenize.errors import TokenIdError
from hf_tokenize.inputs import TextInput, Words, to_items
from hf_tokenize.languages import by_language
from hf_tokenize.options import (
    DEFAULT_REQUEST,
    Defaults,
    EncodeOptions,
    PaddingStrategy,
    Request,
    Side,
    TensorType,
    check_multiple,
    make_request,
    plan_padding,
    plan_truncation,
)
from hf_tokenize.padding import Encoded, pad_rows
from hf_tokenize.settings import Settings, TokenizerOptions, apply_options
from hf_tokenize.special import AddedToken, assign_roles
from hf_tokenize.table import TokenTable

if TYPE_CHECKING:
    import torch

    from hf_tokenize.chat.apply import ChatOptions
    from hf_tokenize.chat.render import Conversation
    from hf_tokenize.chat.response import ParsedResponse
    from hf_tokenize.stream import TextStream
    from hf_tokenize.tensors import NumpyArray

TextBatch: TypeAlias = (
    "list[str] | tuple[str, ...] | list[list[str]] | list[tuple[str, str]] | list[tuple[Words, Words]]"
)


# What only some programs use (chats, streams, training, saving) is imported by the methods that need it.
@final
class PreTrainedTokenizer(TokenTable):
    """Turns text into what a model reads, and token ids into text.

    Immutable: options are given per call, `replace` and `add_tokens` return new tokenizers, and any number of
    threads may use one object. Make one with `AutoTokenizer.from_pretrained`.
    """

    __slots__ = ("_defaults", "_own", "_plain", "_second", "_target")
    _own: Engine
    _second: Engine | None
    _target: Engine
    _defaults: Defaults
    _plain: Plan

    def __init__(self, engine: Engine, settings: Settings, *, target: Engine | None = None) -> None:
        super().__init__(engine, settings)
        own, other = by_language(engine, target, settings)
        defaults = Defaults(
            settings.model_max_length,
            settings.padding_side,
            settings.truncation_side,
            settings.special.pad_token,
            self.pad_token_id,
            settings.pad_token_type_id,
        )
        self._keep(_target=other, _second=target, _defaults=defaults)
        self._keep(
            _own=own.splitting() if settings.split_special_tokens else own, _plain=self._plan(DEFAULT_REQUEST)
        )

    # Text to ids

    @overload
    def __call__(
        self,
        text: TextInput,
        text_pair: TextInput | None = ...,
        *,
        return_tensors: Literal["np"],
        return_overflowing_tokens: bool = ...,
        is_split_into_words: bool = ...,
        **options: Unpack[EncodeOptions],
    ) -> BatchEncoding[NumpyArray]: ...
    @overload
    def __call__(
        self,
        text: TextInput,
        text_pair: TextInput | None = ...,
        *,
        return_tensors: Literal["pt"],
        return_overflowing_tokens: bool = ...,
        is_split_into_words: bool = ...,
        **options: Unpack[EncodeOptions],
    ) -> BatchEncoding[torch.Tensor]: ...
    @overload
    def __call__(
        self,
        text: TextInput,
        text_pair: TextInput | None = ...,
        *,
        return_overflowing_tokens: Literal[True],
        return_tensors: None = ...,
        is_split_into_words: bool = ...,
        **options: Unpack[EncodeOptions],
    ) -> BatchEncoding[list[list[int]]]: ...
    @overload
    def __call__(
        self,
        text: Words,
        text_pair: Words | None = ...,
        *,
        is_split_into_words: Literal[True],
        return_tensors: None = ...,
        return_overflowing_tokens: Literal[False] = ...,
        **options: Unpack[EncodeOptions],
    ) -> BatchEncoding[list[int]]: ...
    @overload
    def __call__(
        self,
        text: str,
        text_pair: str | None = ...,
        *,
        return_tensors: None = ...,
        return_overflowing_tokens: Literal[False] = ...,
        **options: Unpack[EncodeOptions],
    ) -> BatchEncoding[list[int]]: ...
    @overload
    def __call__(
        self,
        text: TextBatch,
        text_pair: TextBatch | None = ...,
        *,
        return_tensors: None = ...,
        return_overflowing_tokens: Literal[False] = ...,
        is_split_into_words: Literal[False] = ...,
        **options: Unpack[EncodeOptions],
    ) -> BatchEncoding[list[list[int]]]: ...
    @overload
    def __call__(
        self,
        text: TextInput | None = ...,
        text_pair: TextInput | None = ...,
        *,
        return_tensors: TensorType | None = ...,
        return_overflowing_tokens: bool = ...,
        is_split_into_words: bool = ...,
        **options: Unpack[EncodeOptions],
    ) -> BatchEncoding[Any]: ...
    def __call__(
        self,
        text: TextInput | None = None,
        text_pair: TextInput | None = None,
        *,
        return_tensors: TensorType | None = None,
        return_overflowing_tokens: bool = False,
        is_split_into_words: bool = False,
        **options: Unpack[EncodeOptions],
    ) -> BatchEncoding[Any]:
        """A batch with `input_ids`, `attention_mask` and what else the model reads, one row per text.

        `text` is a text, or a list of texts, pairs, or word lists (`is_split_into_words=True`); `text_pair` the
        second texts. One text gives flat lists, a list of texts lists of lists, `return_tensors` tensors of shape
        (texts, tokens), and `return_overflowing_tokens`, which keeps what truncation cuts off, always rows.
        `EncodeOptions` describes the other options.

        Raises TextInputError, TextEncodingError, OptionError, NoPadTokenError.
        """
        shape_asked = return_overflowing_tokens or is_split_into_words or return_tensors is not None
        if not options and not shape_asked and type(text) is str and text_pair is None:
            return encode_plainly(self._own, text, self._plain)
        request = make_request(options, overflow=return_overflowing_tokens, words=is_split_into_words)
        plan = self._plan(request)
        if request.text_target is not None:
            return self._with_target(text, text_pair, plan, return_tensors)
        items, batched = to_items(text, text_pair, words=is_split_into_words)
        return encode(self._engine_for(request), items, plan, batched=batched, tensors=return_tensors)

    def _with_target(
        self, text: TextInput | None, text_pair: TextInput | None, plan: Plan, tensors: TensorType | None
    ) -> BatchEncoding[object]:
        """The texts, with the targets' ids as `labels`; the targets alone when there are no texts."""
        request = plan.request
        targets, batched = to_items(request.text_target, None, words=request.is_split_into_words)
        labels = encode(self._target, targets, plan, batched=batched, tensors=tensors)
        if text is None:
            return labels
        items, batched = to_items(text, text_pair, words=request.is_split_into_words)
        batch = encode(self._engine_for(request), items, plan, batched=batched, tensors=tensors)
        batch["labels"] = labels.input_ids
        return batch

    def _engine_for(self, request: Request) -> Engine:
        split = request.split_special_tokens
        if split is False and self._settings.split_special_tokens:
            return by_language(self._engine, self._second, self._settings)[0]
        return self._own.splitting() if split else self._own

    def _plan(self, request: Request) -> Plan:
        truncation = plan_truncation(request, self._defaults)
        padding = plan_padding(request, self._defaults)
        check_multiple(truncation, padding)
        names = self._settings.model_input_names
        types, mask = request.return_token_type_ids, request.return_attention_mask
        return Plan(
            request,
            truncation,
            padding,
            "token_type_ids" in names if types is None else types,
            "attention_mask" in names if mask is None else mask,
        )

    def encode(
        self,
        text: str | Words,
        text_pair: str | Words | None = None,
        *,
        is_split_into_words: bool = False,
        **options: Unpack[EncodeOptions],
    ) -> list[int]:
        """The ids of one text or pair. Raises as calling the tokenizer does."""
        batch = self(text, text_pair, is_split_into_words=is_split_into_words, **options)
        return cast("list[int]", batch["input_ids"])

    def tokenize(self, text: str, pair: str | None = None, *, add_special_tokens: bool = False) -> list[str]:
        """The tokens of a text in the spelling of the vocabulary; without special tokens by default."""
        return self(text, pair, add_special_tokens=add_special_tokens, return_offsets_mapping=True).tokens()

    def num_special_tokens_to_add(self, pair: bool = False) -> int:
        """How many tokens the template adds to a text, or to a pair."""
        return self._own.special_token_count(pair=pair)

    def pad(
        self,
        encoded_inputs: Encoded,
        padding: bool | PaddingStrategy = True,
        *,
        max_length: int | None = None,
        pad_to_multiple_of: int | None = None,
        padding_side: Side | None = None,
        return_attention_mask: bool | None = None,
        return_tensors: TensorType | None = None,
    ) -> BatchEncoding[object]:
        """Rows encoded before, as one padded batch: what a collate function needs.

        Takes a mapping of columns or a list of rows. Columns that do not run along the tokens pass through.
        Raises OptionError, NoPadTokenError.
        """
        request = Request(
            padding=padding,
            max_length=max_length,
            pad_to_multiple_of=pad_to_multiple_of,
            padding_side=padding_side,
        )
        names = self._settings.model_input_names
        return pad_rows(
            encoded_inputs,
            plan_padding(request, self._defaults),
            main=names[0],
            attention_mask="attention_mask" in names
            if return_attention_mask is None
            else return_attention_mask,
            tensors=return_tensors,
        )

    # Ids to text

    def decode(
        self,
        token_ids: Ids,
        skip_special_tokens: bool = False,
        clean_up_tokenization_spaces: bool | None = None,
    ) -> str:
        """The text that ids stand for. Raises TokenIdError, which names the id and its position."""
        return self._decode([as_ids(token_ids)], skip_special_tokens, clean_up_tokenization_spaces)[0]

    def batch_decode(
        self,
        sequences: IdBatch,
        skip_special_tokens: bool = False,
        clean_up_tokenization_spaces: bool | None = None,
    ) -> list[str]:
        """The text of each row of ids. Raises TokenIdError."""
        rows = cast(
            "Sequence[Ids]", sequences if isinstance(sequences, list) else as_ids(cast("Ids", sequences))
        )
        return self._decode([as_ids(row) for row in rows], skip_special_tokens, clean_up_tokenization_spaces)

    def _decode(self, batch: list[list[int]], skip: bool, clean: bool | None) -> list[str]:
        texts = decode_batch(self._target, batch, skip_special_tokens=skip)
        wanted = self._settings.clean_up_tokenization_spaces if clean is None else clean
        # The rules are made for word-based vocabularies; in BPE a space before punctuation is meant.
        return [clean_up_spaces(text) for text in texts] if wanted and self._engine.kind != "BPE" else texts

    # Conversations

    @overload
    def apply_chat_template(
        self,
        conversation: Conversation | Sequence[Conversation],
        *,
        tokenize: Literal[False],
        **options: Unpack[ChatOptions],
    ) -> str | list[str]: ...
    @overload
    def apply_chat_template(
        self,
        conversation: Conversation | Sequence[Conversation],
        *,
        tokenize: Literal[True] = ...,
        **options: Unpack[ChatOptions],
    ) -> BatchEncoding[Any]: ...
    def apply_chat_template(
        self,
        conversation: Conversation | Sequence[Conversation],
        *,
        tokenize: bool = True,
        **options: Unpack[ChatOptions],
    ) -> BatchEncoding[Any] | str | list[str]:
        """A conversation, or several, as the model reads it: token ids without a second beginning-of-text token.

        With `tokenize=False` the text itself; do not encode it again with special tokens, it has them. `ChatOptions`
        describes the options. Raises ChatTemplateError, ChatTemplateLimitError, OptionError.
        """
        from hf_tokenize.chat.apply import apply_chat_template

        return apply_chat_template(self, conversation, options, tokenize=tokenize)

    def parse_response(self, response: str | Ids) -> ParsedResponse:
        """A model's reply, as text or ids, taken apart into reasoning, tool calls and content."""
        from hf_tokenize.chat.response import parse_response

        text = response if isinstance(response, str) else self.decode(response)
        return parse_response(text, special=self._settings.special.all())

    # Text while it is generated

    def stream(self, *, skip_special_tokens: bool = False) -> TextStream:
        """A decoder for one growing sequence of ids, which never returns half a character."""
        from hf_tokenize.stream import TextStream

        return TextStream(self._target, skip_special_tokens=skip_special_tokens)

    def streams(self, count: int, *, skip_special_tokens: bool = False) -> tuple[TextStream, ...]:
        """One stream for each row of a batch."""
        return tuple(self.stream(skip_special_tokens=skip_special_tokens) for _ in range(count))

    # Other tokenizers made from this one

    def replace(self, **options: Unpack[TokenizerOptions]) -> PreTrainedTokenizer:
        """A tokenizer with other settings on the same engine.

        A special token must be in the vocabulary already; see `add_special_tokens`. Raises UnknownOptionError,
        TokenIdError.
        """
        settings = apply_options(self._settings, options)
        for role, token in settings.special.as_map().items():
            if self._engine.token_to_id(token) is None:
                raise TokenIdError(
                    f"{role}={token!r} is not in the vocabulary",
                    fix=f"tokenizer = tokenizer.add_special_tokens({{{role!r}: {token!r}}})",
                )
        return self._with(self._engine, settings)

    def _with(self, base: Engine, settings: Settings) -> PreTrainedTokenizer:
        return PreTrainedTokenizer(base, settings, target=self._second)

    def add_tokens(
        self, tokens: Sequence[str | AddedToken], *, special_tokens: bool = False
    ) -> PreTrainedTokenizer:
        """A tokenizer that also splits text at `tokens`; this one stays as it is.

        Tokens that are not in the vocabulary get the next free ids: resize the model's embedding to `len()` of
        the result.
        """
        made = [
            AddedToken(content=token, special=special_tokens, normalized=not special_tokens)
            if isinstance(token, str)
            else token
            for token in tokens
        ]
        return self._with(self._engine.adding(made), self._settings)

    def add_special_tokens(self, tokens: Mapping[str, str | Sequence[str]]) -> PreTrainedTokenizer:
        """A tokenizer in which `tokens` play roles, such as `{"pad_token": "[PAD]"}`; added where they are new.

        `extra_special_tokens` takes a list, other names than the seven usual roles are the model's own.
        """
        special = assign_roles(self._settings.special, tokens)
        grown = self.add_tokens(special.all(), special_tokens=True)
        return self._with(grown._engine, replace(self._settings, special=special))

    def train_new_from_iterator(
        self,
        text_iterator: Iterable[str] | Iterable[Sequence[str]],
        vocab_size: int,
        *,
        length: int | None = None,
        new_special_tokens: Sequence[str] = (),
        special_tokens_map: Mapping[str, str] | None = None,
    ) -> PreTrainedTokenizer:
        """A tokenizer of the same kind, with a vocabulary of at most `vocab_size` tokens learnt from other text.

        `special_tokens_map` gives special tokens new spellings; `length` is the number of texts, if known.
        """
        from hf_tokenize.train import train_engine

        renamed = special_tokens_map or {}
        engine = train_engine(
            self._engine.to_json(),
            text_iterator,
            vocab_size,
            new_special_tokens=new_special_tokens,
            renamed=renamed,
            added=self._engine.added_tokens(),
            length=length,
        )
        special = self._settings.special.renamed(renamed)
        special = replace(special, extra=(*special.extra, *new_special_tokens))
        return PreTrainedTokenizer(engine, replace(self._settings, special=special))

    # Files

    def save_pretrained(self, save_directory: str | Path) -> tuple[Path, ...]:
        """Writes the tokenizer's files into a folder and returns their paths; the peer reads them too."""
        from hf_tokenize.save import save_tokenizer

        return save_tokenizer(self, save_directory)

    def push_to_hub(
        self, repo_id: str, *, token: str | None = None, commit_message: str | None = None
    ) -> str:
        """Uploads the tokenizer's files to a Hub repository; returns the address of the commit."""
        from hf_tokenize.save import push_tokenizer

        return push_tokenizer(self, repo_id, token=token, commit_message=commit_message)

    def to_json(self) -> str | None:
        """The text of a `tokenizer.json`; None for a tokenizer that this format cannot express."""
        from hf_tokenize.save import with_sections

        text = self._own.to_json()
        if text is None:
            return None
        return with_sections(text, self._settings.truncation_section, self._settings.padding_section)

    def fingerprint(self) -> str:
        """A short name for everything that decides which ids a text becomes; equal for equal tokenizers."""
        from hf_tokenize.fingerprint import fingerprint

        return fingerprint(self._engine)
