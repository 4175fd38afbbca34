"""`translation`: a text in another language. The languages are options, or part of the name `translation_en_to_fr`."""

from __future__ import annotations

import re
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterator, Mapping
from dataclasses import replace
from typing import ClassVar, TypeVar, Unpack, cast, final, overload

from hf_pipelines.base import Inputs, Results
from hf_pipelines.errors import OptionValueError
from hf_pipelines.records import TranslationText
from hf_pipelines.tasks.seq2seq import Seq2SeqOptions, Seq2SeqPipeline, Seq2SeqTask, task_facts
from hf_tokenize.languages import RULES

Result = TypeVar("Result")
NAMED_PAIR = re.compile(r"translation_(?P<source>.+)_to_(?P<target>.+)")


class TranslationOptions(Seq2SeqOptions, total=False):
    """Options of `translation`.

    src_lang, tgt_lang: the codes of the languages, spelled as the checkpoint does ("en", "eng_Latn", ...).
    """

    src_lang: str
    tgt_lang: str


@final
class TranslationPipeline(Seq2SeqPipeline[TranslationText]):
    """A text in another language.

    How a language is asked for depends on the checkpoint: by tokens (mBART, M2M100, NLLB), by a token before
    the text (Marian's ">>fr<<"), by words that config.json gives (T5), or not at all where it knows one pair.
    """

    task: ClassVar[str] = "translation"
    option_names: ClassVar[frozenset[str]] = TranslationOptions.__optional_keys__

    @overload
    def __call__(self, inputs: str, **options: Unpack[TranslationOptions]) -> list[TranslationText]: ...
    @overload
    def __call__(self, inputs: list[str], **options: Unpack[TranslationOptions]) -> list[TranslationText]: ...
    @overload
    def __call__(
        self, inputs: Iterator[str], **options: Unpack[TranslationOptions]
    ) -> Iterator[TranslationText]: ...
    @overload
    def __call__(
        self, inputs: AsyncIterable[str], **options: Unpack[TranslationOptions]
    ) -> AsyncIterator[TranslationText]: ...
    def __call__(
        self, inputs: Inputs[str], **options: Unpack[TranslationOptions]
    ) -> Results[TranslationText]:
        """The translations of one text in a list; for a list or a stream of texts, the best of each.

        Raises OptionValueError for languages that this checkpoint cannot be asked for.
        """
        return self._call(inputs, options)

    def _asking(
        self, options: Seq2SeqOptions, finish: Callable[[list[str]], Result], *, beams: int = 4
    ) -> Seq2SeqTask[Result]:
        source, target = self._languages(options)
        task = super()._asking(options, finish, beams=beams)
        tokenizer = self.tokenizer
        rule = RULES.get(tokenizer.settings.tokenizer_class or "")
        if rule is not None:
            if source is not None:
                tokenizer = tokenizer.replace(src_lang=source)
                task = replace(task, text=replace(task.text, tokenizer=tokenizer))
            if target is not None:
                first = self._known(rule.token(target), target)
                config = task.asked.config.replace(forced_bos_token_id=first)
                task = replace(task, asked=replace(task.asked, config=config))
            return task
        mark = f">>{target}<<"
        if target is not None and mark in tokenizer.get_vocab():
            return replace(task, asked=replace(task.asked, prefix=f"{mark} {task.asked.prefix}"))
        if (source or target) and "prefix" not in options and not self._facts(options):
            self._refuse_languages(source, target)
        return task

    def _facts(self, options: Seq2SeqOptions) -> Mapping[str, object]:
        source, target = self._languages(options)
        return task_facts(self._answering, f"{self.task}_{source}_to_{target}")

    def _languages(self, options: Seq2SeqOptions) -> tuple[str | None, str | None]:
        asked = cast("TranslationOptions", options)
        return asked.get("src_lang"), asked.get("tgt_lang")

    def _known(self, token: str, code: str) -> int:
        """The id of a language's token."""
        vocabulary = self.tokenizer.get_vocab()
        if token not in vocabulary:
            raise OptionValueError(
                f"tgt_lang={code!r} has no token {token!r} in this vocabulary",
                fix="spell the language as the checkpoint's model card does",
            )
        return vocabulary[token]

    def _refuse_languages(self, source: str | None, target: str | None) -> None:
        """Only a checkpoint that says nothing of pairs is taken to know just one."""
        told = self._answering.config.extra.get("task_specific_params")
        pairs = (
            sorted(name for name in told if NAMED_PAIR.fullmatch(name)) if isinstance(told, Mapping) else []
        )
        if pairs:
            raise OptionValueError(
                f"{self.parts.name} does not say how to translate from {source!r} to {target!r}",
                fix=f"it knows {', '.join(pairs)}; for others pass prefix=...",
            )

    def _record(self, text: str) -> TranslationText:
        return {"translation_text": text}


def named_languages(task: str) -> dict[str, str]:
    """The languages in a name such as `translation_en_to_fr`; empty for other names."""
    found = NAMED_PAIR.fullmatch(task)
    return {} if found is None else {"src_lang": found["source"], "tgt_lang": found["target"]}
