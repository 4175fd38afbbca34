from dataclasses import field
from typing import ClassVar

from hf_config.base import PreTrainedConfig
from hf_config.families.bert import BertConfig
from hf_config.record import record


@record
class EncoderDecoderConfig(PreTrainedConfig):
    """Any encoder with any decoder that attends to it."""

    model_type: ClassVar[str] = "encoder-decoder"

    is_encoder_decoder: bool = True
    encoder: PreTrainedConfig = field(default_factory=BertConfig)
    decoder: PreTrainedConfig = field(
        default_factory=lambda: BertConfig(is_decoder=True, add_cross_attention=True)
    )
