"""The peer, imported without the warnings of what it imports.

Its modules import every quantization library that is installed, and those warn while they load. Imported here first,
they are loaded in silence, and the warnings of what tests do are errors as everywhere.
"""

import warnings
from functools import cache
from types import ModuleType


@cache
def peer() -> ModuleType:
    """`transformers`, silent and without progress bars."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import transformers
        import transformers.modeling_utils
    transformers.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    return transformers
