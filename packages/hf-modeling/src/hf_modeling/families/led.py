"""LED: BART whose encoder sees windows and global tokens, as Longformer does."""

from __future__ import annotations

from hf_config.families.led import LEDConfig
from hf_modeling.errors import SpecError
from hf_modeling.families.family import Family
from hf_modeling.families.seq2seq_parts import POST, class_names, fairseq, fairseq_block, fairseq_weights
from hf_modeling.spec import GlobalWindowAttention, LearnedPositions, Seq2SeqSpec
from hf_modeling.weights.table import WeightTable

ENCODER = {
    "self_attn.longformer_self_attn.query.{s}": "self_attn.q_proj.{s}",
    "self_attn.longformer_self_attn.key.{s}": "self_attn.k_proj.{s}",
    "self_attn.longformer_self_attn.value.{s}": "self_attn.v_proj.{s}",
    "self_attn.longformer_self_attn.query_global.{s}": "self_attn.global_q_proj.{s}",
    "self_attn.longformer_self_attn.key_global.{s}": "self_attn.global_k_proj.{s}",
    "self_attn.longformer_self_attn.value_global.{s}": "self_attn.global_v_proj.{s}",
    "self_attn.output.{s}": "self_attn.o_proj.{s}",
}


def spec(c: LEDConfig) -> Seq2SeqSpec:
    """The encoder-decoder that an LED config describes. Raises SpecError for windows that are not one per layer."""
    one = c.attention_window
    windows = (one,) * c.encoder_layers if isinstance(one, int) else one
    if len(windows) != c.encoder_layers or any(window < 2 or window % 2 for window in windows):
        raise SpecError(
            f"attention_window {one} is not an even number for each of {c.encoder_layers} layers",
            fix="give one even number, or one for each layer",
        )
    heads = c.encoder_attention_heads
    mixers = (
        GlobalWindowAttention(
            heads=heads, head_dim=c.d_model // heads, reach=window // 2, dropout=c.attention_dropout
        )
        for window in windows
    )
    return fairseq(
        c,
        POST,
        LearnedPositions(count=c.max_encoder_position_embeddings),
        scaled=False,
        decoder_positions=LearnedPositions(count=c.max_decoder_position_embeddings),
        encoder_blocks=tuple(fairseq_block(c, mixer, c.encoder_ffn_dim, POST) for mixer in mixers),
        echo=True,
        sentence_dropout=c.classifier_dropout,
    )


def weights(c: LEDConfig) -> WeightTable:
    """fairseq's names, and Longformer's in the encoder's attention."""
    return fairseq_weights(POST, prefix="led.", encoder=ENCODER)


FAMILY = Family(
    model_type="led",
    config=LEDConfig,
    spec=spec,
    weights=weights,
    skeleton="seq2seq",
    classes=class_names("LED", "question-answering"),
)
