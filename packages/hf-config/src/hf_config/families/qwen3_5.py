from collections.abc import Mapping
from dataclasses import field
from typing import ClassVar

from hf_config.base import PreTrainedConfig
from hf_config.families.qwen3_5_text import Qwen3_5TextConfig
from hf_config.record import record


@record
class Qwen3_5Config(PreTrainedConfig):
    """Qwen3.5: the text model behind an image encoder."""

    model_type: ClassVar[str] = "qwen3_5"

    text_config: Qwen3_5TextConfig = field(default_factory=Qwen3_5TextConfig)
    vision_config: Mapping[str, object] = field(default_factory=dict)
    image_token_id: int | None = 248056
    video_token_id: int | None = 248057
    vision_start_token_id: int | None = 248053
    vision_end_token_id: int | None = 248054
    tie_word_embeddings: bool = False
