"""The head that answers questions about tables. B batch, T tokens, D width, K cells, C columns, A operations."""

from __future__ import annotations

from typing import TYPE_CHECKING, Unpack, final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hf_modeling.errors import InputError
from hf_modeling.heads import table_losses
from hf_modeling.heads.parts import build_base, stack_spec
from hf_modeling.heads.table_losses import NEVER, TINY, per_cell
from hf_modeling.inputs import MoreInputs
from hf_modeling.layers.base import Linear, parameter
from hf_modeling.model import PreTrainedModel
from hf_modeling.outputs import TableQuestionAnsweringOutput
from hf_modeling.spec import EncoderSpec, ModelSpec, TableHead

if TYPE_CHECKING:
    from hf_config import PreTrainedConfig

COLUMN, ROW = 1, 2
"""Which of a token's segments are its column and row."""


@final
class CellScores(nn.Module):
    """Scores of tokens as parts of cells and of columns, and of operations where there are any."""

    def __init__(self, spec: TableHead, width: int) -> None:
        super().__init__()
        self.cell_weight, self.cell_bias = parameter(width), parameter()
        self.column_weight, self.column_bias = parameter(width), parameter()
        self.aggregation = Linear(width, spec.aggregations, bias=True) if spec.aggregations else None
        self.zero_start = spec.zero_start

    def init_weights(self, std: float) -> None:
        for weight in (self.cell_weight, self.column_weight):
            nn.init.normal_(weight, std=0.0 if self.zero_start else std)
        nn.init.zeros_(self.cell_bias)
        nn.init.zeros_(self.column_bias)


class TableQuestionAnswering(PreTrainedModel):
    """Which cells of a table answer a question, and what is to be done with them."""

    task = "table-question-answering"

    def __init__(self, config: PreTrainedConfig, spec: ModelSpec | None = None) -> None:
        super().__init__(config)
        spec = stack_spec(self, config, spec)
        assert isinstance(spec, EncoderSpec), "only encoders answer questions about tables"
        assert spec.heads.table is not None, "a family with this task says how its head is made"
        self.model = build_base(config, spec)
        self.table_head = CellScores(spec.heads.table, spec.width)
        self.facts = spec.heads.table
        self.materialize()

    def forward(
        self,
        input_ids: Tensor | None = None,
        *,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        position_ids: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        table_mask: Tensor | None = None,
        labels: Tensor | None = None,
        aggregation_labels: Tensor | None = None,
        float_answer: Tensor | None = None,
        numeric_values: Tensor | None = None,
        numeric_values_scale: Tensor | None = None,
        output_attentions: bool = False,
        output_hidden_states: bool = False,
        **more: Unpack[MoreInputs],
    ) -> TableQuestionAnsweringOutput:
        """Logits (B, T) of tokens as parts of the answer, and (B, A) of operations where there are any.

        token_type_ids: (B, T, 7), of which the tokenizer makes columns and rows.
        labels: (B, T), 1 for tokens of the answer; with `aggregation_labels` (B,) where there are operations, or,
            where training is by answers, with `float_answer` (B,), NaN for answers that are cells, and numbers
            (B, T), NaN for tokens that are none, with their scale. They give `loss`.
        table_mask: (B, T), 1 for tokens of the table's cells; left out, those with a row.

        Raises:
            InputError: labels without what else this model is trained by.
        """
        base = self.model(
            input_ids,
            attention_mask=attention_mask,
            token_type_ids=token_type_ids,
            position_ids=position_ids,
            inputs_embeds=inputs_embeds,
            output_attentions=output_attentions,
            output_hidden_states=output_hidden_states,
            **more,
        )
        h_BTD = F.dropout(base.last_hidden_state, self.facts.dropout, self.training)
        mask_BT = torch.ones_like(h_BTD[..., 0]) if attention_mask is None else attention_mask.to(h_BTD.dtype)
        column_BT, row_BT = self._places(token_type_ids, h_BTD)
        logits_BT, selection_B = self._select(h_BTD, mask_BT, column_BT, row_BT, labels)
        aggregation = self.table_head.aggregation
        logits_BA = None if aggregation is None else aggregation(base.pooler_output)
        loss = None
        if labels is not None and selection_B is not None:
            table_BT = (row_BT > 0 if table_mask is None else table_mask).to(h_BTD.dtype)
            loss = self._loss(
                selection_B,
                logits_BT,
                logits_BA,
                labels,
                table_BT,
                aggregation_labels,
                (float_answer, numeric_values, numeric_values_scale),
            )
        return TableQuestionAnsweringOutput(
            loss=loss,
            logits=logits_BT,
            logits_aggregation=logits_BA,
            hidden_states=base.hidden_states,
            attentions=base.attentions,
        )

    def _places(self, token_type_ids: Tensor | None, h_BTD: Tensor) -> tuple[Tensor, Tensor]:
        """Column and row of each token, (B, T) each."""
        if token_type_ids is None:
            none_BT = torch.zeros(h_BTD.shape[:2], dtype=torch.long, device=h_BTD.device)
            return none_BT, none_BT
        column_BT, row_BT = token_type_ids[..., COLUMN], token_type_ids[..., ROW]
        return column_BT.clamp(max=self.facts.columns - 1), row_BT.clamp(max=self.facts.rows - 1)

    def _select(
        self, h_BTD: Tensor, mask_BT: Tensor, column_BT: Tensor, row_BT: Tensor, labels: Tensor | None
    ) -> tuple[Tensor, Tensor | None]:
        """Logits (B, T) of tokens as parts of the answer, and what labels say of them, (B,)."""
        facts, scores = self.facts, self.table_head
        cells = facts.rows * facts.columns
        shown_BT = row_BT * facts.columns + column_BT
        cell_BT = shown_BT.masked_fill(mask_BT == 0, cells)
        mask_BK = per_cell(mask_BT, cell_BT, cells, "mean")
        logits_BT = (h_BTD @ scores.cell_weight + scores.cell_bias) / facts.temperature
        if labels is not None and facts.average_cells:
            logits_BT = per_cell(logits_BT, cell_BT, cells, "mean").gather(1, shown_BT)
        if not facts.one_column:
            if labels is None:
                return logits_BT, None
            return logits_BT, table_losses.token_loss(logits_BT, labels, mask_BT, facts.positive_weight)
        logits_BC = self._columns(h_BTD, cell_BT, mask_BK)
        logits_BK = per_cell(logits_BT, cell_BT, cells, "mean")
        selection_B = None
        if labels is not None:
            selection_B = table_losses.column_and_cell_loss(
                logits_BK, logits_BC, labels, cell_BT, column_BT, mask_BK
            )
        of_K = torch.arange(cells, device=h_BTD.device) % facts.columns
        open_BK = (of_K == logits_BC.argmax(-1, keepdim=True)) & (of_K != 0)
        return (logits_BK + NEVER * (1 - mask_BK * open_BK)).gather(1, shown_BT), selection_B

    def _columns(self, h_BTD: Tensor, cell_BT: Tensor, mask_BK: Tensor) -> Tensor:
        """Logits (B, C) of columns: the mean of their cells', which are means of their tokens'."""
        facts, scores = self.facts, self.table_head
        tokens_BT = h_BTD @ scores.column_weight + scores.column_bias
        cells_BRC = (per_cell(tokens_BT, cell_BT, mask_BK.shape[1], "mean") * mask_BK).unflatten(
            1, (facts.rows, facts.columns)
        )
        count_BC = mask_BK.unflatten(1, (facts.rows, facts.columns)).sum(1)
        first_C = torch.arange(facts.columns, device=h_BTD.device) == 0
        logits_BC: Tensor = cells_BRC.sum(1) / (count_BC + TINY) + NEVER * ((count_BC < 0.5) & ~first_C)
        return logits_BC if facts.empty_column else logits_BC + NEVER * first_C

    def _loss(
        self,
        selection_B: Tensor,
        logits_BT: Tensor,
        logits_BA: Tensor | None,
        labels_BT: Tensor,
        table_BT: Tensor,
        operation_B: Tensor | None,
        given: tuple[Tensor | None, Tensor | None, Tensor | None],
    ) -> Tensor:
        facts = self.facts
        answers = None if logits_BA is None else facts.answers
        operates_B = expected_B = None
        answer_B, numbers_BT, scale_BT = given
        if answers is not None and logits_BA is not None:
            if answer_B is None or numbers_BT is None or scale_BT is None:
                raise InputError(
                    "labels given to a model that is trained by the numbers of answers, without these",
                    fix="pass float_answer, numeric_values and numeric_values_scale as the tokenizer makes them",
                )
            operates_B = table_losses.needs_operation(answer_B, logits_BA, labels_BT, answers)
            selection_B = selection_B * (1 - operates_B)
            expected_B = table_losses.expected_answer(
                logits_BT, logits_BA, numbers_BT, scale_BT, table_BT, facts.temperature, answers
            )
        loss = selection_B.mean() if facts.token_loss else selection_B.new_zeros(())
        if logits_BA is None:
            return loss
        if operation_B is None and operates_B is None:
            raise InputError(
                "labels given to a model that chooses operations, without these",
                fix="pass aggregation_labels, the number of each question's operation",
            )
        if operation_B is None or operates_B is not None:
            operation_B = torch.zeros_like(labels_BT[:, 0])
        also_B = facts.aggregation_weight * table_losses.operation_loss(logits_BA, operation_B, operates_B)
        if answers is not None and expected_B is not None and operates_B is not None and answer_B is not None:
            off_B, kept_B = table_losses.answer_loss(expected_B, answer_B, operates_B, answers)
            also_B = (also_B + off_B) * kept_B
        return loss + also_B.mean()
