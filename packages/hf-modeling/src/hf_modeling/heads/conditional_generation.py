"""`ConditionalGeneration`: an encoder-decoder that gives logits of the next token of an answer.

B rows, S tokens of the text, T of the answer, D width, V vocabulary.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Unpack, final

import torch
from torch import Tensor, nn

from hf_modeling.generation.conditional import astream, generate, stream
from hf_modeling.generation.conditional_many import generate_many
from hf_modeling.heads.parts import build_lm_head, build_transform
from hf_modeling.init import without_weights
from hf_modeling.inputs import MoreInputs
from hf_modeling.layers.base import META
from hf_modeling.loss import IGNORED, chunk_of, chunked_cross_entropy, cross_entropy
from hf_modeling.model import PreTrainedModel
from hf_modeling.outputs import BaseModelOutputWithPooling, Seq2SeqLMOutput
from hf_modeling.seq2seq import Seq2Seq, seq2seq_spec

if TYPE_CHECKING:
    from hf_config import PreTrainedConfig
    from hf_modeling.cache import Cache, DynamicCache, EncoderDecoderCache
    from hf_modeling.decoder import Decoder
    from hf_modeling.encoder import Encoder
    from hf_modeling.spec import ModelSpec


@final
class LogitsBias(nn.Module):
    """Numbers (V,) that are stored with the weights, added to logits, and not trained."""

    def __init__(self, vocabulary: int) -> None:
        super().__init__()
        self.register_buffer("values", torch.zeros(vocabulary, device=META))

    if TYPE_CHECKING:
        values: Tensor

        def __call__(self, logits: Tensor) -> Tensor: ...

    def forward(self, logits: Tensor) -> Tensor:
        return logits + self.values

    def init_weights(self, std: float) -> None:
        nn.init.zeros_(self.values)


class ConditionalGeneration(PreTrainedModel):
    """An encoder-decoder with a vocabulary head: translation, summaries, answers."""

    task = "seq2seq-lm"
    tokens = "encoder.embed_tokens"

    def __init__(self, config: PreTrainedConfig, spec: ModelSpec | None = None) -> None:
        super().__init__(config)
        spec = seq2seq_spec(self, config, spec)
        with without_weights():
            self.model = Seq2Seq(config, spec)
        table, head = self.model.decoder.embed_tokens, spec.decoder.head
        width, transform = spec.decoder.width, head.transform
        self.lm_transform = None if transform is None else build_transform(transform, width)
        self.lm_head = build_lm_head(head, width if transform is None else transform.dim or width, table)
        self.logits_bias = LogitsBias(table.num_embeddings) if spec.logits_bias else None
        self.logit_scale = head.scale
        self.materialize()

    def forward(
        self,
        input_ids: Tensor | None = None,
        *,
        attention_mask: Tensor | None = None,
        decoder_input_ids: Tensor | None = None,
        decoder_attention_mask: Tensor | None = None,
        encoder_outputs: BaseModelOutputWithPooling | tuple[Tensor, ...] | None = None,
        past_key_values: Cache | None = None,
        inputs_embeds: Tensor | None = None,
        decoder_inputs_embeds: Tensor | None = None,
        labels: Tensor | None = None,
        use_cache: bool | None = None,
        output_attentions: bool = False,
        output_hidden_states: bool = False,
        return_dict: bool | None = None,
        logits_to_keep: int = 0,
        skip_logits: bool = False,
        num_items_in_batch: Tensor | int | None = None,
        **more: Unpack[MoreInputs],
    ) -> Seq2SeqLMOutput:
        """Logits (B, T, V) of each next token of the answer, or of the last `logits_to_keep` if that is not 0.

        labels: (B, T), the answer itself; -100 is left out. They give `loss`, and the decoder's input where
            that is left out. The loss is a mean, or with `num_items_in_batch` a sum over that number.
        skip_logits: give `loss` alone, by `token_loss`; `logits` are then (B, 0, V).
        The other arguments are those of `Seq2Seq.forward`.

        Raises:
            InputError: shapes that contradict each other; TokenIdError: an id outside the vocabulary.
        """
        if labels is not None and decoder_input_ids is None and decoder_inputs_embeds is None:
            decoder_input_ids = self.model.decoder_ids(labels)
        base = self.model(
            input_ids,
            attention_mask=attention_mask,
            decoder_input_ids=decoder_input_ids,
            decoder_attention_mask=decoder_attention_mask,
            encoder_outputs=encoder_outputs,
            past_key_values=past_key_values,
            inputs_embeds=inputs_embeds,
            decoder_inputs_embeds=decoder_inputs_embeds,
            use_cache=use_cache,
            output_attentions=output_attentions,
            output_hidden_states=output_hidden_states,
            **more,
        )
        h_BTD = base.last_hidden_state
        loss = None
        if skip_logits and labels is not None:
            loss = self.token_loss(h_BTD, labels, num_items_in_batch=num_items_in_batch)
            h_BTD = h_BTD[:, :0]
        logits_BTV = self.logits(h_BTD[:, -logits_to_keep:] if logits_to_keep else h_BTD)
        if labels is not None and not skip_logits:
            loss = cross_entropy(logits_BTV, labels, items=num_items_in_batch)
        return Seq2SeqLMOutput(
            loss=loss,
            logits=logits_BTV,
            past_key_values=base.past_key_values,
            decoder_hidden_states=base.decoder_hidden_states,
            decoder_attentions=base.decoder_attentions,
            cross_attentions=base.cross_attentions,
            encoder_last_hidden_state=base.encoder_last_hidden_state,
            encoder_hidden_states=base.encoder_hidden_states,
            encoder_attentions=base.encoder_attentions,
        )

    def logits(self, h: Tensor) -> Tensor:
        """Vocabulary logits (..., V) of the decoder's last hidden states (..., D)."""
        if self.lm_transform is not None:
            h = self.lm_transform(h)
        logits = self.lm_head(h)
        if self.logit_scale != 1.0:
            logits = logits * self.logit_scale
        return logits if self.logits_bias is None else self.logits_bias(logits)

    def token_loss(
        self,
        h_BTD: Tensor,
        labels_BT: Tensor,
        *,
        num_items_in_batch: Tensor | int | None = None,
        chunk: int | None = None,
    ) -> Tensor:
        """The loss that `forward` gives for the decoder's last hidden states, without ever holding all logits."""
        labels_M = labels_BT.flatten()
        kept = labels_M != IGNORED
        return chunked_cross_entropy(
            self.logits,
            h_BTD.flatten(0, 1)[kept],
            labels_M[kept],
            items=num_items_in_batch,
            chunk=chunk or chunk_of(self.lm_head.out_features),
            weights=self.lm_head.parameters(),
        )

    @property
    def vocabulary_size(self) -> int:
        """Tokens that the decoder reads, from id 0."""
        return self.model.decoder.embed_tokens.num_embeddings

    @property
    def source_vocabulary_size(self) -> int:
        """Tokens that the encoder reads, from id 0."""
        return self.model.encoder.embed_tokens.num_embeddings

    def get_encoder(self) -> Encoder:
        """The first stack."""
        return self.model.encoder

    def get_decoder(self) -> Decoder:
        """The second stack."""
        return self.model.decoder

    generate = generate
    generate_many = generate_many
    stream = stream
    astream = astream

    def new_cache(self, *, slack: int = 0) -> DynamicCache | EncoderDecoderCache:
        """An empty cache for the decoder; `slack` as in `DynamicCache`."""
        return self.model.new_cache(slack=slack)
