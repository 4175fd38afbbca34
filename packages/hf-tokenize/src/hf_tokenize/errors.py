"""Every error hf-tokenize raises on purpose.

```
TokenizeError                     (hf_hub_io.HfError: .what .fix)
├── TokenizerFilesError           no file here that a tokenizer can be made from   (FileNotFoundError)
├── TokenizerFileError            a tokenizer file that cannot be right; .file     (ValueError)
│   └── VocabularyHoleError       a vocabulary leaves ids without a token          (ValueError)
├── ContradictionError            two files of one folder disagree; .files         (ValueError)
├── FingerprintError              another tokenizer than the one recorded          (ValueError)
├── FrozenTokenizerError          an assignment to a tokenizer                     (AttributeError)
├── OptionError                   an option of a call that cannot be followed      (ValueError)
│   ├── UnknownOptionError        an option that does not exist                    (TypeError)
│   └── NoPadTokenError           padding asked of a tokenizer without pad token   (ValueError)
├── TextInputError                an input that is not text                        (TypeError)
├── TextEncodingError             text that is not valid Unicode                   (ValueError)
├── TokenIdError                  an id outside the vocabulary                     (IndexError)
├── DetailsError                  offsets or words that this result cannot give    (ValueError)
├── EngineError                   the engine failed on this tokenizer or text      (RuntimeError)
└── ChatTemplateError             a template, or messages it refuses               (ValueError)
    └── ChatTemplateLimitError    a template that runs or writes without end       (ValueError)
```
"""

from __future__ import annotations

from collections.abc import Sequence

from hf_hub_io.errors import HfError


class TokenizeError(HfError):
    """Base of the errors of this package."""


class TokenizerFilesError(TokenizeError, FileNotFoundError):
    """A folder or repository has no file that a tokenizer can be made from."""


class TokenizerFileError(TokenizeError, ValueError):
    """A tokenizer file (`file`) that cannot be right."""

    def __init__(self, what: str, *, fix: str = "", file: str = "") -> None:
        self.file = file
        super().__init__(what, fix=fix)


class VocabularyHoleError(TokenizerFileError):
    """A vocabulary whose ids should be dense leaves some without a token."""


class ContradictionError(TokenizeError, ValueError):
    """Two files of one repository (`files`) say different things about the same tokenizer."""

    def __init__(self, what: str, *, fix: str = "", files: Sequence[str] = ()) -> None:
        self.files = tuple(files)
        super().__init__(what, fix=fix)


class FingerprintError(TokenizeError, ValueError):
    """The tokenizer is not the one whose fingerprint was recorded."""


class FrozenTokenizerError(TokenizeError, AttributeError):
    """Someone assigned to a tokenizer, which threads share and nobody changes."""


class OptionError(TokenizeError, ValueError):
    """An option of this call cannot be followed."""


class UnknownOptionError(OptionError, TypeError):
    """An option that does not exist; the message has the nearest names."""


class NoPadTokenError(OptionError):
    """Padding was asked of a tokenizer that has no padding token."""


class TextInputError(TokenizeError, TypeError):
    """An input to a tokenizer that is not text, a pair, or a list of words."""


class TextEncodingError(TokenizeError, ValueError):
    """Text that is not valid Unicode, such as half a surrogate pair."""


class TokenIdError(TokenizeError, IndexError):
    """A token id outside the vocabulary; `position` is where in the sequence it stood."""

    def __init__(self, what: str, *, fix: str = "", id: int = -1, position: int = -1) -> None:
        self.id = id
        self.position = position
        super().__init__(what, fix=fix)


class DetailsError(TokenizeError, ValueError):
    """Offsets, words or tokens were asked of a result that no longer knows them."""


class EngineError(TokenizeError, RuntimeError):
    """The tokenization engine failed; the message has its own words."""


class ChatTemplateError(TokenizeError, ValueError):
    """A chat template is wrong or refuses the messages; `line` is in the template, `message` an index."""

    def __init__(
        self, what: str, *, fix: str = "", line: int | None = None, message: int | None = None
    ) -> None:
        self.line = line
        self.message = message
        super().__init__(what, fix=fix)


class ChatTemplateLimitError(ChatTemplateError):
    """A chat template runs longer or writes more than it may."""
