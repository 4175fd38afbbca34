"""Special tokens as typed values: which token plays which role."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Final, Literal, TypeAlias, assert_never, get_args

Role: TypeAlias = Literal[
    "bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token"
]
ROLES: Final[tuple[Role, ...]] = get_args(Role)


@dataclass(frozen=True, kw_only=True, slots=True)
class AddedToken:
    """A token that text is split at before the subword model sees it.

    `single_word`: matches only between word boundaries. `lstrip`, `rstrip`: takes the white space before or
    after it along. `normalized`: looked for in the normalised text. `special`: dropped by
    `skip_special_tokens`.
    """

    content: str
    single_word: bool = False
    lstrip: bool = False
    rstrip: bool = False
    normalized: bool = False
    special: bool = True

    def __str__(self) -> str:
        return self.content


@dataclass(frozen=True, kw_only=True, slots=True)
class SpecialTokens:
    """The content of the token that plays each role, or None; `named` holds a model's own roles
    (`image_token`),
    `extra` special tokens without a role."""

    bos_token: str | None = None
    eos_token: str | None = None
    unk_token: str | None = None
    sep_token: str | None = None
    pad_token: str | None = None
    cls_token: str | None = None
    mask_token: str | None = None
    named: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    extra: tuple[str, ...] = ()

    def role(self, role: str) -> str | None:
        """The token that plays `role`, one of the seven usual ones or a model's own; None where nobody
        does.
        """
        match role:
            case "bos_token":
                return self.bos_token
            case "eos_token":
                return self.eos_token
            case "unk_token":
                return self.unk_token
            case "sep_token":
                return self.sep_token
            case "pad_token":
                return self.pad_token
            case "cls_token":
                return self.cls_token
            case "mask_token":
                return self.mask_token
            case _:
                return self.named.get(role)

    def with_role(self, role: Role, token: str | None) -> SpecialTokens:
        """These tokens, with `token` in `role`."""
        match role:
            case "bos_token":
                return replace(self, bos_token=token)
            case "eos_token":
                return replace(self, eos_token=token)
            case "unk_token":
                return replace(self, unk_token=token)
            case "sep_token":
                return replace(self, sep_token=token)
            case "pad_token":
                return replace(self, pad_token=token)
            case "cls_token":
                return replace(self, cls_token=token)
            case "mask_token":
                return replace(self, mask_token=token)
            case _:
                assert_never(role)

    def renamed(self, names: Mapping[str, str]) -> SpecialTokens:
        """These roles, with tokens spelled as `names` says."""
        special = self
        for role in ROLES:
            token = self.role(role)
            special = special.with_role(role, None if token is None else names.get(token, token))
        return replace(
            special,
            named=MappingProxyType({role: names.get(token, token) for role, token in self.named.items()}),
            extra=tuple(names.get(token, token) for token in self.extra),
        )

    def as_map(self) -> dict[str, str]:
        """Role to token, for the roles that are filled; the form of `special_tokens_map.json`."""
        usual = {role: token for role in ROLES if (token := self.role(role)) is not None}
        return usual | dict(self.named)

    def all(self) -> tuple[str, ...]:
        """Every special token once, in the order of the roles, then the model's own, then the extra ones."""
        return tuple(dict.fromkeys((*self.as_map().values(), *self.extra)))


def assign_roles(special: SpecialTokens, tokens: Mapping[str, str | Sequence[str]]) -> SpecialTokens:
    """`special` with tokens in roles, by name; a list under `extra_special_tokens` is added to the extra ones."""
    named = dict(special.named)
    extra = list(special.extra)
    for role, value in tokens.items():
        if not isinstance(value, str):
            extra += value
        elif role in ROLES:
            special = special.with_role(role, value)
        else:
            named[role] = value
    return replace(special, named=MappingProxyType(named), extra=tuple(dict.fromkeys(extra)))
