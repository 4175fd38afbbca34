"""Languages, speech prompts and page boxes, against the peer."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hf_tokenize import AutoTokenizer, token_boxes, with_whisper_prompt
from hf_tokenize.errors import OptionError
from integration_tests.tokenize.judges import peer
from integration_tests.tokenize.recipes import RECIPES, Recipe, bpe_files, gpt2_like, spm

pytestmark = [pytest.mark.parity, pytest.mark.filterwarnings("ignore")]
FolderOf = Callable[[Recipe], Path]
TEXTS = ["The quick brown fox", "jumps over", ""]


def test_mbart_marks_languages(folder_of: FolderOf) -> None:
    folder = folder_of(next(recipe for recipe in RECIPES if recipe.name == "files-mbart"))
    tokenizer, oracle = AutoTokenizer.from_pretrained(folder), peer(folder)
    assert tokenizer(TEXTS)["input_ids"] == oracle(TEXTS)["input_ids"]
    french = tokenizer.replace(src_lang="fr_XX", tgt_lang="de_DE")
    oracle.src_lang, oracle.tgt_lang = "fr_XX", "de_DE"
    try:
        theirs = oracle(TEXTS, text_target=TEXTS[::-1])
        assert french(TEXTS, text_target=TEXTS[::-1]) == dict(theirs)
        assert french(TEXTS[0], TEXTS[1])["input_ids"] == oracle(TEXTS[0], TEXTS[1])["input_ids"]
    finally:
        oracle.src_lang, oracle.tgt_lang = "en_XX", None
    with pytest.raises(
        OptionError, match=r"the language 'xx' has no token 'xx' in this vocabulary[\s\S]*ar_AR"
    ):
        tokenizer.replace(src_lang="xx")


def test_languages_survive_saving(folder_of: FolderOf, tmp_path: Path) -> None:
    folder = folder_of(next(recipe for recipe in RECIPES if recipe.name == "files-mbart"))
    tokenizer = AutoTokenizer.from_pretrained(folder, src_lang="fr_XX")
    tokenizer.save_pretrained(tmp_path)
    again = AutoTokenizer.from_pretrained(tmp_path)
    assert again(TEXTS)["input_ids"] == tokenizer(TEXTS)["input_ids"]
    assert again.replace(src_lang="de_DE")("a")["input_ids"][-1] == again.convert_tokens_to_ids("de_DE")


def test_m2m100_has_ids_of_its_own(tmp_path: Path) -> None:
    spm(tmp_path, name="sentencepiece.bpe.model", model_type="bpe", vocab_size=800)
    import sentencepiece

    processor = sentencepiece.SentencePieceProcessor(model_file=str(tmp_path / "sentencepiece.bpe.model"))
    pieces = [processor.id_to_piece(i) for i in range(3, processor.get_piece_size())]
    vocab = {token: id for id, token in enumerate(["<s>", "<pad>", "</s>", "<unk>", *reversed(pieces)])}
    (tmp_path / "vocab.json").write_text(json.dumps(vocab))
    oracle = _m2m100(tmp_path)
    languages = list(oracle.lang_code_to_token.values())
    config = {
        "tokenizer_class": "M2M100Tokenizer",
        "additional_special_tokens": languages,
    }
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(config))
    tokenizer = AutoTokenizer.from_pretrained(tmp_path)
    assert tokenizer(TEXTS)["input_ids"] == oracle(TEXTS)["input_ids"]
    oracle.src_lang = "fr"
    french = tokenizer.replace(src_lang="fr")
    assert french(TEXTS)["input_ids"] == oracle(TEXTS)["input_ids"]
    ids = french(TEXTS[0])["input_ids"]
    assert french.decode(ids, skip_special_tokens=True) == TEXTS[0]


def _m2m100(folder: Path) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from transformers import M2M100Tokenizer

        return M2M100Tokenizer(str(folder / "vocab.json"), str(folder / "sentencepiece.bpe.model"))


def test_whisper_prompts(tmp_path: Path) -> None:
    prompt = ["<|startoftranscript|>", "<|en|>", "<|zh|>", "<|de|>", "<|es|>", "<|ru|>", "<|ko|>", "<|fr|>"]
    tail = ["<|translate|>", "<|transcribe|>", "<|notimestamps|>"]
    added = {str(900 + n): {"content": token, "special": True} for n, token in enumerate([*prompt, *tail])}
    bpe_files(tmp_path, make=gpt2_like, config={"tokenizer_class": "WhisperTokenizer"})
    size = len(json.loads((tmp_path / "vocab.json").read_text()))
    added = {str(size + n): {"content": token, "special": True} for n, token in enumerate([*prompt, *tail])}
    config = {"tokenizer_class": "WhisperTokenizer", "added_tokens_decoder": added}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(config))
    tokenizer, oracle = AutoTokenizer.from_pretrained(tmp_path), peer(tmp_path)
    assert tokenizer("a fox")["input_ids"] == oracle("a fox")["input_ids"]
    oracle.set_prefix_tokens(language="french", task="transcribe")
    french = with_whisper_prompt(tokenizer, language="french", task="transcribe")
    assert french("a fox")["input_ids"] == oracle("a fox")["input_ids"]
    assert with_whisper_prompt(tokenizer, language="fr", timestamps=True)("a")["input_ids"][:2] == [
        size,
        size + 7,
    ]
    with pytest.raises(OptionError, match=r"'<\|ja\|>' is not a token of this tokenizer"):
        with_whisper_prompt(tokenizer, language="japanese")


def test_boxes_follow_words(tmp_path: Path) -> None:
    from integration_tests.tokenize.recipes import vocab_txt

    vocab_txt(tmp_path, config={"tokenizer_class": "LayoutLMv2Tokenizer"})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from transformers import LayoutLMv2Tokenizer

        oracle = LayoutLMv2Tokenizer.from_pretrained(tmp_path)
    tokenizer = AutoTokenizer.from_pretrained(tmp_path)
    words = [["The", "quickest", "foxes"], ["jump"]]
    boxes = [[(1, 2, 3, 4), (5, 6, 7, 8), (9, 10, 11, 12)], [(13, 14, 15, 16)]]
    theirs = oracle(words, boxes=boxes, padding=True)
    ours = tokenizer(words, is_split_into_words=True, padding=True)
    assert ours["input_ids"] == theirs["input_ids"]
    assert token_boxes(ours, boxes) == [[list(box) for box in row] for row in theirs["bbox"]]
    question = oracle(["who is"], [words[0]], boxes=[boxes[0]])
    pair = tokenizer([(["who", "is"], words[0])], is_split_into_words=True)
    assert pair["input_ids"] == question["input_ids"]
    with pytest.raises(OptionError, match="row 0 has 1 boxes and a word 1"):
        token_boxes(ours, [boxes[1], boxes[1]])
    with pytest.raises(OptionError, match=r"the box of word 0 in row 0 is \(0, 0, 0, 1500\)"):
        token_boxes(ours, [[(0, 0, 0, 1500)]] * 2)
