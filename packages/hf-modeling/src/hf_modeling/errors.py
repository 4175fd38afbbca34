"""What hf-modeling raises when it is asked for something it cannot do.

```
ModelingError
├── InputError               the call's tensors do not fit together          (ValueError)
│   └── TokenIdError         an id outside the embedding table               (IndexError)
├── SpecError                a spec that describes no model                  (ValueError)
├── BackendUnsupportedError  an attention backend that lacks a mechanism     (ValueError)
└── CacheError               a cache operation its states cannot do          (ValueError)
```
Weights have their own tree in `hf_modeling.weights.errors`.
"""

from __future__ import annotations

from hf_hub_io.errors import HfError


class ModelingError(HfError):
    """Base of the errors this package raises outside weights and generation."""


class InputError(ModelingError, ValueError):
    """Tensors of one call that contradict each other; the message names both shapes."""


class TokenIdError(InputError, IndexError):
    """A token id that the embedding table does not hold."""


class SpecError(ModelingError, ValueError):
    """A spec whose numbers do not fit together."""


class BackendUnsupportedError(ModelingError, ValueError):
    """An attention backend that cannot compute this model's attention."""


class CacheError(ModelingError, ValueError):
    """An operation the cache's states cannot perform."""
