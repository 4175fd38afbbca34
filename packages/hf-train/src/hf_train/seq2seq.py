"""`Seq2SeqTrainer`: a Trainer whose metrics can see generated text."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Unpack, cast

import torch
from torch import Tensor, nn

from hf_config import GenerationConfig
from hf_modeling.generation.options import GenerateOptions
from hf_train.arguments import Seq2SeqTrainingArguments
from hf_train.data.columns import inner_model, parameters_of
from hf_train.errors import TrainingModelError
from hf_train.outputs import PredictionOutput
from hf_train.prediction import predict_batch
from hf_train.trainer import Trainer

_FOR_DECODER = ("decoder_input_ids", "decoder_attention_mask")


class Seq2SeqTrainer(Trainer):
    """A Trainer for encoder-decoders.

    With `predict_with_generate`, predictions are the tokens that `generate` gives for each row, filled with the
    padding token; the loss is that of the labels, as ever. Options of generation are those of
    `generation_config`, then `generation_max_length` and `generation_num_beams`, then those given to `evaluate`
    and `predict`.
    """

    _options: GenerateOptions | None = None

    def evaluate(
        self,
        eval_dataset: Any = None,
        ignore_keys: Sequence[str] | None = None,
        metric_key_prefix: str = "eval",
        **options: Unpack[GenerateOptions],
    ) -> dict[str, float]:
        """As `Trainer.evaluate`, generating with these options."""
        self._options = options
        try:
            return super().evaluate(eval_dataset, ignore_keys, metric_key_prefix)
        finally:
            self._options = None

    def predict(
        self,
        test_dataset: Any,
        ignore_keys: Sequence[str] | None = None,
        metric_key_prefix: str = "test",
        **options: Unpack[GenerateOptions],
    ) -> PredictionOutput:
        """As `Trainer.predict`, generating with these options."""
        self._options = options
        try:
            return super().predict(test_dataset, ignore_keys, metric_key_prefix)
        finally:
            self._options = None

    def prediction_step(
        self,
        model: nn.Module,
        inputs: dict[str, Any],
        prediction_loss_only: bool,
        ignore_keys: Sequence[str] | None = None,
    ) -> tuple[Tensor | None, Any, Any]:
        """Loss, generated tokens and labels of one batch."""
        args = self.args
        generating = isinstance(args, Seq2SeqTrainingArguments) and args.predict_with_generate
        if not generating or prediction_loss_only:
            return super().prediction_step(model, inputs, prediction_loss_only, ignore_keys)
        tokens = self.generated(inputs)
        loss = None
        if inputs.get("labels") is not None:
            loss, _, _ = predict_batch(self, model, dict(inputs), True, ignore_keys)
        labels = inputs.get("labels")
        return loss, tokens, labels.to(tokens.device) if isinstance(labels, Tensor) else None

    @torch.no_grad()
    def generated(self, inputs: dict[str, Any]) -> Tensor:
        """What the model generates for a batch, (B, T). Raises TrainingModelError if it cannot generate."""
        inner = inner_model(self.model)
        generate: Callable[..., Tensor] | None = getattr(inner, "generate", None)
        if generate is None:
            raise TrainingModelError(
                f"predict_with_generate is set, and {type(inner).__name__} does not generate",
                fix="use a model for conditional generation, or leave it out",
            )
        given = {name: v for name, v in self.prepare_inputs(dict(inputs)).items() if name != "labels"}
        labels, decoder = inputs.get("labels"), given.get("decoder_input_ids")
        if isinstance(labels, Tensor) and isinstance(decoder, Tensor) and labels.shape == decoder.shape:
            # Made of the labels, for their loss: with them the model would be told the answer.
            given = {name: value for name, value in given.items() if name not in _FOR_DECODER}
        prompt = given.pop("input_ids", None)
        taken = {name: value for name, value in given.items() if name in parameters_of(inner)}
        with self.compute_loss_context_manager():
            return generate(prompt, self.generation_config(), **taken, **self.generation_options())

    def generation_options(self) -> GenerateOptions:
        """Options by keyword, those given to this call before those of the arguments."""
        args, options = self.args, dict(self._options or {})
        assert isinstance(args, Seq2SeqTrainingArguments)
        if options.get("max_length") is None and options.get("max_new_tokens") is None:
            options["max_length"] = args.generation_max_length
        if options.get("num_beams") is None:
            options["num_beams"] = args.generation_num_beams
        return cast("GenerateOptions", {name: value for name, value in options.items() if value is not None})

    def generation_config(self) -> GenerationConfig | None:
        """The options of generation that the arguments name; None for the model's own."""
        args = self.args
        assert isinstance(args, Seq2SeqTrainingArguments)
        config = args.generation_config
        return GenerationConfig.from_pretrained(config) if isinstance(config, str | Path) else config
