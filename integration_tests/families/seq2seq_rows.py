"""The parity table of the encoder-decoders: a row per family or variant, each at several random sizes.

Sizes are drawn by seed; what a row fixes is what its family is about: which norms, positions and activations, whether
outputs are scaled, which window is shorter than the text.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from random import Random

Arguments = Mapping[str, object]
VOCABULARY = 96
SEEDS = (0, 1, 2)


@dataclass(frozen=True, kw_only=True)
class Seq2SeqRow:
    """One model to compare; `name` is the test id.

    `sizes` draws the arguments that make the model small, `arguments` adds to them. `generate` are options that
    the family's checkpoints usually generate with. `constants`: how names end of tables that are no weights: they
    stay as built, and the peer writes them or not. `longest`: tokens of the longest text the row is run on.
    """

    name: str
    model_type: str
    sizes: Callable[[Random], Arguments]
    arguments: Arguments = field(default_factory=dict)
    generate: Arguments = field(default_factory=dict)
    constants: tuple[str, ...] = ()
    longest: int = 14

    def drawn(self, seed: int) -> dict[str, object]:
        """The arguments at one of the random sizes."""
        return {**self.sizes(Random(seed)), **self.arguments}


def fairseq_sizes(random: Random) -> Arguments:
    """Sizes under the names of fairseq's families."""
    heads = random.choice([2, 4])
    return {
        "vocab_size": VOCABULARY,
        "d_model": heads * random.choice([6, 8]),
        "encoder_layers": random.choice([2, 3]),
        "decoder_layers": random.choice([2, 3]),
        "encoder_attention_heads": heads,
        "decoder_attention_heads": random.choice([2, heads]),
        "encoder_ffn_dim": random.choice([20, 28]),
        "decoder_ffn_dim": random.choice([24, 32]),
        "max_position_embeddings": 40,
        "pad_token_id": 1,
        "bos_token_id": 0,
        "eos_token_id": 2,
    }


def t5_sizes(random: Random) -> Arguments:
    """Sizes under T5's names. Texts reach beyond the first buckets of distances and beyond the last."""
    layers = random.choice([2, 3])
    return {
        "vocab_size": VOCABULARY,
        "d_model": random.choice([16, 24]),
        "d_kv": random.choice([6, 8]),
        "d_ff": random.choice([20, 28]),
        "num_layers": layers,
        # The peer's cache has as many layers as the encoder, so a deeper decoder cannot generate there.
        "num_decoder_layers": random.choice([1, layers]),
        "num_heads": random.choice([2, 3]),
        "relative_attention_num_buckets": 8,
        "relative_attention_max_distance": 10,
        "pad_token_id": 0,
        "eos_token_id": 1,
        "decoder_start_token_id": 0,
    }


def row(
    name: str,
    sizes: Callable[[Random], Arguments],
    *,
    model_type: str = "",
    generate: Arguments | None = None,
    constants: tuple[str, ...] = (),
    longest: int = 14,
    **arguments: object,
) -> Seq2SeqRow:
    return Seq2SeqRow(
        name=name,
        model_type=model_type or name,
        sizes=sizes,
        arguments=arguments,
        generate=generate or {},
        constants=constants,
        longest=longest,
    )


SEQ2SEQ_ROWS = [
    row("t5", t5_sizes),
    row("t5-gated", t5_sizes, model_type="t5", feed_forward_proj="gated-gelu", tie_word_embeddings=False),
    row("mt5", t5_sizes),
    row("umt5", t5_sizes),
    row("longt5", t5_sizes, local_radius=3, longest=27),
    row(
        "longt5-transient-global",
        t5_sizes,
        model_type="longt5",
        encoder_attention_type="transient-global",
        local_radius=2,
        global_block_size=4,
        feed_forward_proj="gated-gelu",
        longest=27,
    ),
    row("bart", fairseq_sizes, generate={"forced_bos_token_id": 0}),
    row("bart-scaled", fairseq_sizes, model_type="bart", scale_embedding=True, activation_function="relu"),
    row("mbart", fairseq_sizes, generate={"decoder_start_token_id": 7}, scale_embedding=True),
    row(
        "mbart-50",
        fairseq_sizes,
        model_type="mbart",
        generate={"decoder_start_token_id": 2, "forced_bos_token_id": 9},
        activation_function="relu",
    ),
    row("mvp", fairseq_sizes, decoder_start_token_id=2),
    row("plbart", fairseq_sizes, generate={"decoder_start_token_id": 8}),
    row(
        "pegasus",
        fairseq_sizes,
        activation_function="relu",
        scale_embedding=True,
        pad_token_id=0,
        eos_token_id=1,
    ),
    row(
        "marian",
        fairseq_sizes,
        constants=("embed_positions.weight",),
        activation_function="swish",
        scale_embedding=True,
        pad_token_id=95,
        eos_token_id=0,
        decoder_start_token_id=95,
        forced_eos_token_id=0,
        generate={"bad_words_ids": [[95]]},
    ),
    row(
        "marian-two-vocabularies",
        fairseq_sizes,
        model_type="marian",
        constants=("embed_positions.weight",),
        share_encoder_decoder_embeddings=False,
        decoder_vocab_size=80,
        pad_token_id=79,
        eos_token_id=0,
        decoder_start_token_id=79,
        forced_eos_token_id=0,
    ),
    row("m2m_100", fairseq_sizes, generate={"forced_bos_token_id": 11}),
    row(
        "blenderbot",
        fairseq_sizes,
        pad_token_id=0,
        bos_token_id=1,
        generate={"encoder_no_repeat_ngram_size": 3},
    ),
    row("blenderbot-small", fairseq_sizes, pad_token_id=0, bos_token_id=1),
    row(
        "led",
        fairseq_sizes,
        max_encoder_position_embeddings=40,
        max_decoder_position_embeddings=40,
        attention_window=4,
        decoder_start_token_id=2,
        longest=27,
    ),
]
