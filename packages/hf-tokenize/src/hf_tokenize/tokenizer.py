"""The tokenizer: an engine and its settings, neither of which ever changes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, NoReturn, TypeAlias, Unpack, cast, final, overload

from hf_tokenize.batch import BatchEncoding
from hf_tokenize.decode import IdBatch, Ids, as_ids, check_ids, clean_up_spaces, decode_batch
from hf_tokenize.encode import Plan, encode
from hf_tokenize.engine import Engine
from hf_tokenize.errors import FrozenTokenizerError, TokenIdError
from hf_tokenize.inputs import TextInput, Words, to_items
from hf_tokenize.options import (
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
from hf_tokenize.special import AddedToken, Role, SpecialTokens

if TYPE_CHECKING:
    import torch

    from hf_tokenize.tensors import NumpyArray

TextBatch: TypeAlias = (
    "list[str] | tuple[str, ...] | list[list[str]] | list[tuple[str, str]] | list[tuple[Words, Words]]"
)


@final
class _RoleToken:
    """A read-only attribute: the token that plays a role, or None."""

    def __init__(self, role: Role) -> None:
        self._role = role

    def __get__(self, tokenizer: PreTrainedTokenizer, owner: type[PreTrainedTokenizer]) -> str | None:
        return tokenizer.special_tokens.role(self._role)


@final
class _RoleId:
    """A read-only attribute: the id of the token that plays a role, or None."""

    def __init__(self, role: Role) -> None:
        self._role = role

    def __get__(self, tokenizer: PreTrainedTokenizer, owner: type[PreTrainedTokenizer]) -> int | None:
        return tokenizer.special_id(self._role)


@final
class PreTrainedTokenizer:
    """Turns text into what a model reads, and token ids into text.

    Immutable: options are given per call, `replace` and `add_tokens` return new tokenizers, and any number of
    threads may use one object. Make one with `AutoTokenizer.from_pretrained`.
    """

    __slots__ = ("_defaults", "_engine", "_ids", "_settings")
    _engine: Engine
    _settings: Settings
    _defaults: Defaults
    _ids: Mapping[str, int | None]

    def __init__(self, engine: Engine, settings: Settings) -> None:
        special = settings.special
        ids = {role: engine.token_to_id(token) for role, token in special.as_map().items()}
        defaults = Defaults(
            settings.model_max_length,
            settings.padding_side,
            settings.truncation_side,
            special.pad_token,
            ids.get("pad_token"),
            settings.pad_token_type_id,
        )
        state = {"_engine": engine, "_settings": settings, "_ids": ids, "_defaults": defaults}
        for name, value in state.items():
            object.__setattr__(self, name, value)  # the only assignments there ever are

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise FrozenTokenizerError(
            f"a tokenizer cannot be changed, and {name} was assigned to",
            fix=f"tokenizer = tokenizer.replace({name}=...), or pass the option to the call",
        )

    def __repr__(self) -> str:
        special = ", ".join(f"{role}={token!r}" for role, token in self.special_tokens.as_map().items())
        name = f"{self.name_or_path!r}, " if self.name_or_path else ""
        return f"PreTrainedTokenizer({name}{self._engine.kind}, {len(self)} tokens, {special})"

    # Text to ids

    @overload
    def __call__(
        self,
        text: TextInput,
        text_pair: TextInput | None = ...,
        *,
        return_tensors: Literal["np"],
        **options: Unpack[EncodeOptions],
    ) -> BatchEncoding[NumpyArray]: ...
    @overload
    def __call__(
        self,
        text: TextInput,
        text_pair: TextInput | None = ...,
        *,
        return_tensors: Literal["pt"],
        **options: Unpack[EncodeOptions],
    ) -> BatchEncoding[torch.Tensor]: ...
    @overload
    def __call__(
        self,
        text: str,
        text_pair: str | None = ...,
        *,
        return_tensors: None = ...,
        **options: Unpack[EncodeOptions],
    ) -> BatchEncoding[list[int]]: ...
    @overload
    def __call__(
        self,
        text: TextBatch,
        text_pair: TextBatch | None = ...,
        *,
        return_tensors: None = ...,
        **options: Unpack[EncodeOptions],
    ) -> BatchEncoding[list[list[int]]]: ...
    @overload
    def __call__(
        self,
        text: TextInput,
        text_pair: TextInput | None = ...,
        *,
        return_tensors: TensorType | None,
        **options: Unpack[EncodeOptions],
    ) -> BatchEncoding[object]: ...
    def __call__(
        self,
        text: TextInput,
        text_pair: TextInput | None = None,
        *,
        return_tensors: TensorType | None = None,
        **options: Unpack[EncodeOptions],
    ) -> BatchEncoding[Any]:
        """A batch with `input_ids`, `attention_mask` and what else the model reads, one row per text.

        `text` is a text, or a list of texts, pairs, or word lists (`is_split_into_words=True`); `text_pair`
        the second texts. One text gives flat lists, a list of texts lists of lists, `return_tensors`
        tensors of shape (texts, tokens), and `return_overflowing_tokens` always rows. `EncodeOptions`
        describes the options.

        Raises TextInputError, TextEncodingError, OptionError, NoPadTokenError.
        """
        request = make_request(options)
        plan = self._plan(request)
        items, batched = to_items(text, text_pair, words=request.is_split_into_words)
        return encode(self._engine_for(request), items, plan, batched=batched, tensors=return_tensors)

    def _engine_for(self, request: Request) -> Engine:
        split = request.split_special_tokens
        wanted = self._settings.split_special_tokens if split is None else split
        return self._engine.splitting() if wanted else self._engine

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
        self, text: str | Words, text_pair: str | Words | None = None, **options: Unpack[EncodeOptions]
    ) -> list[int]:
        """The ids of one text or pair. Raises as calling the tokenizer does."""
        return cast("list[int]", self(text, text_pair, return_tensors=None, **options)["input_ids"])

    def tokenize(self, text: str, pair: str | None = None, *, add_special_tokens: bool = False) -> list[str]:
        """The tokens of a text as strings, in the spelling of the vocabulary; without special tokens by
        default.
        """
        return self(text, pair, add_special_tokens=add_special_tokens).tokens()

    def num_special_tokens_to_add(self, pair: bool = False) -> int:
        """How many tokens the template adds to a text, or to a pair."""
        return self._engine.special_token_count(pair=pair)

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
        texts = decode_batch(self._engine, batch, skip_special_tokens=skip)
        wanted = self._settings.clean_up_tokenization_spaces if clean is None else clean
        # The rules are made for word-based vocabularies; in BPE a space before punctuation is meant.
        return [clean_up_spaces(text) for text in texts] if wanted and self._engine.kind != "BPE" else texts

    @overload
    def convert_tokens_to_ids(self, tokens: str) -> int: ...
    @overload
    def convert_tokens_to_ids(self, tokens: list[str] | tuple[str, ...]) -> list[int]: ...
    def convert_tokens_to_ids(self, tokens: str | list[str] | tuple[str, ...]) -> int | list[int]:
        """The id of a token, or of each of several; of the unknown token for one that is not there.

        Raises TokenIdError for a missing token where the tokenizer has no unknown token.
        """
        return self._id_of(tokens) if isinstance(tokens, str) else [self._id_of(token) for token in tokens]

    def _id_of(self, token: str) -> int:
        found = self._engine.token_to_id(token)
        id = self.unk_token_id if found is None else found
        if id is None:
            raise TokenIdError(
                f"{token!r} is not in the vocabulary, and this tokenizer has no unknown token",
                fix="add it with tokenizer.add_tokens([...])",
            )
        return id

    @overload
    def convert_ids_to_tokens(self, ids: int, skip_special_tokens: bool = ...) -> str: ...
    @overload
    def convert_ids_to_tokens(self, ids: Sequence[int], skip_special_tokens: bool = ...) -> list[str]: ...
    def convert_ids_to_tokens(
        self, ids: int | Sequence[int], skip_special_tokens: bool = False
    ) -> str | list[str]:
        """The token an id stands for, or each of several ids. Raises TokenIdError."""
        if isinstance(ids, int):
            return self._token_of(ids)
        check_ids(self._engine, ids)
        skip = set(self.all_special_ids) if skip_special_tokens else ()
        return [self._token_of(id) for id in ids if id not in skip]

    def _token_of(self, id: int) -> str:
        check_ids(self._engine, (id,))
        token = self._engine.id_to_token(id)
        if token is None:
            raise TokenIdError(f"id {id} is a hole in the vocabulary: no token has it", id=id)
        return token

    def convert_tokens_to_string(self, tokens: Sequence[str]) -> str:
        """The text that tokens, as `tokenize` gives them, stand for."""
        return self._engine.join(tokens)

    # Vocabulary and special tokens

    @property
    def model_kind(self) -> str:
        """The subword model: BPE, WordPiece, Unigram, WordLevel, Bytes or CodePoints."""
        return self._engine.kind

    @property
    def vocab_size(self) -> int:
        """The size of the model's own vocabulary, without added tokens; `len(tokenizer)` counts them too."""
        return self._engine.sizes()[0]

    def __len__(self) -> int:
        return self._engine.sizes()[1]

    def __bool__(self) -> bool:
        return True

    def get_vocab(self) -> dict[str, int]:
        """Every token with its id, added ones included; a new dict."""
        return self._engine.vocab()

    @property
    def added_tokens_decoder(self) -> Mapping[int, AddedToken]:
        """The tokens that text is split at before the subword model, by id."""
        return self._engine.added_tokens()

    @property
    def special_tokens(self) -> SpecialTokens:
        """Which token plays which role, a model's own roles included
        (`special_tokens.named["image_token"]`).
        """
        return self._settings.special

    @property
    def special_tokens_map(self) -> dict[str, str]:
        """Role to token, for the roles that are filled."""
        return self._settings.special.as_map()

    @property
    def all_special_tokens(self) -> list[str]:
        """Every special token once."""
        return list(self._settings.special.all())

    @property
    def all_special_ids(self) -> list[int]:
        """The ids of `all_special_tokens`."""
        return [id for t in self._settings.special.all() if (id := self._engine.token_to_id(t)) is not None]

    def special_id(self, role: Role | str) -> int | None:
        """The id of the token that plays `role`, such as "image_token"; None where nobody does."""
        return self._ids.get(role)

    bos_token, bos_token_id = _RoleToken("bos_token"), _RoleId("bos_token")
    eos_token, eos_token_id = _RoleToken("eos_token"), _RoleId("eos_token")
    unk_token, unk_token_id = _RoleToken("unk_token"), _RoleId("unk_token")
    sep_token, sep_token_id = _RoleToken("sep_token"), _RoleId("sep_token")
    pad_token, pad_token_id = _RoleToken("pad_token"), _RoleId("pad_token")
    cls_token, cls_token_id = _RoleToken("cls_token"), _RoleId("cls_token")
    mask_token, mask_token_id = _RoleToken("mask_token"), _RoleId("mask_token")

    # What it was loaded with

    @property
    def settings(self) -> Settings:
        """Everything beside the engine, as one value."""
        return self._settings

    @property
    def name_or_path(self) -> str:
        """The folder or Hub id it came from."""
        return self._settings.name_or_path

    @property
    def model_max_length(self) -> int:
        """The longest input the model takes; above 1e20 where nothing says so."""
        return self._settings.model_max_length

    @property
    def model_input_names(self) -> tuple[str, ...]:
        """The columns that a call returns by default."""
        return self._settings.model_input_names

    @property
    def padding_side(self) -> Side:
        return self._settings.padding_side

    @property
    def truncation_side(self) -> Side:
        return self._settings.truncation_side

    @property
    def pad_token_type_id(self) -> int:
        return self._settings.pad_token_type_id

    @property
    def chat_template(self) -> str | None:
        """The default chat template; `settings.chat_templates` has all of them by name."""
        return self._settings.chat_templates.get("default")

    def replace(self, **options: Unpack[TokenizerOptions]) -> PreTrainedTokenizer:
        """A tokenizer with other settings on the same engine.

        A special token must be in the vocabulary already; see `add_tokens`. Raises UnknownOptionError,
        TokenIdError.
        """
        settings = apply_options(self._settings, options)
        for role, token in settings.special.as_map().items():
            if self._engine.token_to_id(token) is None:
                raise TokenIdError(
                    f"{role}={token!r} is not in the vocabulary",
                    fix=f"tokenizer = tokenizer.add_special_tokens({{{role!r}: {token!r}}})",
                )
        return PreTrainedTokenizer(self._engine, settings)
