"""Immutable, thread-safe tokenizers that load any Hugging Face checkpoint.

```python
from hf_tokenize import AutoTokenizer

tokenizer = AutoTokenizer.from_pretrained("folder-or-hub-id")
batch = tokenizer(["Hello world", "Hi"], padding=True, return_tensors="pt")
tokenizer.batch_decode(batch.input_ids, skip_special_tokens=True)
```
"""

from importlib import import_module
from typing import TYPE_CHECKING

from hf_tokenize.auto import AutoTokenizer
from hf_tokenize.batch import BatchEncoding
from hf_tokenize.encoding import CharSpan, Encoding, TokenSpan
from hf_tokenize.options import EncodeOptions, PaddingStrategy, Side, TensorType, TruncationStrategy
from hf_tokenize.settings import Settings, TokenizerOptions
from hf_tokenize.special import AddedToken, SpecialTokens
from hf_tokenize.tokenizer import PreTrainedTokenizer

if TYPE_CHECKING:
    from hf_tokenize.chat.apply import ChatOptions
    from hf_tokenize.chat.limits import TemplateLimits
    from hf_tokenize.chat.response import ParsedResponse, ToolCall
    from hf_tokenize.explain import Steps, TokenRow, steps, token_rows
    from hf_tokenize.fingerprint import check_fingerprint
    from hf_tokenize.layout import token_boxes
    from hf_tokenize.stream import TextStream
    from hf_tokenize.whisper import with_whisper_prompt

# Names that only some programs use are imported when they are first asked for.
_LATER = {
    "ChatOptions": "chat.apply",
    "ParsedResponse": "chat.response",
    "Steps": "explain",
    "TemplateLimits": "chat.limits",
    "TextStream": "stream",
    "TokenRow": "explain",
    "ToolCall": "chat.response",
    "check_fingerprint": "fingerprint",
    "steps": "explain",
    "token_boxes": "layout",
    "token_rows": "explain",
    "with_whisper_prompt": "whisper",
}

__all__ = [
    "AddedToken",
    "AutoTokenizer",
    "BatchEncoding",
    "CharSpan",
    "ChatOptions",
    "EncodeOptions",
    "Encoding",
    "PaddingStrategy",
    "ParsedResponse",
    "PreTrainedTokenizer",
    "Settings",
    "Side",
    "SpecialTokens",
    "Steps",
    "TemplateLimits",
    "TensorType",
    "TextStream",
    "TokenRow",
    "TokenSpan",
    "TokenizerOptions",
    "ToolCall",
    "TruncationStrategy",
    "check_fingerprint",
    "steps",
    "token_boxes",
    "token_rows",
    "with_whisper_prompt",
]


def __getattr__(name: str) -> object:
    if name not in _LATER:
        raise AttributeError(f"module 'hf_tokenize' has no attribute {name!r}")
    return getattr(import_module(f"hf_tokenize.{_LATER[name]}"), name)


def __dir__() -> list[str]:
    return __all__
