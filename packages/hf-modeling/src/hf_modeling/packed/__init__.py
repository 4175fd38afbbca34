"""Linear layers packed for inference on the processor: same numbers, memory streamed at full speed."""

from hf_modeling.packed.prepare import PackReport, prepare_for_inference, unpack

__all__ = ["PackReport", "prepare_for_inference", "unpack"]
