"""`generate` of encoder-decoders: the encoder runs once, then the decoder answers like any language model.

A texts, S tokens of a text, T of an answer.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, replace
from typing import Literal, Unpack, cast, overload

import torch
from torch import Tensor, nn

from hf_config import GenerationConfig
from hf_modeling.generation import api, streaming
from hf_modeling.generation.conditioned import Conditioned, EncoderDecoder
from hf_modeling.generation.errors import ContradictionError, MissingTokenError, PromptError
from hf_modeling.generation.options import GenerateArguments, merge_options, split_arguments
from hf_modeling.generation.output import GenerateOutput
from hf_modeling.generation.plan import token_ids
from hf_modeling.generation.prompt import Prompt, prepare_prompt
from hf_modeling.generation.streaming import StreamEvent
from hf_modeling.inputs import MoreInputs
from hf_modeling.outputs import BaseModelOutputWithPooling


class ConditionalArguments(GenerateArguments, MoreInputs, total=False):
    """Every keyword of an encoder-decoder's `generate`, what only some encoders read among them.

    attention_mask, inputs_embeds: of the text that the encoder reads.
    encoder_outputs: what the encoder gave in an earlier call, in place of ids.
    decoder_input_ids: how the answer begins (A, T); the start token is put in front where it is missing.
    decoder_attention_mask: 1 for its real tokens.
    assistant_model: a smaller encoder-decoder that drafts tokens; it reads the same text.
    """

    encoder_outputs: BaseModelOutputWithPooling | tuple[Tensor, ...] | None
    decoder_input_ids: Tensor | None
    decoder_attention_mask: Tensor | None


@dataclass(frozen=True, slots=True)
class Call:
    """A call of `generate` after its texts were read: how the answers begin, and what else was given."""

    decoder: Conditioned
    start_AT: Tensor
    arguments: GenerateArguments


@overload
def generate(
    model: EncoderDecoder,
    inputs: Tensor | None = ...,
    generation_config: GenerationConfig | None = ...,
    *,
    return_dict_in_generate: Literal[True],
    **arguments: Unpack[ConditionalArguments],
) -> GenerateOutput: ...


@overload
def generate(
    model: EncoderDecoder,
    inputs: Tensor | None = ...,
    generation_config: GenerationConfig | None = ...,
    *,
    return_dict_in_generate: Literal[False] | None = ...,
    **arguments: Unpack[ConditionalArguments],
) -> Tensor: ...


def generate(
    model: EncoderDecoder,
    inputs: Tensor | None = None,
    generation_config: GenerationConfig | None = None,
    *,
    return_dict_in_generate: bool | None = None,
    **arguments: Unpack[ConditionalArguments],
) -> Tensor | GenerateOutput:
    """Answers (A, T) to texts, from the decoder's start token on.

    The encoder reads each text once, whatever the number of beams or answers. Options are those of a causal
    model's `generate`; lengths count tokens of the answer, its start token among them in `max_length`.

    Args:
        model: an encoder-decoder with a vocabulary head.
        inputs: ids of the texts (A, S), padded on either side.
        generation_config: options; unset ones come from the checkpoint.
        return_dict_in_generate: True gives a `GenerateOutput`, with the reason why each answer ended.
        arguments: options by keyword, and what belongs to this call.

    Raises:
        GenerationError: of the kind that says what is wrong with texts, options or cache.
        ConfigError: an option out of range.
    """
    call = begin(model, inputs, generation_config, arguments)
    if return_dict_in_generate:
        return api.generate(
            call.decoder, call.start_AT, generation_config, return_dict_in_generate=True, **call.arguments
        )
    return api.generate(
        call.decoder,
        call.start_AT,
        generation_config,
        return_dict_in_generate=return_dict_in_generate,
        **call.arguments,
    )


def stream(
    model: EncoderDecoder,
    inputs: Tensor | None = None,
    generation_config: GenerationConfig | None = None,
    **arguments: Unpack[ConditionalArguments],
) -> Iterator[StreamEvent]:
    """Events as tokens of the answers are chosen. As `streaming.stream`; raises as `generate`."""
    call = begin(model, inputs, generation_config, arguments)
    return streaming.stream(call.decoder, call.start_AT, generation_config, **call.arguments)


async def astream(
    model: EncoderDecoder,
    inputs: Tensor | None = None,
    generation_config: GenerationConfig | None = None,
    **arguments: Unpack[ConditionalArguments],
) -> AsyncIterator[StreamEvent]:
    """As `stream`, with the model running in another thread while the event loop goes on."""
    call = begin(model, inputs, generation_config, arguments)
    async for event in streaming.astream(call.decoder, call.start_AT, generation_config, **call.arguments):
        yield event


def begin(
    model: EncoderDecoder,
    inputs: Tensor | None,
    generation_config: GenerationConfig | None,
    arguments: ConditionalArguments,
) -> Call:
    """Check the texts, let the encoder read them, and work out how the answers begin. Raises as `generate`."""
    rest = cast(
        "GenerateArguments", {name: given for name, given in arguments.items() if name not in _SOURCE}
    )
    given, options = split_arguments(rest)
    checkpoint = model.generation_config
    if checkpoint is None:
        checkpoint = model.generation_config = GenerationConfig.from_model_config(model.config)
    config = merge_options(checkpoint, generation_config, options)
    if given.get("compile"):
        raise ContradictionError(
            ("compile=True", "an encoder-decoder"),
            "its decoder's shapes change with every text",
            fix="leave compile out",
        )
    outputs = arguments.get("encoder_outputs")
    if outputs is None:
        source = _source(model, inputs, config, arguments)
        decoder = Conditioned(model, source.batch, source=source, more=_more(arguments))
    else:
        source, states = None, _bridged(model, outputs)
        mask = arguments.get("attention_mask")
        decoder = Conditioned(model, states.shape[0], states_ASD=states, attention_mask=mask)
    start_AT = _start(config, decoder, arguments.get("decoder_input_ids"))
    mask = arguments.get("decoder_attention_mask")
    if mask is None:
        mask = torch.ones_like(start_AT)
    elif mask.shape[1] < start_AT.shape[1]:
        mask = nn.functional.pad(mask, (start_AT.shape[1] - mask.shape[1], 0), value=1)
    rest["attention_mask"] = mask
    ids = inputs if source is None else source.given
    if ids is not None and ids.shape[1]:
        rest["encoder_input_ids"] = ids
    assistant = given.get("assistant_model")
    if assistant is not None and isinstance(assistant, type(model)):
        rest["assistant_model"] = _assistant(assistant, source)
    return Call(decoder, start_AT, rest)


_SOURCE = frozenset(
    {
        "attention_mask",
        "inputs_embeds",
        "encoder_outputs",
        "decoder_input_ids",
        "decoder_attention_mask",
        "return_dict_in_generate",
        *MoreInputs.__annotations__,
    }
)
"""Arguments that say what is read, not how to answer."""


def _source(
    model: EncoderDecoder, inputs: Tensor | None, config: GenerationConfig, arguments: ConditionalArguments
) -> Prompt:
    """The texts, checked; padding found where no mask says what it is."""
    embeds = arguments.get("inputs_embeds")
    if inputs is None and embeds is None:
        raise PromptError(
            "there is no text to answer: neither input_ids, inputs_embeds nor encoder_outputs were given",
            fix="pass the ids of the text",
        )
    source = prepare_prompt(
        inputs,
        mask=arguments.get("attention_mask"),
        embeds=embeds,
        device=model.device,
        vocabulary=model.source_vocabulary_size,
        pad=config.pad_token_id,
        eos=token_ids(config.eos_token_id),
        bos=None,
    )
    # An encoder does not mind where padding is, and what it gives stays in the caller's order.
    return replace(source, ids=source.given, mask=source.given_mask, embeds=embeds)


def _more(arguments: ConditionalArguments) -> MoreInputs:
    """What only this encoder reads."""
    names = MoreInputs.__annotations__
    more = {name: given for name in names if (given := arguments.get(name)) is not None}
    return cast("MoreInputs", more)


def _bridged(model: EncoderDecoder, outputs: BaseModelOutputWithPooling | tuple[Tensor, ...]) -> Tensor:
    """The states of an earlier call of the encoder, at the decoder's width."""
    states_ASD = outputs[0] if isinstance(outputs, tuple) else outputs.last_hidden_state
    bridge = model.model.bridge
    return states_ASD if bridge is None else bridge(states_ASD)


def _start(config: GenerationConfig, decoder: Conditioned, given: Tensor | None) -> Tensor:
    """How each answer begins, (A, T): with the start token, and what the caller gave.

    Raises:
        MissingTokenError: nothing says which token that is.
    """
    start = config.decoder_start_token_id
    if start is None:
        start = config.bos_token_id
    rows = decoder.texts
    if start is None:
        if given is not None:
            return given
        raise MissingTokenError("decoder_start_token_id", "the decoder has to start with something")
    tokens = torch.tensor(start, dtype=torch.long, device=decoder.device).view(-1, 1)
    if tokens.shape[0] not in (1, rows):
        raise PromptError(
            f"decoder_start_token_id has {tokens.shape[0]} tokens for {rows} texts",
            fix="give one token, or one for each text",
        )
    first_A1 = tokens.expand(rows, 1)
    if given is None:
        return first_A1
    return given if bool((given[:, :1] == first_A1).all()) else torch.cat((first_A1, given), dim=1)


def _assistant(assistant: EncoderDecoder, source: Prompt | None) -> Conditioned:
    """The assistant, which has read the same texts."""
    if source is None:
        raise ContradictionError(
            ("assistant_model", "encoder_outputs"),
            "the assistant has to read the text itself",
            fix="pass the ids of the text",
        )
    return Conditioned(assistant, source.batch, source=source)
