from collections.abc import Mapping
from dataclasses import field
from typing import ClassVar

from hf_config.base import PreTrainedConfig
from hf_config.families.dots3_note_text import Dots3NoteTextConfig
from hf_config.record import record


@record
class Dots3NoteConfig(PreTrainedConfig):
    """dots.note: the text model behind image and sound encoders."""

    model_type: ClassVar[str] = "dots3_note"

    text_config: Dots3NoteTextConfig = field(default_factory=Dots3NoteTextConfig)
    vision_config: Mapping[str, object] = field(default_factory=dict)
    audio_config: Mapping[str, object] = field(default_factory=dict)
    image_token_id: int | None = 151660
    video_token_id: int | None = 151680
    audio_token_id: int | None = 151720
    tie_word_embeddings: bool = False
