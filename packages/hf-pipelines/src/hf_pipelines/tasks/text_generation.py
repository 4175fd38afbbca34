"""`text-generation`: continues a text, or answers in a conversation.

Axes: B rows, T tokens.
"""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, TypeAlias, Unpack, cast, final, overload

import torch

from hf_config import GenerationConfig
from hf_modeling.generation.api import tokens_of
from hf_modeling.generation.options import GenerateInputs, GenerateOptions, merge_options
from hf_modeling.generation.start import checkpoint_options, start_run
from hf_modeling.generation.text import TextStream
from hf_modeling.heads.causal_lm import CausalLM
from hf_pipelines.base import CallOptions, Inputs, Pipeline
from hf_pipelines.errors import EmptyInputError, InputTypeError, OptionValueError
from hf_pipelines.load import LengthLimit, Parts
from hf_pipelines.records import ChatMessage, GeneratedChat, GeneratedText
from hf_pipelines.task import Limits
from hf_pipelines.text import TextBatch, TokenRow, collate
from hf_tokenize import PreTrainedTokenizer
from hf_tokenize.chat.render import Conversation
from hf_tokenize.chat.tools import Tool

Chat: TypeAlias = list[ChatMessage]
Prompt: TypeAlias = str | Chat
Generated: TypeAlias = list[GeneratedText] | list[GeneratedChat]


class GenerationOptions(CallOptions, GenerateOptions, total=False):
    """Options of `text-generation`: those of `generate`, and these.

    return_full_text: the prompt before the new text (default True).
    prefix: text put before every prompt.
    stop_sequence: another name of `stop_strings`.
    handle_long_generation: "hole" drops the start of a prompt that leaves no room for the new tokens.
    continue_final_message: go on with a chat's last message; by default where it is the assistant's.
    add_special_tokens: begin the prompt as the tokenizer does (default True); a chat template does it itself.
    skip_special_tokens: leave special tokens out of the text (default True).
    tools, documents: what a chat template may mention.
    generation_config: options of `generate` as one object.
    seed: of the random numbers; every input then has the same answers, whatever it is batched with.
    """

    return_full_text: bool
    prefix: str
    stop_sequence: str | list[str]
    handle_long_generation: Literal["hole"] | None
    continue_final_message: bool
    add_special_tokens: bool
    skip_special_tokens: bool
    tools: Sequence[Tool]
    documents: list[dict[str, str]]
    generation_config: GenerationConfig
    seed: int


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class PromptRow:
    """The tokens of a prompt, and the prompt itself."""

    row: TokenRow
    prompt: Prompt


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class GenerationTask:
    """One call of `text-generation`."""

    model: CausalLM
    tokenizer: PreTrainedTokenizer
    config: GenerationConfig
    options: GenerationOptions
    limit: LengthLimit

    def preprocess(self, inputs: Sequence[Prompt]) -> list[list[PromptRow]]:
        """One row for each prompt."""
        return [[PromptRow(row=TokenRow(input_ids=self._ids(prompt)), prompt=prompt)] for prompt in inputs]

    def length(self, chunk: PromptRow) -> int:
        """Tokens of the prompt."""
        return len(chunk.row)

    def forward(self, chunks: Sequence[PromptRow]) -> list[list[list[int]]]:
        """New tokens of every answer of each row."""
        batch = self.batch(chunks)
        sequences_BT = self.model.generate(
            batch.input_ids_BT, self.config, return_dict_in_generate=False, **self.given(batch)
        )
        new = sequences_BT[:, batch.input_ids_BT.shape[1] :].tolist()
        each = len(new) // len(chunks)
        return [new[place * each : (place + 1) * each] for place in range(len(chunks))]

    def postprocess(self, chunks: Sequence[PromptRow], raws: Sequence[list[list[int]]]) -> Generated:
        """A record for each answer to one prompt."""
        texts = self.tokenizer.batch_decode(raws[0], skip_special_tokens=self.skip_special_tokens)
        prompt = chunks[0].prompt
        if isinstance(prompt, str) or not self.options.get("return_full_text", True):
            before = prompt if isinstance(prompt, str) and self.options.get("return_full_text", True) else ""
            return [GeneratedText(generated_text=before + text) for text in texts]
        return [GeneratedChat(generated_text=self._with_answer(prompt, text)) for text in texts]

    @property
    def skip_special_tokens(self) -> bool:
        """Whether special tokens stay out of the text."""
        return self.options.get("skip_special_tokens", True)

    def batch(self, chunks: Sequence[PromptRow]) -> TextBatch:
        """The prompts padded on the left, so that new tokens follow them."""
        pad = self.tokenizer.pad_token_id
        rows = [chunk.row for chunk in chunks]
        return collate(rows, pad_token_id=0 if pad is None else pad, device=self.model.device, left=True)

    def given(self, batch: TextBatch) -> GenerateInputs:
        """What `generate` needs beside options."""
        given: GenerateInputs = {"attention_mask": batch.attention_mask_BT, "tokenizer": self.tokenizer}
        if "seed" in self.options:
            each = max(self.config.num_beams or 1, self.config.num_return_sequences or 1)
            given["seed"] = [self.options["seed"] + answer for answer in range(each)] * len(
                batch.input_ids_BT
            )
        return given

    def _ids(self, prompt: Prompt) -> list[int]:
        if isinstance(prompt, str):
            text = self.options.get("prefix", "") + prompt
            special = self.options.get("add_special_tokens", True)
            ids = self.tokenizer(text, add_special_tokens=special, truncation=False)["input_ids"]
        elif is_chat(prompt):
            ids = self._chat_ids(prompt)
        else:
            raise InputTypeError(
                "text-generation", "a text, or a list of {'role', 'content'} messages", prompt
            )
        if not ids:
            bos = self.tokenizer.bos_token_id
            if bos is None:
                fix = "give at least one character; this tokenizer has no token to begin a text with"
                raise EmptyInputError("the prompt has no token", fix=fix)
            return [bos]
        return self._with_room(ids)

    def _chat_ids(self, chat: Chat) -> list[int]:
        go_on = self._continues(chat)
        encoding = self.tokenizer.apply_chat_template(
            cast("Conversation", chat),
            tools=self.options.get("tools"),
            documents=self.options.get("documents"),
            add_generation_prompt=not go_on,
            continue_final_message=go_on,
        )
        ids: list[int] = encoding["input_ids"]
        return ids

    def _with_room(self, ids: list[int]) -> list[int]:
        """The prompt, or with handle_long_generation="hole" the end of it that leaves room for the new tokens."""
        new = self.config.max_new_tokens
        if self.options.get("handle_long_generation") != "hole" or new is None:
            return ids
        room = self.limit.tokens - new
        if room < 1:
            raise OptionValueError(
                f"max_new_tokens={new} leaves no room for a prompt: the model takes {self.limit.tokens} tokens",
                fix="ask for fewer new tokens",
            )
        return ids[-room:]

    def _continues(self, chat: Chat) -> bool:
        return self.options.get("continue_final_message", chat[-1]["role"] == "assistant")

    def _with_answer(self, chat: Chat, text: str) -> Chat:
        if self._continues(chat):
            before = chat[-1]["content"]
            if not isinstance(before, str):
                raise InputTypeError("text-generation", "text in a message that it is to continue", before)
            return [*chat[:-1], {**chat[-1], "content": before + text}]
        return [*chat, {"role": "assistant", "content": text}]


@final
class TextGenerationPipeline(Pipeline[Prompt, Generated, GenerationOptions]):
    """What a model says after a text, or in a conversation given as a list of messages.

    Where neither the call nor the checkpoint says how to generate, up to 256 new tokens are sampled at
    temperature 0.7.
    """

    task: ClassVar[str] = "text-generation"
    option_names: ClassVar[frozenset[str]] = GenerationOptions.__optional_keys__

    def __init__(self, parts: Parts, defaults: Mapping[str, object]) -> None:
        super().__init__(parts, defaults, limits=generation_limits(parts.model.device))

    @overload
    def __call__(self, inputs: str, **options: Unpack[GenerationOptions]) -> list[GeneratedText]: ...
    @overload
    def __call__(self, inputs: Chat, **options: Unpack[GenerationOptions]) -> list[GeneratedChat]: ...
    @overload
    def __call__(
        self, inputs: list[str], **options: Unpack[GenerationOptions]
    ) -> list[list[GeneratedText]]: ...
    @overload
    def __call__(
        self, inputs: list[Chat], **options: Unpack[GenerationOptions]
    ) -> list[list[GeneratedChat]]: ...
    @overload
    def __call__(
        self, inputs: Iterator[str], **options: Unpack[GenerationOptions]
    ) -> Iterator[list[GeneratedText]]: ...
    @overload
    def __call__(
        self, inputs: Iterator[Chat], **options: Unpack[GenerationOptions]
    ) -> Iterator[list[GeneratedChat]]: ...
    @overload
    def __call__(
        self, inputs: AsyncIterable[str], **options: Unpack[GenerationOptions]
    ) -> AsyncIterator[list[GeneratedText]]: ...
    @overload
    def __call__(
        self, inputs: AsyncIterable[Chat], **options: Unpack[GenerationOptions]
    ) -> AsyncIterator[list[GeneratedChat]]: ...
    def __call__(
        self,
        inputs: Inputs[Prompt] | list[str] | list[Chat] | AsyncIterable[str] | AsyncIterable[Chat],
        **options: Unpack[GenerationOptions],
    ) -> Any:  # the overloads say what for what
        """`num_return_sequences` records for each prompt or chat: one, a list, or a stream of them."""
        return self._run(inputs, options)

    def stream_text(self, prompt: Prompt, **options: Unpack[GenerationOptions]) -> Iterator[str]:
        """The answer to one prompt or chat in pieces, each as soon as its characters are complete.

        The pieces are the new text only. Stop iterating to stop generating. Raises ContradictionError of
        hf-modeling for beam search, which knows its answer at the end only.
        """
        task = self._task(self._merged(options))
        chunk = task.preprocess([prompt])[0][0]
        batch = task.batch([chunk])
        given = task.given(batch)
        run = start_run(task.model, batch.input_ids_BT, task.config, given)
        text = TextStream(self.tokenizer, skip_special_tokens=task.skip_special_tokens)
        return text_pieces(tokens_of(run, given), text)

    def _task(self, options: GenerationOptions) -> GenerationTask:
        return generation_task(self.task, self.parts, options)

    def _is_one(self, inputs: object) -> bool:
        return isinstance(inputs, str) or is_chat(inputs)


def generation_task(task: str, parts: Parts, options: GenerationOptions) -> GenerationTask:
    """One call that continues prompts. Raises what `generation_config` does, InputTypeError for other models."""
    model = parts.model
    if not isinstance(model, CausalLM):
        raise InputTypeError(task, "a causal language model", model)
    return GenerationTask(
        model=model,
        tokenizer=parts.tokenizer,
        config=generation_config(model, parts.tokenizer, options),
        options=options,
        limit=parts.limit,
    )


def generation_config(
    model: CausalLM, tokenizer: PreTrainedTokenizer, options: GenerationOptions
) -> GenerationConfig:
    """All options of `generate` for one call: the caller's, then the checkpoint's, then what users expect.

    Raises UnknownOptionError and ContradictionError of hf-modeling.
    """
    known = checkpoint_options(model)
    if (given := options.get("generation_config")) is not None:
        known = known.merged(given)
    asked = cast(
        "GenerateOptions", {n: v for n, v in options.items() if n in GenerateOptions.__optional_keys__}
    )
    if "stop_sequence" in options:
        asked["stop_strings"] = options["stop_sequence"]
    return merge_options(known.replace(**_fallback(known, asked)), None, asked)


def _fallback(known: GenerationConfig, asked: GenerateOptions) -> GenerateOptions:
    """What users of this pipeline expect where neither they nor the checkpoint say anything."""
    chosen: GenerateOptions = {}
    said = {*known.to_diff_dict(), *asked}
    if not said & {"max_length", "max_new_tokens"}:
        chosen["max_new_tokens"] = 256
    if not said & {
        "do_sample",
        "num_beams",
        "num_beam_groups",
        "penalty_alpha",
        "dola_layers",
        "force_words_ids",
    }:
        chosen["do_sample"] = True
        if "temperature" not in said:
            chosen["temperature"] = 0.7
    return chosen


def is_chat(value: object) -> bool:
    """Whether this is one conversation: a list of messages."""
    if not isinstance(value, list | tuple) or not value:
        return False
    return isinstance(value[0], dict) and {"role", "content"} <= value[0].keys()


def text_pieces(steps: Iterator[list[int]], text: TextStream) -> Iterator[str]:
    """The text of tokens as they are chosen, in pieces of whole characters."""
    while True:
        # Entered for each step, since a consumer may do anything between two of them.
        with torch.inference_mode():
            tokens = next(steps, None)
        piece = text.finish() if tokens is None else text.push(tokens)
        if piece:
            yield piece
        if tokens is None:
            return


def generation_limits(device: torch.device) -> Limits:
    """Few rows at a time, since all of them decode until the longest is finished."""
    if device.type == "cpu":
        return Limits(tokens=2048, rows=8, lookahead=32, overhead=512)
    return Limits(tokens=65_536, rows=64, lookahead=256, overhead=16_384)
