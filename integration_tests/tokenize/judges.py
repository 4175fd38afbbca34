"""Who says what is right: the peer, or the library whose files a folder holds."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from integration_tests.tokenize.recipes import LLAMA3_WORDS, Recipe, tiktoken_ranks

Encode = Callable[[str], list[int]]


@cache
def peer(folder: Path) -> Any:
    """The peer's tokenizer for a folder."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from transformers import AutoTokenizer

        return AutoTokenizer.from_pretrained(folder, local_files_only=True)


@cache
def sentencepiece_model(path: Path) -> Any:
    """SentencePiece's own reading of a model file."""
    import sentencepiece

    return sentencepiece.SentencePieceProcessor(model_file=str(path))


def judge(recipe: Recipe, folder: Path, vocab: Mapping[str, int]) -> Encode:
    """Ids without special tokens, from the library that knows; `vocab` numbers pieces where a family renumbers."""
    match recipe.judge:
        case "peer":
            oracle = peer(folder)
            return lambda text: oracle(text, add_special_tokens=False)["input_ids"]
        case "sentencepiece":
            processor = sentencepiece_model(folder / recipe.model)
            return lambda text: list(processor.encode(text))
        case "pieces":
            pieces = sentencepiece_model(folder / recipe.model)
            return lambda text: [
                vocab.get(piece, vocab["<unk>"]) for piece in pieces.encode(text, out_type=str)
            ]
        case "tekken":
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                from mistral_common.tokens.tokenizers.tekken import Tekkenizer

                tekken = Tekkenizer.from_file(folder / "tekken.json")
            return lambda text: tekken.encode(text, bos=False, eos=False)
        case "tiktoken":
            import tiktoken

            encoding = tiktoken.Encoding(
                "test", pat_str=LLAMA3_WORDS, mergeable_ranks=tiktoken_ranks(), special_tokens={}
            )
            return lambda text: encoding.encode(text, disallowed_special=())
