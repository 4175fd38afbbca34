"""Everything hf-*, one import: configurations, tokenizers, models, pipelines.

```python
from hf_transformers import AutoModel, AutoTokenizer, pipeline
```

Importing this package imports none of them: a name is fetched from its package when it is first used, so torch is
loaded only where a model is. Editors and type checkers see every name.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hf_config import *  # noqa: F403 - by the package's own list, as the other three
    from hf_config.families import *  # noqa: F403
    from hf_hub_io import HfError as HfError
    from hf_hub_io import Repo as Repo
    from hf_hub_io import push_to_hub as push_to_hub
    from hf_modeling import *  # noqa: F403
    from hf_modeling.models import *  # noqa: F403
    from hf_pipelines import FailedItem as FailedItem
    from hf_pipelines import Pipeline as Pipeline
    from hf_pipelines import RunStats as RunStats
    from hf_pipelines import pipeline as pipeline
    from hf_tokenize import AddedToken as AddedToken
    from hf_tokenize import AutoTokenizer as AutoTokenizer
    from hf_tokenize import BatchEncoding as BatchEncoding
    from hf_tokenize import PreTrainedTokenizer as PreTrainedTokenizer

__version__ = "0.1.0"

__all__ = [
    "AddedToken",
    "AutoTokenizer",
    "BatchEncoding",
    "FailedItem",
    "HfError",
    "Pipeline",
    "PreTrainedTokenizer",
    "Repo",
    "RunStats",
    "pipeline",
    "push_to_hub",
]

_NAMES = {
    "AddedToken": "hf_tokenize",
    "AutoTokenizer": "hf_tokenize",
    "BatchEncoding": "hf_tokenize",
    "FailedItem": "hf_pipelines",
    "HfError": "hf_hub_io",
    "Pipeline": "hf_pipelines",
    "PreTrainedTokenizer": "hf_tokenize",
    "Repo": "hf_hub_io",
    "RunStats": "hf_pipelines",
    "pipeline": "hf_pipelines",
    "push_to_hub": "hf_hub_io",
}
_WHOLE = ("hf_config", "hf_modeling")
"""Packages whose public names are all public here; asked in this order, so that a configuration needs no torch."""


if not TYPE_CHECKING:
    # Hidden from type checkers, which would take any name for a valid one.

    def __getattr__(name: str) -> object:
        if name.startswith("_"):
            raise AttributeError(f"module 'hf_transformers' has no attribute {name!r}")
        if name in _NAMES:
            return getattr(import_module(_NAMES[name]), name)
        for package in _WHOLE:
            module = import_module(package)
            if name in dir(module):
                return getattr(module, name)
        raise AttributeError(f"module 'hf_transformers' has no attribute {name!r}{_suggestion(name)}")


def __dir__() -> list[str]:
    return sorted(
        {"__version__", *_NAMES, *(name for package in _WHOLE for name in dir(import_module(package)))}
    )


def _suggestion(name: str) -> str:
    from difflib import get_close_matches

    near = get_close_matches(name, __dir__(), n=3)
    return f"; did you mean {' or '.join(near)}?" if near else ""
