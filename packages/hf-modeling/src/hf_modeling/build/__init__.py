"""From specs to modules: one `match` for each union of the spec language, ending in `assert_never`.

Everything is made on meta: building costs no memory, and what it makes holds nothing until weights are
assigned (`weights.load`) or initialised (`init.initialize`).
"""

from hf_modeling.build.attention import backend_of, set_backend
from hf_modeling.build.block import build_block
from hf_modeling.build.embed import build_per_layer, build_stem, build_tokens
from hf_modeling.build.norm import build_norm
from hf_modeling.build.relative import build_relative
from hf_modeling.build.shared import Building, mixer_of, start

__all__ = [
    "Building",
    "backend_of",
    "build_block",
    "build_norm",
    "build_per_layer",
    "build_relative",
    "build_stem",
    "build_tokens",
    "mixer_of",
    "set_backend",
    "start",
]
