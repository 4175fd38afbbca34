"""Token mixers: what moves information between positions.

A new mechanism is one file here with its dataclass, one file in `hf_modeling.layers` with its layer, one arm
in `hf_modeling.build.mixer`, and its name in this union.
"""

from __future__ import annotations

from hf_modeling.spec.attention import Attention

Mixer = Attention
