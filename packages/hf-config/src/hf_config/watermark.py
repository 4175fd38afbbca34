"""Settings of watermarks: data only, the processors that apply them belong to generation."""

from collections.abc import Mapping
from typing import Literal, Self

from hf_config.errors import InvalidFieldError
from hf_config.record import Record, record


@record
class BaseWatermarkingConfig(Record):
    """Settings of a watermark; read from a file, the kind is told by its fields."""

    @classmethod
    def from_dict(cls, data: Mapping[str, object], /) -> Self:
        """The watermark these settings describe. Raises ConfigError."""
        if cls is not BaseWatermarkingConfig:
            return super().from_dict(data)
        kind = SynthIDTextWatermarkingConfig if "ngram_len" in data else WatermarkingConfig
        found = kind.from_dict(data)
        assert isinstance(found, cls)
        return found


@record
class WatermarkingConfig(BaseWatermarkingConfig):
    """A share of the vocabulary, drawn from the tokens before, is favoured (Kirchenbauer et al. 2023)."""

    greenlist_ratio: float = 0.25
    bias: float = 2.0
    hashing_key: int = 15485863
    seeding_scheme: Literal["lefthash", "selfhash"] = "lefthash"
    context_width: int = 1

    def check(self) -> None:
        if not 0 <= self.greenlist_ratio <= 1:
            raise InvalidFieldError(
                "WatermarkingConfig", "greenlist_ratio", self.greenlist_ratio, "a share between 0 and 1"
            )
        if self.context_width < 1:
            raise InvalidFieldError("WatermarkingConfig", "context_width", self.context_width, "1 or more")


@record
class SynthIDTextWatermarkingConfig(BaseWatermarkingConfig):
    """Tokens win tournaments keyed by their context (Dathathri et al. 2024)."""

    ngram_len: int
    keys: tuple[int, ...]
    context_history_size: int = 1024
    sampling_table_seed: int = 0
    sampling_table_size: int = 65536
    skip_first_ngram_calls: bool = False
    debug_mode: bool = False

    def check(self) -> None:
        if not 0 < self.sampling_table_size <= 2**24:
            raise InvalidFieldError(
                "SynthIDTextWatermarkingConfig",
                "sampling_table_size",
                self.sampling_table_size,
                "at most 2**24",
            )
