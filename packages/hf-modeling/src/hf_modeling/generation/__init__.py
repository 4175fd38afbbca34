"""Generation: tokens out of a causal language model."""

from hf_modeling.generation.api import generate
from hf_modeling.generation.output import GenerateOutput
from hf_modeling.generation.plan import GenerationMode
from hf_modeling.generation.stopping import (
    EosTokenCriteria,
    FinishReason,
    MaxLengthCriteria,
    MaxTimeCriteria,
    StoppingCriteria,
    StoppingCriteriaList,
    StopStringCriteria,
)
from hf_modeling.generation.streamers import (
    AsyncTextIteratorStreamer,
    BaseStreamer,
    TextIteratorStreamer,
    TextStreamer,
)

__all__ = [
    "AsyncTextIteratorStreamer",
    "BaseStreamer",
    "EosTokenCriteria",
    "FinishReason",
    "GenerateOutput",
    "GenerationMode",
    "MaxLengthCriteria",
    "MaxTimeCriteria",
    "StopStringCriteria",
    "StoppingCriteria",
    "StoppingCriteriaList",
    "TextIteratorStreamer",
    "TextStreamer",
    "generate",
]
