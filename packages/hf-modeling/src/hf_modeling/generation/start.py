"""The start of a call: everything that is checked and decided before the model runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from hf_config import GenerationConfig
from hf_modeling.cache.static import StaticCache
from hf_modeling.generation.assemble import PROCESSOR_OPTIONS, make_criteria, make_processors
from hf_modeling.generation.caches import check_cache, make_cache
from hf_modeling.generation.compiled import Step, compiled_step, default_config
from hf_modeling.generation.drafting import (
    CONFIDENCE,
    DRAFTED,
    SLACK,
    Drafter,
    DraftLength,
    ModelDrafter,
    PromptLookupDrafter,
    TranslatingDrafter,
)
from hf_modeling.generation.errors import ContradictionError, DetokenizerNeededError, OptionError
from hf_modeling.generation.grammar import Grammar, GrammarLogitsProcessor
from hf_modeling.generation.healing import heal
from hf_modeling.generation.model import LanguageModel
from hf_modeling.generation.options import GenerateInputs
from hf_modeling.generation.output import Record
from hf_modeling.generation.plan import BEAMS, ONE_SEQUENCE, make_plan, need_pad, token_ids
from hf_modeling.generation.processors.base import LogitsProcessor
from hf_modeling.generation.processors.guidance import UnbatchedClassifierFreeGuidanceLogitsProcessor
from hf_modeling.generation.prompt import Prompt, prepare_prompt
from hf_modeling.generation.run import Run
from hf_modeling.generation.sampling import RandomSampler, Sampler, SeededSampler, greedy
from hf_modeling.generation.unconditional import UnconditionalText
from hf_modeling.packed import prepare_for_inference


def start_run(
    model: LanguageModel, inputs: Tensor | None, config: GenerationConfig, given: GenerateInputs
) -> Run:
    """Everything that is checked and decided before the model runs."""
    compiling = given.get("compile", config.compile_config is not None and not config.disable_compile)
    if isinstance(model, nn.Module) and not compiling:
        prepare_for_inference(model)
    vocabulary, eos = model.vocabulary_size, token_ids(config.eos_token_id)
    prompt = prepare_prompt(
        inputs,
        mask=given.get("attention_mask"),
        embeds=given.get("inputs_embeds"),
        device=model.device,
        vocabulary=vocabulary,
        pad=config.pad_token_id,
        eos=eos,
        bos=config.bos_token_id,
    )
    if (source := given.get("encoder_input_ids")) is not None:
        prompt = replace(prompt, source=source)
    if config.token_healing:
        prompt = _healed(model, prompt, given)
    plan = make_plan(
        config,
        model.config,
        eos,
        prompt_length=prompt.length,
        assisted=given.get("assistant_model") is not None,
        frequency_penalty=given.get("frequency_penalty", 0.0),
        presence_penalty=given.get("presence_penalty", 0.0),
    )
    cache, slack = given.get("past_key_values"), SLACK if plan.mode in ONE_SEQUENCE else 0
    if cache is None:
        cache = make_cache(model, plan, batch=prompt.batch, slack=slack, compiling=compiling)
    else:
        check_cache(cache, model, plan)
    copies = plan.num_beams if plan.mode in BEAMS else plan.num_return_sequences
    if copies > 1:
        prompt = prompt.repeated(copies)
    run = Run(
        model=model,
        plan=plan,
        prompt=prompt,
        cache=cache,
        sampler=_sampler(given.get("seed"), prompt.batch) if config.do_sample else greedy,
        record=_record(config) if config.return_dict_in_generate else None,
        copies=copies,
    )
    _attach(run, given)
    if compiling:
        run.compiled = _compiled(run)
    return run


def _healed(model: LanguageModel, prompt: Prompt, given: GenerateInputs) -> Prompt:
    """The prompt with the last token of each row chosen anew.

    Raises:
        DetokenizerNeededError: without a tokenizer.
    """
    tokenizer = given.get("tokenizer")
    if tokenizer is None:
        raise DetokenizerNeededError("token_healing")
    with torch.inference_mode():
        ids = heal(model, prompt.given, prompt.given_mask, tokenizer.get_vocab())
    return prepare_prompt(
        ids.clone(),
        mask=prompt.given_mask,
        embeds=None,
        device=model.device,
        vocabulary=model.vocabulary_size,
        pad=None,
        eos=(),
        bos=None,
    )


def _compiled(run: Run) -> Step:
    """The compiled step of a run.

    Raises:
        ContradictionError: the run needs more than logits, or has no fixed memory.
    """
    if run.record is not None and run.record.keeps_layers:
        raise ContradictionError(
            ("compile", "output_attentions or output_hidden_states"),
            "a compiled step gives logits only",
            fix="leave one of them out",
        )
    if not isinstance(run.cache, StaticCache):
        raise ContradictionError(
            ("compile", "past_key_values"),
            "a compiled step needs fixed memory",
            "pass a StaticCache, or none",
        )
    return compiled_step(run.model, run.plan.config.compile_config or default_config(run.model.device))


def _attach(run: Run, given: GenerateInputs) -> None:
    """Give a run its processors and criteria, where there are any."""
    plan, values = run.plan, vars(run.plan.config)
    custom, allowed = given.get("logits_processor"), given.get("prefix_allowed_tokens_fn")
    penalised = plan.frequency_penalty or plan.presence_penalty
    # The token with id 0 is a token like any other.
    forced = plan.config.forced_bos_token_id is not None or plan.config.forced_eos_token_id is not None
    if custom or allowed or penalised or forced or any(values[name] for name in PROCESSOR_OPTIONS):
        guided = plan.config.guidance_scale not in (None, 1)
        run.processors = make_processors(
            plan,
            run.prompt,
            vocabulary=run.model.vocabulary_size,
            custom=custom or (),
            allowed=allowed,
            guidance=_guidance(run, given) if guided else None,
        )
    grammar = given.get("grammar")
    if grammar is not None:
        # First, so that what truncates the distribution chooses among tokens that are allowed.
        run.processors = [_grammar_processor(grammar, run, given), *run.processors]
    stops = given.get("stopping_criteria")
    if stops or values["stop_strings"] is not None or values["max_time"] is not None:
        need_pad(plan, run.prompt.batch)
        run.criteria = make_criteria(plan, custom=stops or (), tokenizer=given.get("tokenizer"))


def _grammar_processor(grammar: Grammar, run: Run, given: GenerateInputs) -> LogitsProcessor:
    tokenizer = given.get("grammar_tokenizer")
    if tokenizer is None:
        raise DetokenizerNeededError("grammar")
    return GrammarLogitsProcessor(
        grammar,
        tokenizer,
        eos_token_id=run.plan.eos,
        vocab_size=run.model.vocabulary_size,
        prompt_length=run.length,
    )


def checkpoint_options(model: LanguageModel) -> GenerationConfig:
    """The options that the checkpoint brought along, in either of its files."""
    if model.generation_config is None:
        model.generation_config = GenerationConfig.from_model_config(model.config)
    return model.generation_config


def _record(config: GenerationConfig) -> Record:
    return Record.of(
        scores=bool(config.output_scores),
        logits=bool(config.output_logits),
        attentions=bool(config.output_attentions),
        hidden_states=bool(config.output_hidden_states),
    )


def make_drafter(run: Run, given: GenerateInputs) -> Drafter:
    """The drafter that options ask for.

    Raises:
        DetokenizerNeededError: two tokenizers are needed, and one was given.
        OptionError: an assistant's vocabulary is not the model's, and no tokenizers were given.
    """
    config, assistant = run.plan.config, given.get("assistant_model")
    if config.prompt_lookup_num_tokens is not None and assistant is None:
        return PromptLookupDrafter(config.prompt_lookup_num_tokens, config.max_matching_ngram_size or 2)
    if assistant is None:
        # Imported here: the model's module imports generation.
        from hf_modeling.generation.early_exit import first_layers

        assistant = first_layers(run.model, config.assistant_early_exit or 0)
    own, other = given.get("tokenizer"), given.get("assistant_tokenizer")
    threshold = config.assistant_confidence_threshold
    drafter = ModelDrafter(
        assistant,
        run,
        DraftLength(
            config.num_assistant_tokens or DRAFTED, config.num_assistant_tokens_schedule or "constant"
        ),
        CONFIDENCE if threshold is None else threshold,
        same_tokens=other is None,
    )
    if other is None:
        if assistant.vocabulary_size != run.model.vocabulary_size:
            raise OptionError(
                "assistant_model",
                f"a model with {assistant.vocabulary_size} tokens",
                f"one with the model's {run.model.vocabulary_size}, or come with tokenizer and assistant_tokenizer",
            )
        return drafter
    if own is None:
        raise DetokenizerNeededError("assistant_tokenizer")
    return TranslatingDrafter(drafter, own, other, config.target_lookbehind or 10)


def _guidance(run: Run, given: GenerateInputs) -> LogitsProcessor:
    """The processor that guides away from the negative prompt."""
    if run.plan.mode in BEAMS:
        raise ContradictionError(
            ("guidance_scale", run.plan.mode.value),
            "the second text cannot follow beams that change places",
            fix="pass num_beams=1",
        )
    unconditional = UnconditionalText(
        run.model,
        batch=run.prompt.batch,
        prompt_length=run.length,
        negative_ids=given.get("negative_prompt_ids"),
        negative_mask=given.get("negative_prompt_attention_mask"),
        use_cache=run.cache is not None,
    )
    return UnbatchedClassifierFreeGuidanceLogitsProcessor(
        run.plan.config.guidance_scale or 1.0, unconditional
    )


def _sampler(seed: int | Sequence[int] | None, batch: int) -> Sampler:
    """Draws from torch's stream, or with a seed for every sequence; a single number counts up from itself."""
    if seed is None:
        return RandomSampler()
    seeds = [seed + row for row in range(batch)] if isinstance(seed, int) else list(seed)
    if len(seeds) != batch:
        raise OptionError("seed", seed, f"one number, or {batch}, one for every sequence")
    return SeededSampler(seeds)
