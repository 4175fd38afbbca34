"""Whisper's prompt tokens: which language, which task, with or without time stamps."""

from __future__ import annotations

from typing import Final, Literal

from hf_tokenize.errors import OptionError
from hf_tokenize.tokenizer import PreTrainedTokenizer
from hf_tokenize.wrappers import AffixedEngine

_NAMES: Final = """
en english zh chinese de german es spanish ru russian ko korean fr french ja japanese pt portuguese tr turkish
pl polish ca catalan nl dutch ar arabic sv swedish it italian id indonesian hi hindi fi finnish vi vietnamese
he hebrew uk ukrainian el greek ms malay cs czech ro romanian da danish hu hungarian ta tamil no norwegian th
thai ur urdu hr croatian bg bulgarian lt lithuanian la latin mi maori ml malayalam cy welsh sk slovak te
telugu fa persian lv latvian bn bengali sr serbian az azerbaijani sl slovenian kn kannada et estonian mk
macedonian br breton eu basque is icelandic hy armenian ne nepali mn mongolian bs bosnian kk kazakh sq
albanian sw swahili gl galician mr marathi pa punjabi si sinhala km khmer sn shona yo yoruba so somali af
afrikaans oc occitan ka georgian be belarusian tg tajik sd sindhi gu gujarati am amharic yi yiddish lo lao uz
uzbek fo faroese ht haitian_creole ps pashto tk turkmen nn nynorsk mt maltese sa sanskrit lb luxembourgish my
myanmar bo tibetan tl tagalog mg malagasy as assamese tt tatar haw hawaiian ln lingala ha hausa ba bashkir jw
javanese su sundanese yue cantonese
"""
_WORDS: Final = _NAMES.split()
LANGUAGES: Final = {
    name.replace("_", " "): code for code, name in zip(_WORDS[::2], _WORDS[1::2], strict=True)
}
"""Language names and the codes of their tokens."""


def whisper_prompt(
    tokenizer: PreTrainedTokenizer,
    *,
    language: str | None = None,
    task: Literal["transcribe", "translate"] | None = None,
    timestamps: bool = False,
) -> tuple[str, ...]:
    """The tokens that start a transcript: language (a name or code), task, and whether times are written.

    Raises OptionError for a language or task the vocabulary does not have.
    """
    tokens = ["<|startoftranscript|>"]
    if language is not None:
        tokens.append(f"<|{LANGUAGES.get(language.lower(), language.lower())}|>")
    if task is not None:
        tokens.append(f"<|{task}|>")
    if not timestamps:
        tokens.append("<|notimestamps|>")
    for token in tokens:
        if token not in tokenizer.added_vocabulary:
            raise OptionError(
                f"{token!r} is not a token of this tokenizer",
                fix="check language and task; English-only checkpoints have neither",
            )
    return tuple(tokens)


def with_whisper_prompt(
    tokenizer: PreTrainedTokenizer,
    *,
    language: str | None = None,
    task: Literal["transcribe", "translate"] | None = None,
    timestamps: bool = False,
) -> PreTrainedTokenizer:
    """A tokenizer that puts this prompt before every text, for labels to train on. Raises OptionError."""
    tokens = whisper_prompt(tokenizer, language=language, task=task, timestamps=timestamps)
    before = tokenizer.convert_tokens_to_ids(tokens)
    end = [] if tokenizer.eos_token_id is None else [tokenizer.eos_token_id]
    return PreTrainedTokenizer(AffixedEngine(tokenizer.engine, before=before, after=end), tokenizer.settings)
