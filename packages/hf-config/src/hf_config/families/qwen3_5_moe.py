from collections.abc import Mapping
from dataclasses import field
from typing import ClassVar

from hf_config.base import PreTrainedConfig
from hf_config.families.qwen3_5_moe_text import Qwen3_5MoeTextConfig
from hf_config.record import record


@record
class Qwen3_5MoeConfig(PreTrainedConfig):
    """Qwen3.5-MoE: the text model behind an image encoder."""

    model_type: ClassVar[str] = "qwen3_5_moe"

    text_config: Qwen3_5MoeTextConfig = field(default_factory=Qwen3_5MoeTextConfig)
    vision_config: Mapping[str, object] = field(default_factory=dict)
    image_token_id: int | None = 248056
    video_token_id: int | None = 248057
    vision_start_token_id: int | None = 248053
    vision_end_token_id: int | None = 248054
    tie_word_embeddings: bool = False
