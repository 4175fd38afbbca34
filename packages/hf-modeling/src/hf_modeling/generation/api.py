"""`generate`: from a prompt and options to sequences."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, Unpack, overload

import torch
from torch import Tensor

from hf_config import GenerationConfig
from hf_modeling.cache.static import StaticCache
from hf_modeling.generation.assisted import assisted
from hf_modeling.generation.compiled import compiled_of
from hf_modeling.generation.conditioned import Conditioned
from hf_modeling.generation.constraints import constrained_beam_search
from hf_modeling.generation.contrastive import contrastive_search
from hf_modeling.generation.dola import dola
from hf_modeling.generation.errors import ContradictionError
from hf_modeling.generation.isolated import one_by_one
from hf_modeling.generation.model import LanguageModel
from hf_modeling.generation.options import GenerateArguments, GenerateInputs, merge_options, split_arguments
from hf_modeling.generation.output import GenerateOutput
from hf_modeling.generation.plan import BEAMS, ONE_SEQUENCE, GenerationMode, choose_mode, token_ids
from hf_modeling.generation.run import Run, decode
from hf_modeling.generation.search import beam_search, group_beam_search
from hf_modeling.generation.start import checkpoint_options, make_drafter, start_run
from hf_modeling.generation.streamers import BaseStreamer


@overload
def generate(
    model: LanguageModel,
    inputs: Tensor | None = ...,
    generation_config: GenerationConfig | None = ...,
    *,
    return_dict_in_generate: Literal[True],
    **arguments: Unpack[GenerateArguments],
) -> GenerateOutput: ...


@overload
def generate(
    model: LanguageModel,
    inputs: Tensor | None = ...,
    generation_config: GenerationConfig | None = ...,
    *,
    return_dict_in_generate: Literal[False] | None = ...,
    **arguments: Unpack[GenerateArguments],
) -> Tensor: ...


def generate(
    model: LanguageModel,
    inputs: Tensor | None = None,
    generation_config: GenerationConfig | None = None,
    *,
    return_dict_in_generate: bool | None = None,
    **arguments: Unpack[GenerateArguments],
) -> Tensor | GenerateOutput:
    """Sequences (B, T): the prompt and what the model says after it.

    Without a length the text runs until the model ends it, or its context does. Finished sequences are filled
    with the padding token.

    Args:
        model: a causal language model.
        inputs: ids of the prompts (B, T), padded on either side; None starts with the beginning-of-text token.
        generation_config: options; unset ones come from the checkpoint.
        return_dict_in_generate: True gives a `GenerateOutput`, with the reason why each sequence ended.
        arguments: options by keyword (`GenerateOptions`), and what belongs to this call (`GenerateInputs`).

    Raises:
        GenerationError: of the kind that says what is wrong with prompt, options or cache.
        ConfigError: an option out of range.
    """
    given, options = split_arguments(arguments)
    config = merge_options(model.generation_config or checkpoint_options(model), generation_config, options)
    if return_dict_in_generate is not None:
        config = config.replace(return_dict_in_generate=return_dict_in_generate)
    alone = choose_mode(config, assisted=given.get("assistant_model") is not None) in ONE_SEQUENCE
    if given.get("deterministic") or (alone and inputs is not None and len(inputs) > 1):
        filler = (*token_ids(config.pad_token_id), *token_ids(config.eos_token_id), 0)[0]
        output = one_by_one(
            lambda row, ids, own: _complete(_alone(model, row), ids, config, own), inputs, given, filler
        )
    else:
        output = _complete(model, inputs, config, given)
    return output if config.return_dict_in_generate else output.sequences


def tokens_of(run: Run, given: GenerateInputs) -> Iterator[list[int]]:
    """The tokens of each step, one a sequence, for the ways to decode that choose them one after the other.

    Raises:
        ContradictionError: beam search knows its answer at the end only.
    """
    match run.plan.mode:
        case GenerationMode.GREEDY_SEARCH | GenerationMode.SAMPLE:
            return decode(run)
        case GenerationMode.CONTRASTIVE_SEARCH:
            return contrastive_search(run)
        case GenerationMode.DOLA_GENERATION:
            return dola(run)
        case GenerationMode.ASSISTED_GENERATION:
            return assisted(run, make_drafter(run, given))
        case mode:
            raise ContradictionError(
                ("streaming", mode.value), "its tokens are not final before the end", fix="pass num_beams=1"
            )


def _complete(
    model: LanguageModel, inputs: Tensor | None, config: GenerationConfig, given: GenerateInputs
) -> GenerateOutput:
    """Start and run to the end."""
    run = start_run(model, inputs, config, given)
    streamer = given.get("streamer")
    with torch.inference_mode():
        if streamer is None and run.plan.mode in BEAMS:
            return _searched(run)
        steps = tokens_of(run, given)
        if streamer is not None:
            _feed(streamer, run, steps)
        else:
            for _ in steps:
                pass
    # A caller who asked for the output may go on with its cache; otherwise a later call can have it.
    if (
        run.compiled is not None
        and isinstance(run.cache, StaticCache)
        and run.record is None
        and run.copies == 1
    ):
        compiled_of(model).give_back(run.cache, run.prompt.batch, model.dtype, model.device)
    return run.output()


def _alone(model: LanguageModel, row: int) -> LanguageModel:
    """The model as one sequence of a batch has it: a decoder reads only that sequence's text."""
    return model.row(row) if isinstance(model, Conditioned) else model


def _searched(run: Run) -> GenerateOutput:
    match run.plan.mode:
        case GenerationMode.GROUP_BEAM_SEARCH:
            return group_beam_search(run)
        case GenerationMode.CONSTRAINED_BEAM_SEARCH:
            return constrained_beam_search(run)
        case _:
            return beam_search(run)


def _feed(streamer: BaseStreamer, run: Run, steps: Iterator[list[int]]) -> None:
    """Hand every step to a streamer."""
    streamer.put(run.prompt.given)
    try:
        for tokens in steps:
            streamer.put(torch.tensor(tokens))
    finally:
        # A consumer in another thread would wait for ever for the end of a failed run.
        streamer.end()
