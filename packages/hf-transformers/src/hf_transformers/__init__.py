"""Everything hf-*, one import: configurations, tokenizers, models, training, pipelines.

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
    from hf_train import DataCollatorForLanguageModeling as DataCollatorForLanguageModeling
    from hf_train import DataCollatorForMultipleChoice as DataCollatorForMultipleChoice
    from hf_train import (
        DataCollatorForPermutationLanguageModeling as DataCollatorForPermutationLanguageModeling,
    )
    from hf_train import DataCollatorForSeq2Seq as DataCollatorForSeq2Seq
    from hf_train import DataCollatorForTokenClassification as DataCollatorForTokenClassification
    from hf_train import DataCollatorWithFlattening as DataCollatorWithFlattening
    from hf_train import DataCollatorWithPadding as DataCollatorWithPadding
    from hf_train import DefaultDataCollator as DefaultDataCollator
    from hf_train import DefaultFlowCallback as DefaultFlowCallback
    from hf_train import EarlyStoppingCallback as EarlyStoppingCallback
    from hf_train import EvalPrediction as EvalPrediction
    from hf_train import HfArgumentParser as HfArgumentParser
    from hf_train import PrinterCallback as PrinterCallback
    from hf_train import ProgressCallback as ProgressCallback
    from hf_train import Seq2SeqTrainer as Seq2SeqTrainer
    from hf_train import Seq2SeqTrainingArguments as Seq2SeqTrainingArguments
    from hf_train import Trainer as Trainer
    from hf_train import TrainerCallback as TrainerCallback
    from hf_train import TrainerControl as TrainerControl
    from hf_train import TrainerState as TrainerState
    from hf_train import TrainingArguments as TrainingArguments
    from hf_train import default_data_collator as default_data_collator

__version__ = "0.1.0"

__all__ = [
    "AddedToken",
    "AutoTokenizer",
    "BatchEncoding",
    "DataCollatorForLanguageModeling",
    "DataCollatorForMultipleChoice",
    "DataCollatorForPermutationLanguageModeling",
    "DataCollatorForSeq2Seq",
    "DataCollatorForTokenClassification",
    "DataCollatorWithFlattening",
    "DataCollatorWithPadding",
    "DefaultDataCollator",
    "DefaultFlowCallback",
    "EarlyStoppingCallback",
    "EvalPrediction",
    "FailedItem",
    "HfArgumentParser",
    "HfError",
    "Pipeline",
    "PreTrainedTokenizer",
    "PrinterCallback",
    "ProgressCallback",
    "Repo",
    "RunStats",
    "Seq2SeqTrainer",
    "Seq2SeqTrainingArguments",
    "Trainer",
    "TrainerCallback",
    "TrainerControl",
    "TrainerState",
    "TrainingArguments",
    "default_data_collator",
    "pipeline",
    "push_to_hub",
]

_NAMES = {
    "AddedToken": "hf_tokenize",
    "AutoTokenizer": "hf_tokenize",
    "BatchEncoding": "hf_tokenize",
    "DataCollatorForLanguageModeling": "hf_train",
    "DataCollatorForMultipleChoice": "hf_train",
    "DataCollatorForPermutationLanguageModeling": "hf_train",
    "DataCollatorForSeq2Seq": "hf_train",
    "DataCollatorForTokenClassification": "hf_train",
    "DataCollatorWithFlattening": "hf_train",
    "DataCollatorWithPadding": "hf_train",
    "DefaultDataCollator": "hf_train",
    "DefaultFlowCallback": "hf_train",
    "EarlyStoppingCallback": "hf_train",
    "EvalPrediction": "hf_train",
    "FailedItem": "hf_pipelines",
    "HfArgumentParser": "hf_train",
    "HfError": "hf_hub_io",
    "Pipeline": "hf_pipelines",
    "PreTrainedTokenizer": "hf_tokenize",
    "PrinterCallback": "hf_train",
    "ProgressCallback": "hf_train",
    "Repo": "hf_hub_io",
    "RunStats": "hf_pipelines",
    "Seq2SeqTrainer": "hf_train",
    "Seq2SeqTrainingArguments": "hf_train",
    "Trainer": "hf_train",
    "TrainerCallback": "hf_train",
    "TrainerControl": "hf_train",
    "TrainerState": "hf_train",
    "TrainingArguments": "hf_train",
    "default_data_collator": "hf_train",
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
