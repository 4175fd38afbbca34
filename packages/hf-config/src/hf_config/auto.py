"""`AutoConfig`: the right family's configuration, chosen by model_type."""

from typing import final

from hf_config.base import PreTrainedConfig
from hf_config.registry import config_class


@final
class AutoConfig:
    """Reads or makes a configuration of the family that model_type names."""

    from_pretrained = PreTrainedConfig.from_pretrained
    """The configuration in a local folder or a Hub repository, read by the class of its family."""

    @staticmethod
    def for_model(model_type: str, **fields: object) -> PreTrainedConfig:
        """A new configuration of a family: its defaults, changed by `fields`.

        Raises UnknownModelTypeError, with the nearest names, and what the class raises for wrong fields.
        """
        return config_class(model_type)(**fields)  # type: ignore[arg-type] # each family checks its own fields
