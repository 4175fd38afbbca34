"""What a tokenizer knows without reading text: tokens and ids, roles, and the settings it was loaded with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NoReturn, final, overload

from hf_tokenize.decode import check_ids
from hf_tokenize.engine import Engine
from hf_tokenize.errors import FrozenTokenizerError, TokenIdError
from hf_tokenize.options import Side
from hf_tokenize.settings import Settings
from hf_tokenize.special import AddedToken, Role, SpecialTokens


@final
class _RoleToken:
    """A read-only attribute: the token that plays a role, or None."""

    def __init__(self, role: Role) -> None:
        self._role = role

    def __get__(self, tokenizer: TokenTable, owner: type[TokenTable]) -> str | None:
        return tokenizer.special_tokens.role(self._role)


@final
class _RoleId:
    """A read-only attribute: the id of the token that plays a role, or None."""

    def __init__(self, role: Role) -> None:
        self._role = role

    def __get__(self, tokenizer: TokenTable, owner: type[TokenTable]) -> int | None:
        return tokenizer.special_id(self._role)


class TokenTable:
    """The read-only half of a tokenizer. Nothing can be assigned to it after it was made."""

    __slots__ = ("_engine", "_ids", "_settings")
    _engine: Engine
    _settings: Settings
    _ids: Mapping[str, int | None]

    def __init__(self, engine: Engine, settings: Settings) -> None:
        ids = {role: engine.token_to_id(token) for role, token in settings.special.as_map().items()}
        self._keep(_engine=engine, _settings=settings, _ids=ids)

    def _keep(self, **state: object) -> None:
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
        return f"{type(self).__name__}({name}{self._engine.kind}, {len(self)} tokens, {special})"

    # Tokens and ids

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
    def engine(self) -> Engine:
        """What turns text into ids; it cannot be changed either."""
        return self._engine

    @property
    def added_vocabulary(self) -> Mapping[str, int]:
        """The tokens that text is split at before the subword model, with their ids."""
        return {token.content: id for id, token in self._engine.added_tokens().items()}

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
