"""`conversational`: a conversation in, the same conversation with the model's turn at its end out."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Unpack, cast, final, overload

from hf_modeling.generation.options import GenerateOptions
from hf_modeling.heads.conditional_generation import ConditionalGeneration
from hf_pipelines.base import CallOptions, Pipeline
from hf_pipelines.errors import EmptyInputError, InputTypeError, OptionValueError
from hf_pipelines.load import Parts
from hf_pipelines.tasks.seq2seq import Seq2SeqOptions, Seq2SeqTask, asked, task_facts
from hf_pipelines.tasks.text_generation import (
    Chat,
    GenerationOptions,
    GenerationTask,
    PromptRow,
    generation_limits,
    generation_task,
    is_chat,
)
from hf_pipelines.text import TokenRow, text_model

BETWEEN_TURNS = "  "
"""What encoder-decoders for conversation (BlenderBot) were trained to read between two turns."""


class ConversationOptions(CallOptions, GenerateOptions, total=False):
    """Options of `conversational`: those of `generate`, and these.

    seed: of the random numbers; every conversation then goes on alike, whatever it is batched with.
    """

    seed: int


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class TemplateTask:
    """A turn of a causal model, which reads the conversation through its chat template."""

    inner: GenerationTask

    def preprocess(self, inputs: Sequence[Chat]) -> list[list[PromptRow]]:
        """One row for each conversation."""
        check_chats(inputs)
        return self.inner.preprocess(inputs)

    def length(self, chunk: PromptRow) -> int:
        """Tokens of the conversation so far."""
        return self.inner.length(chunk)

    def forward(self, chunks: Sequence[PromptRow]) -> list[list[list[int]]]:
        """New tokens for each conversation."""
        return self.inner.forward(chunks)

    def postprocess(self, chunks: Sequence[PromptRow], raws: Sequence[list[list[int]]]) -> Chat:
        """The conversation with the best answer."""
        return cast("Chat", self.inner.postprocess(chunks, raws)[0]["generated_text"])


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """A conversation and the tokens that an encoder reads of it."""

    chat: Chat
    row: TokenRow


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class DialogueTask:
    """A turn of an encoder-decoder, which reads all turns as one text."""

    inner: Seq2SeqTask[str]

    def preprocess(self, inputs: Sequence[Chat]) -> list[list[Turn]]:
        """One row for each conversation."""
        check_chats(inputs)
        return [[Turn(chat=chat, row=self._row(chat))] for chat in inputs]

    def length(self, chunk: Turn) -> int:
        """Tokens of the conversation so far."""
        return len(chunk.row)

    def forward(self, chunks: Sequence[Turn]) -> list[list[list[int]]]:
        """Tokens of the answers."""
        return self.inner.forward([chunk.row for chunk in chunks])

    def postprocess(self, chunks: Sequence[Turn], raws: Sequence[list[list[int]]]) -> Chat:
        """The conversation with the best answer."""
        answer = self.inner.postprocess([chunks[0].row], raws)
        return [*chunks[0].chat, {"role": "assistant", "content": answer.strip()}]

    def _row(self, chat: Chat) -> TokenRow:
        turns = [message["content"] for message in chat]
        if not all(isinstance(turn, str) for turn in turns):
            raise InputTypeError("conversational", "text in every message", turns)
        text = BETWEEN_TURNS.join(cast("list[str]", turns))
        return self.inner.preprocess([text])[0][0]


@final
class ConversationalPipeline(Pipeline[Chat, Chat, ConversationOptions]):
    """A conversation, a list of `{"role", "content"}`, with the model's turn added. The one given stays as it is."""

    task: ClassVar[str] = "conversational"
    option_names: ClassVar[frozenset[str]] = ConversationOptions.__optional_keys__

    def __init__(self, parts: Parts, defaults: Mapping[str, object]) -> None:
        super().__init__(parts, defaults, limits=generation_limits(parts.model.device))

    @overload
    def __call__(self, inputs: Chat, **options: Unpack[ConversationOptions]) -> Chat: ...
    @overload
    def __call__(self, inputs: list[Chat], **options: Unpack[ConversationOptions]) -> list[Chat]: ...
    @overload
    def __call__(self, inputs: Iterator[Chat], **options: Unpack[ConversationOptions]) -> Iterator[Chat]: ...
    @overload
    def __call__(
        self, inputs: AsyncIterable[Chat], **options: Unpack[ConversationOptions]
    ) -> AsyncIterator[Chat]: ...
    def __call__(
        self,
        inputs: Chat | list[Chat] | Iterator[Chat] | AsyncIterable[Chat],
        **options: Unpack[ConversationOptions],
    ) -> Any:  # the overloads say what for what
        """One conversation, a list, or a stream of them, each one turn longer."""
        return self._run(inputs, options)

    def _task(self, options: ConversationOptions) -> TemplateTask | DialogueTask:
        if (options.get("num_return_sequences") or 1) > 1:
            raise OptionValueError(
                "a conversation goes on in one way, and num_return_sequences asks for several",
                fix="leave it out, or use text-generation",
            )
        model = self.model
        if not isinstance(model, ConditionalGeneration):
            return TemplateTask(
                inner=generation_task(self.task, self.parts, cast("GenerationOptions", options))
            )
        own = cast("Seq2SeqOptions", options)
        return DialogueTask(
            inner=Seq2SeqTask(
                text=text_model(self.task, self.parts),
                model=model,
                asked=asked(model, task_facts(model, self.task), own, beams=4),
                finish=lambda texts: texts[0],
            )
        )

    def _is_one(self, inputs: object) -> bool:
        return is_chat(inputs)


def check_chats(inputs: Sequence[object]) -> None:
    """Raise for the first input that is no conversation, or an empty one."""
    for chat in inputs:
        if isinstance(chat, list) and not chat:
            raise EmptyInputError(
                "the conversation has no message", fix="begin it with a message of the user"
            )
        if not is_chat(chat):
            raise InputTypeError("conversational", "a list of {'role', 'content'} messages", chat)
