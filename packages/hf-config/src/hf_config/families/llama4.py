from collections.abc import Mapping
from dataclasses import field
from typing import ClassVar

from hf_config.base import PreTrainedConfig
from hf_config.families.llama4_text import Llama4TextConfig
from hf_config.record import Alias, record


@record
class Llama4Config(PreTrainedConfig):
    """Llama 4: the text model behind an image encoder."""

    model_type: ClassVar[str] = "llama4"

    vision_config: Mapping[str, object] = field(default_factory=dict)
    text_config: Llama4TextConfig = field(default_factory=Llama4TextConfig)
    boi_token_index: int = 200080
    eoi_token_index: int = 200081
    image_token_index: int = 200092
    tie_word_embeddings: bool = False

    image_token_id = Alias[int]("image_token_index")
    boi_token_id = Alias[int]("boi_token_index")
    eoi_token_id = Alias[int]("eoi_token_index")
