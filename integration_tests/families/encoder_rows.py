"""The rows of the encoders' parity table: three tiny configurations of every encoder family, or more.

Each keeps the family's mechanisms at work: several segments, widths that differ, texts longer than windows. A
family's second and third rows differ in sizes, activation, epsilon and whether the vocabulary is tied.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from integration_tests.families.rows import VOCABULARY, Arguments

LENGTH = 13
LABELS = 5
SIZES: tuple[Arguments, ...] = (
    {
        "hidden_size": 32,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "intermediate_size": 48,
        "max_position_embeddings": 64,
        "type_vocab_size": 2,
        "layer_norm_eps": 1e-12,
    },
    {
        "hidden_size": 24,
        "num_hidden_layers": 2,
        "num_attention_heads": 3,
        "intermediate_size": 40,
        "max_position_embeddings": 32,
        "type_vocab_size": 2,
        "hidden_act": "relu",
        "layer_norm_eps": 1e-5,
        "tie_word_embeddings": False,
    },
    {
        "hidden_size": 40,
        "num_hidden_layers": 4,
        "num_attention_heads": 5,
        "intermediate_size": 32,
        "max_position_embeddings": 48,
        "type_vocab_size": 3,
        "hidden_act": "gelu_new",
        "layer_norm_eps": 1e-3,
    },
)
"""What the rows of most families differ in."""


@dataclass(frozen=True, kw_only=True)
class EncoderRow:
    """One model to compare; `name` is the test id.

    `more` are inputs beside token ids, mask and segments, by the highest value that each may have.
    `segments` is how many token types inputs have, 0 where the family is not given any. `separators` is the id of
    three tokens in each text, where heads look for them. Without `attentions` the peer gives weights in a form of
    its own, not (B, N, T, S). `length` is that of texts; with `blocks` tokens see each other by where blocks of
    them begin, so that padding tells. `tables` is how many values each of a token's several segments has.
    """

    name: str
    model_type: str
    arguments: Arguments
    more: Mapping[str, int] = field(default_factory=dict)
    segments: int = 2
    separators: int | None = None
    attentions: bool = True
    length: int = LENGTH
    blocks: bool = False
    tables: tuple[int, ...] = ()


def three(
    model_type: str,
    *changes: Arguments,
    sizes: tuple[Arguments, ...] = SIZES,
    more: Mapping[str, int] | None = None,
    segments: int = 2,
    separators: int | None = None,
    attentions: bool = True,
    length: int = LENGTH,
    blocks: bool = False,
    tables: tuple[int, ...] = (),
    without: tuple[str, ...] = (),
    **common: object,
) -> Iterator[EncoderRow]:
    """A row for each of `sizes`, changed by what `changes` has for it, and for each change beyond those."""
    for number in range(max(len(sizes), len(changes))):
        size, change = sizes[number % len(sizes)], changes[number] if number < len(changes) else {}
        merged = {"vocab_size": VOCABULARY, **size, **common, **change}
        yield EncoderRow(
            name=f"{model_type}-{number + 1}",
            model_type=model_type,
            arguments={name: value for name, value in merged.items() if name not in without},
            more=more or {},
            segments=segments,
            separators=separators,
            attentions=attentions,
            length=length,
            blocks=blocks,
            tables=tables,
        )


TABLES = (3, 5, 6, 2, 8, 8, 4)
FAIRSEQ: Arguments = {"pad_token_id": 1, "bos_token_id": 0, "eos_token_id": 2}

ENCODERS: list[EncoderRow] = [
    *three("bert"),
    *three("roberta", {}, {"pad_token_id": 2}, **FAIRSEQ),
    *three("xlm-roberta", **FAIRSEQ),
    *three("camembert", **FAIRSEQ),
    *three("data2vec-text", **FAIRSEQ),
    *three(
        "distilbert",
        {"sinusoidal_pos_embds": True},
        {"activation": "relu"},
        sizes=tuple(
            {
                "dim": size["hidden_size"],
                "hidden_dim": size["intermediate_size"],
                "n_layers": size["num_hidden_layers"],
                "n_heads": size["num_attention_heads"],
                "max_position_embeddings": size["max_position_embeddings"],
                "tie_word_embeddings": size.get("tie_word_embeddings", True),
            }
            for size in SIZES
        ),
        segments=0,
    ),
    *three(
        "electra",
        {"summary_activation": "tanh"},
        {"embedding_size": 24},
        {"embedding_size": 48},
        embedding_size=20,
    ),
    *three(
        "albert",
        {"num_hidden_layers": 4, "num_hidden_groups": 2},
        {},
        {"inner_group_num": 2},
        embedding_size=20,
    ),
    *three("mpnet", segments=0, **FAIRSEQ),
    *three(
        "ernie",
        {"use_task_id": True},
        {"use_task_id": True, "task_type_vocab_size": 4},
        {"use_task_id": True},
        more={"task_type_ids": 2},
    ),
    *three("megatron-bert"),
    *three("rembert", input_embedding_size=20, output_embedding_size=44),
    *three("xlm-roberta-xl", **FAIRSEQ),
    *three("roberta-prelayernorm", **FAIRSEQ),
    *three("layoutlm", max_2d_position_embeddings=40, more={"bbox": 39}),
    *three(
        "deberta",
        {"pos_att_type": ["c2p", "p2c"], "position_biased_input": False, "type_vocab_size": 0},
        {"pos_att_type": ["p2c"], "max_relative_positions": 5, "tie_word_embeddings": True},
        {"pos_att_type": ["c2p"], "pooler_hidden_act": "tanh", "legacy": False},
        {"relative_attention": False, "pos_att_type": ["c2p"]},
        relative_attention=True,
    ),
    *three(
        "deberta-v2",
        {
            "pos_att_type": "p2c|c2p",
            "position_biased_input": False,
            "type_vocab_size": 0,
            "position_buckets": 8,
            "share_att_key": True,
            "norm_rel_ebd": "layer_norm",
            "max_relative_positions": 20,
        },
        {
            "pos_att_type": ["p2c"],
            "position_buckets": 6,
            "conv_kernel_size": 3,
            "conv_act": "gelu",
            "tie_word_embeddings": True,
        },
        {"pos_att_type": ["c2p"], "max_relative_positions": 5, "legacy": False},
        {"relative_attention": False, "conv_kernel_size": 5, "conv_groups": 4},
        relative_attention=True,
    ),
    *three(
        "modernbert",
        {"num_hidden_layers": 4},
        {"classifier_pooling": "mean", "norm_bias": True, "attention_bias": True, "mlp_bias": True},
        {"decoder_bias": False, "classifier_bias": True, "classifier_activation": "relu"},
        local_attention=6,
        pad_token_id=1,
        segments=0,
        without=("hidden_act", "layer_norm_eps", "type_vocab_size"),
    ),
    *three(
        "longformer",
        {"attention_window": [4, 8, 4]},
        {},
        {"attention_window": 10},
        attention_window=4,
        separators=2,
        attentions=False,
        **FAIRSEQ,
    ),
    *three(
        "big_bird",
        {"num_random_blocks": 2, "block_size": 2, "rescale_embeddings": True},
        {"num_random_blocks": 1, "block_size": 3, "use_bias": False},
        {"attention_type": "original_full"},
        {"num_random_blocks": 3, "block_size": 8},
        separators=2,
        sep_token_id=2,
        attentions=False,
        length=27,
        blocks=True,
    ),
    *three(
        "tapas",
        {"num_aggregation_labels": 4},
        {
            "num_aggregation_labels": 3,
            "average_logits_per_cell": True,
            "reset_position_index_per_cell": False,
        },
        {"temperature": 2.0, "allow_empty_column_selection": True},
        type_vocab_sizes=TABLES,
        max_num_rows=4,
        max_num_columns=3,
        tables=TABLES,
        without=("type_vocab_size",),
    ),
    *three("roformer", {}, {"rotary_value": True}, {"embedding_size": 24}),
    *three("bert-generation", segments=0, without=("type_vocab_size",)),
]
FIRST = list({row.model_type: row for row in reversed(ENCODERS)}.values())
"""One row of each family: its first."""
