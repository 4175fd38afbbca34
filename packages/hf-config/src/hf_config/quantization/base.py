"""The base of the quantization settings: the method's name decides the class."""

from hf_config.record import Record, record


@record
class QuantizationConfig(Record):
    """What `quantization_config` in a config.json says about packed weights."""
