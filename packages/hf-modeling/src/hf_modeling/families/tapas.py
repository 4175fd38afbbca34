"""TAPAS: BERT that reads tables: seven kinds of segments, positions that start over in each cell, cells as answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Literal

from hf_config.families.tapas import TapasConfig
from hf_modeling.errors import SpecError
from hf_modeling.families.encoder_names import BERT_HEADS, BERT_STEM, bert_weights
from hf_modeling.families.encoder_parts import refuse_decoder, without_segments
from hf_modeling.families.family import Family
from hf_modeling.spec import AnswerSupervision, CellPositions, EncoderSpec, TableHead, TypeColumns
from hf_modeling.weights.table import WeightTable, renames

STEM = {name: to for name, to in BERT_STEM.items() if not name.startswith("token_type")}
HEADS = {
    **BERT_HEADS,
    "output_weights": "table_head.cell_weight",
    "output_bias": "table_head.cell_bias",
    "column_output_weights": "table_head.column_weight",
    "column_output_bias": "table_head.column_bias",
    "aggregation_classifier.{s}": "table_head.aggregation.{s}",
}


AVERAGES: Mapping[str, Literal["ratio", "first_order", "second_order"]] = {
    "ratio": "ratio",
    "first_order": "first_order",
    "second_order": "second_order",
}


def answers(c: TapasConfig) -> AnswerSupervision | None:
    """How the model is trained by the numbers of answers, if it is. Raises SpecError for an unknown average."""
    if not c.use_answer_as_supervision:
        return None
    if c.average_approximation_function not in AVERAGES:
        raise SpecError(
            f"average_approximation_function {c.average_approximation_function!r} is not known",
            fix=f"use one of {', '.join(AVERAGES)}",
        )
    return AnswerSupervision(
        preference=0.0 if c.cell_selection_preference is None else c.cell_selection_preference,
        importance=c.answer_loss_importance,
        normalized=c.use_normalized_answer_loss,
        huber_delta=c.huber_loss_delta,
        cutoff=c.answer_loss_cutoff,
        average=AVERAGES[c.average_approximation_function],
        aggregation_temperature=c.aggregation_temperature,
        sample_cells=c.use_gumbel_for_cells,
        sample_aggregations=c.use_gumbel_for_aggregation,
    )


def spec(c: TapasConfig) -> EncoderSpec:
    """The encoder that a TAPAS config describes. Raises SpecError for one that makes a decoder."""
    refuse_decoder(c, "tapas")
    whole = without_segments(c)
    embed = replace(whole.embed, token_types=TypeColumns(counts=c.type_vocab_sizes))
    if c.reset_position_index_per_cell:
        embed = replace(embed, positions=CellPositions(count=c.max_position_embeddings))
    table = TableHead(
        rows=c.max_num_rows,
        columns=c.max_num_columns,
        aggregations=c.num_aggregation_labels,
        temperature=c.temperature,
        one_column=c.select_one_column,
        empty_column=c.allow_empty_column_selection,
        average_cells=c.average_logits_per_cell,
        positive_weight=c.positive_label_weight,
        token_loss=not c.disable_per_token_loss,
        aggregation_weight=c.aggregation_loss_weight,
        dropout=c.hidden_dropout_prob,
        zero_start=c.init_cell_selection_weights_to_zero,
        answers=answers(c),
    )
    return replace(whole, embed=embed, heads=replace(whole.heads, table=table))


def weights(c: TapasConfig) -> WeightTable:
    """BERT's names under TAPAS's prefix, with a table for each kind of segment."""
    tables = {
        f"token_type_embeddings_{kind}.weight": f"stem.token_types.tables.{kind}.weight"
        for kind in range(len(c.type_vocab_sizes))
    }
    kinds = renames(tables, disk="tapas.embeddings.", memory="model.")
    return bert_weights(c, "tapas.", *kinds, heads=HEADS, stem=STEM)


FAMILY = Family(
    model_type="tapas",
    config=TapasConfig,
    spec=spec,
    weights=weights,
    skeleton="encoder",
    classes={
        "base": "TapasModel",
        "masked-lm": "TapasForMaskedLM",
        "table-question-answering": "TapasForQuestionAnswering",
        "sequence-classification": "TapasForSequenceClassification",
    },
)
