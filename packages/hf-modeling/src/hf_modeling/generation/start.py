"""The start of a call: everything that is checked and decided before the model runs."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from hf_config import GenerationConfig
from hf_modeling.generation.assemble import make_criteria, make_processors
from hf_modeling.generation.caches import check_cache, make_cache
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
from hf_modeling.generation.model import LanguageModel
from hf_modeling.generation.options import GenerateInputs
from hf_modeling.generation.output import Record
from hf_modeling.generation.plan import BEAMS, ONE_SEQUENCE, Plan, make_plan, need_pad, token_ids
from hf_modeling.generation.processors.base import LogitsProcessor
from hf_modeling.generation.processors.guidance import UnbatchedClassifierFreeGuidanceLogitsProcessor
from hf_modeling.generation.prompt import Prompt, prepare_prompt
from hf_modeling.generation.run import Run
from hf_modeling.generation.sampling import sampler_for
from hf_modeling.generation.unconditional import UnconditionalText
from hf_modeling.packed import prepare_for_inference


def start_run(
    model: LanguageModel, inputs: Tensor | None, config: GenerationConfig, given: GenerateInputs
) -> Run:
    """Everything that is checked and decided before the model runs."""
    if isinstance(model, nn.Module) and model.device.type == "cpu":
        prepare_for_inference(model)
    vocabulary = model.vocabulary_size
    prompt = prepare_prompt(
        inputs,
        mask=given.get("attention_mask"),
        embeds=given.get("inputs_embeds"),
        device=model.device,
        vocabulary=vocabulary,
        pad=config.pad_token_id,
        eos=token_ids(config.eos_token_id),
        bos=config.bos_token_id,
    )
    assistant = given.get("assistant_model")
    plan = make_plan(
        config,
        model.config,
        prompt_length=prompt.length,
        assisted=assistant is not None,
        frequency_penalty=given.get("frequency_penalty", 0.0),
        presence_penalty=given.get("presence_penalty", 0.0),
    )
    copies = plan.num_beams if plan.mode in BEAMS else plan.num_return_sequences
    cache = given.get("past_key_values")
    slack = SLACK if plan.mode in ONE_SEQUENCE else 0
    if cache is None:
        cache = make_cache(model, plan, batch=prompt.batch, slack=slack)
    else:
        cache = check_cache(cache, model, plan)
    prompt = prompt.repeated(copies)
    need_pad(plan, prompt.batch)
    return Run(
        model=model,
        plan=plan,
        prompt=prompt,
        cache=cache,
        sampler=sampler_for(bool(config.do_sample), _seeds(given.get("seed"), prompt.batch)),
        processors=make_processors(
            plan,
            prompt,
            vocabulary=vocabulary,
            custom=given.get("logits_processor") or (),
            allowed=given.get("prefix_allowed_tokens_fn"),
            guidance=_guidance(model, plan, prompt, given),
        ),
        criteria=make_criteria(
            plan, custom=given.get("stopping_criteria") or (), tokenizer=given.get("tokenizer")
        ),
        record=_record(config),
        copies=copies,
    )


def checkpoint_options(model: LanguageModel) -> GenerationConfig:
    """The options that the checkpoint brought along, in either of its files."""
    own = model.generation_config
    return GenerationConfig.from_model_config(model.config) if own is None else own


def _record(config: GenerationConfig) -> Record:
    wanted = bool(config.return_dict_in_generate)
    return Record.of(
        scores=wanted and bool(config.output_scores),
        logits=wanted and bool(config.output_logits),
        attentions=wanted and bool(config.output_attentions),
        hidden_states=wanted and bool(config.output_hidden_states),
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


def _guidance(
    model: LanguageModel, plan: Plan, prompt: Prompt, given: GenerateInputs
) -> LogitsProcessor | None:
    """The processor that guides away from the negative prompt."""
    scale = plan.config.guidance_scale
    if scale is None or scale == 1:
        return None
    if plan.mode in BEAMS:
        raise ContradictionError(
            ("guidance_scale", plan.mode.value),
            "the second text cannot follow beams that change places",
            fix="pass num_beams=1",
        )
    unconditional = UnconditionalText(
        model,
        batch=prompt.batch,
        prompt_length=prompt.ids.shape[1],
        negative_ids=given.get("negative_prompt_ids"),
        negative_mask=given.get("negative_prompt_attention_mask"),
        use_cache=plan.config.use_cache is not False,
    )
    return UnbatchedClassifierFreeGuidanceLogitsProcessor(scale, unconditional)


def _seeds(seed: int | Sequence[int] | None, batch: int) -> Sequence[int] | None:
    """One seed for every sequence; a single number counts up from itself."""
    if seed is None:
        return None
    seeds = [seed + row for row in range(batch)] if isinstance(seed, int) else list(seed)
    if len(seeds) != batch:
        raise OptionError("seed", seed, f"one number, or {batch}, one for every sequence")
    return seeds
