"""Rotary position settings in one form, whichever of the format's spellings they arrive in.

Older files keep `rope_theta`, `rope_scaling` (with `type` or `rope_type`) and `partial_rotary_factor` apart;
newer ones keep all of it in `rope_parameters`, nested by layer type where layers differ. We write that.
"""

from collections.abc import Callable, Mapping
from typing import ClassVar, Literal, Never, cast

from hf_config.errors import InconsistentFieldsError, InvalidFieldError
from hf_config.record import Record, completed, record

RopeType = Literal["default", "linear", "dynamic", "yarn", "longrope", "llama3", "proportional", "axial"]

_NEEDS: Mapping[str, tuple[str, ...]] = {
    "linear": ("factor",),
    "dynamic": ("factor",),
    "yarn": ("factor",),
    "longrope": ("short_factor", "long_factor"),
    "llama3": ("factor", "low_freq_factor", "high_freq_factor"),
}
_NEEDS_ORIGINAL_LENGTH = ("yarn", "longrope", "llama3")


@record
class RopeParameters(Record):
    """How positions rotate queries and keys: base wavelength, rotated share of a head, scaling."""

    OMIT_NULL: ClassVar[bool] = True

    rope_type: RopeType = "default"
    rope_theta: float = 10000.0
    partial_rotary_factor: float | None = None
    factor: float | None = None
    original_max_position_embeddings: int | None = None
    attention_factor: float | None = None
    beta_fast: float | None = None
    beta_slow: float | None = None
    mscale: float | None = None
    mscale_all_dim: float | None = None
    truncate: bool | None = None
    short_factor: tuple[float, ...] | None = None
    long_factor: tuple[float, ...] | None = None
    short_mscale: float | None = None
    long_mscale: float | None = None
    low_freq_factor: float | None = None
    high_freq_factor: float | None = None
    alpha: float | None = None
    llama_4_scaling_beta: float | None = None
    mrope_section: tuple[int, ...] | None = None
    mrope_interleaved: bool | None = None

    def check(self) -> None:
        for name in _NEEDS.get(self.rope_type, ()):
            if vars(self)[name] is None:
                raise InvalidFieldError(
                    "RopeParameters",
                    name,
                    None,
                    f"a value, which rope_type {self.rope_type!r} needs",
                    fix=f"set {name}",
                )
        if self.rope_theta <= 0:
            raise InvalidFieldError("RopeParameters", "rope_theta", self.rope_theta, "a number above 0")
        if self.partial_rotary_factor is not None and not 0 < self.partial_rotary_factor <= 1:
            raise InvalidFieldError(
                "RopeParameters",
                "partial_rotary_factor",
                self.partial_rotary_factor,
                "a share of the head in (0, 1]",
            )
        if self.factor is not None and self.factor <= 0:
            raise InvalidFieldError("RopeParameters", "factor", self.factor, "a number above 0")


def rope(
    *,
    theta: float = 10000.0,
    partial: float | Callable[[Never], float] | None = None,
    theta_key: str = "rope_theta",
    partial_key: str = "partial_rotary_factor",
    rotary_dim_key: str = "",
    default: Mapping[str, object] | None = None,
    renamed_types: Mapping[str, str] | None = None,
) -> RopeParameters:
    """A field of one RopeParameters for all layers.

    `theta` and `partial` are the family's defaults, `theta_key` and `partial_key` their names in older files;
    `rotary_dim_key` names the rotated part of a head as a size; `default` stands in when a file says nothing;
    `renamed_types` are the family's own names of scaling types.
    """

    keys = ("rope_scaling", theta_key, partial_key, rotary_dim_key)

    def run(owner: Record, given: object, absorbed: Mapping[str, object]) -> object:
        raw = {**_settings(owner, given), **_settings(owner, absorbed.get("rope_scaling"))}
        raw = raw or dict(default or {})
        _adopt(owner, raw, "rope_theta", absorbed, theta_key, theta)
        rotated = absorbed.get(rotary_dim_key)
        share: object = partial(cast(Never, owner)) if callable(partial) else partial
        if rotated is not None:
            share = _share_of_head(owner, rotary_dim_key, rotated)
        _adopt(owner, raw, "partial_rotary_factor", absorbed, partial_key, share)
        if renamed_types:
            raw["rope_type"] = renamed_types.get(str(raw.get("rope_type")), raw.get("rope_type", "default"))
        return _made(owner, raw)

    settings: RopeParameters = completed(run, absorbs=tuple(filter(None, keys)))
    return settings


def layered_rope(
    *,
    theta_keys: Mapping[str, str] | None = None,
    scaled: tuple[str, ...] = (),
    **defaults: RopeParameters | None,
) -> Mapping[str, RopeParameters]:
    """A field of RopeParameters by layer type, with the family's `defaults`.

    `theta_keys` names each layer type's base in older files; `scaled` are the types that
    their `rope_scaling` is for.
    """
    keys = dict(theta_keys or {})

    def run(owner: Record, given: object, absorbed: Mapping[str, object]) -> object:
        layers: dict[str, object] = {}
        given_layers = {} if given is None else given
        if not isinstance(given_layers, Mapping) or not given_layers.keys().isdisjoint(
            {"rope_type", "rope_theta"}
        ):
            raise InvalidFieldError(
                type(owner).__name__,
                "rope_parameters",
                given,
                f"one object for each layer type ({', '.join(defaults)})",
                fix="nest the rope settings by layer type",
            )
        for name in [*defaults, *(key for key in given_layers if key not in defaults)]:
            fallback = defaults.get(name)
            if given_layers.get(name, fallback) is None:
                layers[name] = None
                continue
            base = _settings(owner, fallback)
            theta = base.pop("rope_theta", 10000.0)
            raw = _settings(owner, given_layers[name]) if name in given_layers else base
            if name in scaled:
                raw.update(_settings(owner, absorbed.get("rope_scaling")))
            _adopt(owner, raw, "rope_theta", absorbed, keys.get(name, ""), theta)
            layers[name] = _made(owner, raw)
        return layers

    layers: Mapping[str, RopeParameters] = completed(
        run, absorbs=("rope_scaling", *dict.fromkeys(keys.values()))
    )
    return layers


def _settings(owner: Record, given: object) -> dict[str, object]:
    if given is None:
        return {}
    if isinstance(given, RopeParameters):
        return dict(given.to_dict())
    if not isinstance(given, Mapping):
        raise InvalidFieldError(type(owner).__name__, "rope_parameters", given, "an object of rope settings")
    settings: dict[str, object] = {str(key): value for key, value in given.items() if value is not None}
    older = settings.pop("type", None)
    if older is not None:
        settings.setdefault("rope_type", older)
    # Multimodal files once named the interleaving of position axes here; the frequencies are the plain ones.
    if settings.get("rope_type") == "mrope":
        settings["rope_type"] = "default"
    return settings


def _adopt(
    owner: Record,
    raw: dict[str, object],
    name: str,
    absorbed: Mapping[str, object],
    key: str,
    default: object,
) -> None:
    older = absorbed.get(key)
    if older is not None and raw.get(name, older) != older:
        raise InconsistentFieldsError(
            f"{type(owner).__name__}: {key} is {older!r} and rope_parameters.{name} is {raw[name]!r}",
            fields=(key, "rope_parameters"),
            fix=f"keep only rope_parameters.{name}",
        )
    value = default if older is None else older
    if value is not None:
        raw.setdefault(name, value)


def _share_of_head(owner: Record, key: str, rotated: object) -> float:
    if not isinstance(rotated, int) or isinstance(rotated, bool):
        raise InvalidFieldError(type(owner).__name__, key, rotated, "a size", fix=f"correct {key}")
    return float(rotated / vars(owner)["head_dim"])


def _made(owner: Record, raw: dict[str, object]) -> RopeParameters:
    if raw.get("rope_type") in _NEEDS_ORIGINAL_LENGTH:
        fields = vars(owner)
        # Where a family keeps the trained length beside the rope settings, that one decides.
        beside = fields.get("original_max_position_embeddings")
        if beside is not None:
            raw["original_max_position_embeddings"] = beside
        raw.setdefault("original_max_position_embeddings", fields.get("max_position_embeddings"))
    return RopeParameters(**RopeParameters.sort_keys(raw))
