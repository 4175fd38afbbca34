"""`AutoConfig`: the right family's configuration, chosen by model_type."""

from pathlib import Path
from typing import Unpack, final

from hf_config.base import ConfigOverrides, PreTrainedConfig
from hf_config.registry import config_class


@final
class AutoConfig:
    """Reads or makes a configuration of the family that model_type names."""

    @staticmethod
    def from_pretrained(
        path_or_repo: str | Path,
        *,
        revision: str | None = None,
        cache_dir: str | Path | None = None,
        token: str | None = None,
        subfolder: str = "",
        local_files_only: bool = False,
        **overrides: Unpack[ConfigOverrides],
    ) -> PreTrainedConfig:
        """The configuration in a local folder or a Hub repository; see PreTrainedConfig.from_pretrained."""
        return PreTrainedConfig.from_pretrained(
            path_or_repo,
            revision=revision,
            cache_dir=cache_dir,
            token=token,
            subfolder=subfolder,
            local_files_only=local_files_only,
            **overrides,
        )

    @staticmethod
    def for_model(model_type: str, **fields: object) -> PreTrainedConfig:
        """A new configuration of a family: its defaults, changed by `fields`.

        Raises UnknownModelTypeError, with the nearest names, and what the class raises for wrong fields.
        """
        return config_class(model_type)(**fields)  # type: ignore[arg-type] # each family checks its own fields
