"""`AutoTokenizer`: the tokenizer of any checkpoint, from whatever files it has."""

from __future__ import annotations

from pathlib import Path
from typing import Unpack, final

from hf_hub_io import Repo
from hf_tokenize.load.build import Contradictions, load_tokenizer
from hf_tokenize.settings import TokenizerOptions
from hf_tokenize.tokenizer import PreTrainedTokenizer


@final
class AutoTokenizer:
    """Loads tokenizers; there is nothing else to it, and no object of it."""

    def __init__(self) -> None:
        # Not __new__ with NoReturn: type checkers then take the class for a function without attributes.
        raise TypeError("AutoTokenizer has no instances; use AutoTokenizer.from_pretrained(folder_or_id)")

    @staticmethod
    def from_pretrained(
        folder_or_id: str | Path,
        *,
        revision: str | None = None,
        cache_dir: str | Path | None = None,
        token: str | bool | None = None,
        subfolder: str = "",
        local_files_only: bool = False,
        contradictions: Contradictions = "raise",
        **options: Unpack[TokenizerOptions],
    ) -> PreTrainedTokenizer:
        """The tokenizer in a local folder or Hub repository.

        A `tokenizer.json` decides; without one, other vocabulary files are converted. `options` overrule the
        configuration. Files that contradict each other raise, unless `contradictions="ignore"`.

        Raises TokenizerFilesError, TokenizerFileError, ContradictionError, UnknownOptionError, and as
        Repo.open.
        """
        repo = Repo.open(
            folder_or_id,
            revision=revision,
            cache_dir=cache_dir,
            token=token,
            subfolder=subfolder,
            local_files_only=local_files_only,
        )
        return load_tokenizer(repo, options, contradictions=contradictions)
