"""What wrong answers to questions about tables cost (TAPAS, arXiv 2004.02349, section 3).

B batch, T tokens, K cells (rows times columns), C columns, A operations, of which 0 is to give the cells.
"""

from __future__ import annotations

from typing import assert_never

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.distributions import RelaxedBernoulli, RelaxedOneHotCategorical

from hf_modeling.spec.table import AnswerSupervision

TINY = 1e-10
NEVER = -10_000.0
"""What is added to the score of a cell or column that cannot be chosen."""


def per_cell(values_BT: Tensor, cell_BT: Tensor, cells: int, how: str) -> Tensor:
    """The mean, sum or amax of the tokens of each cell, (B, K); 0 where it has none. Cell K counts for none."""
    empty = torch.zeros(values_BT.shape[0], cells + 1, dtype=torch.float32, device=values_BT.device)
    return empty.scatter_reduce(1, cell_BT, values_BT.float(), reduce=how, include_self=False)[:, :-1]


def labelled_column(labels_BT: Tensor, column_BT: Tensor, columns: int) -> Tensor:
    """The column with the most labels, (B,); 0 where nothing is labelled."""
    count_BC = per_cell(labels_BT, column_BT, columns, "sum")
    return count_BC.argmax(-1).masked_fill(count_BC.amax(-1) == 0, 0)


def column_and_cell_loss(
    logits_BK: Tensor,
    logits_BC: Tensor,
    labels_BT: Tensor,
    cell_BT: Tensor,
    column_BT: Tensor,
    mask_BK: Tensor,
) -> Tensor:
    """Of each example: that of the labelled column, and the mean of its cells where there is one, (B,)."""
    columns = logits_BC.shape[1]
    column_B = labelled_column(labels_BT, column_BT, columns)
    of_column_B = F.cross_entropy(logits_BC, column_B, reduction="none")
    labels_BK = per_cell(labels_BT, cell_BT, logits_BK.shape[1], "amax")
    of_K = torch.arange(logits_BK.shape[1], device=logits_BK.device) % columns
    counted_BK = (of_K == column_B[:, None]) * mask_BK
    of_cells_BK = F.binary_cross_entropy_with_logits(logits_BK, labels_BK, reduction="none")
    of_cells_B = (of_cells_BK * counted_BK).sum(1) / (counted_BK.sum(1) + TINY)
    nothing_B = per_cell(labels_BT, column_BT, columns, "sum").amax(-1) == 0
    return of_column_B + of_cells_B.masked_fill(nothing_B, 0.0)


def token_loss(logits_BT: Tensor, labels_BT: Tensor, mask_BT: Tensor, positive_weight: float) -> Tensor:
    """The mean over real tokens of each example, (B,)."""
    weight_BT = torch.where(labels_BT == 0, 1.0, positive_weight)
    each_BT = F.binary_cross_entropy_with_logits(logits_BT, labels_BT.float(), reduction="none") * weight_BT
    return (each_BT * mask_BT).sum(1) / (mask_BT.sum(1) + TINY)


def needs_operation(
    answer_B: Tensor, logits_BA: Tensor, labels_BT: Tensor, answers: AnswerSupervision
) -> Tensor:
    """1 for examples whose answer is to be reckoned from cells, 0 for those whose answer is cells, (B,)."""
    operations_B = logits_BA.detach().softmax(-1)[:, 1:].sum(1)
    cells_B = (operations_B <= answers.preference) & (labels_BT.sum(1) > 0)
    return (~answer_B.isnan() & ~cells_B).float()


def operation_loss(logits_BA: Tensor, wanted_B: Tensor, operates_B: Tensor | None) -> Tensor:
    """That of the operation, (B,): the given one, or with `operates_B` any where one is needed and none elsewhere."""
    if operates_B is None:
        return F.cross_entropy(logits_BA, wanted_B, reduction="none")
    none_B = F.cross_entropy(logits_BA, torch.zeros_like(wanted_B), reduction="none")
    some_B = -logits_BA.softmax(-1)[:, 1:].sum(1).log()
    return none_B * (1 - operates_B) + some_B * operates_B


def expected_answer(
    logits_BT: Tensor,
    logits_BA: Tensor,
    numbers_BT: Tensor,
    scale_BT: Tensor,
    table_BT: Tensor,
    temperature: float,
    answers: AnswerSupervision,
) -> Tensor:
    """The number that sum, average and count of the chosen cells give on the whole, (B,)."""
    chosen_BT = (
        RelaxedBernoulli(torch.tensor(temperature), logits=logits_BT * temperature).sample()
        if answers.sample_cells
        else logits_BT.sigmoid()
    )
    chosen_BT = chosen_BT / scale_BT * table_BT
    numbers_BT = numbers_BT.nan_to_num(nan=0.0)
    count_B, sum_B = chosen_BT.sum(1), (chosen_BT * numbers_BT).sum(1)
    others_BT = count_B[:, None] - chosen_BT + 1
    match answers.average:
        case "ratio":
            average_B = sum_B / (count_B + TINY)
        case "first_order":
            average_B = (numbers_BT * chosen_BT / others_BT).sum(1)
        case "second_order":
            spread_BT = chosen_BT * (1 - chosen_BT)
            spread_BT = spread_BT.sum(1, keepdim=True) - spread_BT
            average_B = (numbers_BT * chosen_BT * (spread_BT / others_BT.square() + 1) / others_BT).sum(1)
        case _:
            assert_never(answers.average)
    heat = answers.aggregation_temperature
    share_BA = (
        RelaxedOneHotCategorical(torch.tensor(heat), logits=logits_BA[:, 1:]).sample()
        if answers.sample_aggregations
        else (logits_BA[:, 1:] / heat).softmax(-1)
    )
    return (torch.stack((sum_B, average_B, count_B), dim=1) * share_BA).sum(1)


def answer_loss(
    expected_B: Tensor, answer_B: Tensor, operates_B: Tensor, answers: AnswerSupervision
) -> tuple[Tensor, Tensor]:
    """How far the expected number is from the answer, (B,), and which examples are not too far to be counted."""
    answer_B, delta = answer_B.nan_to_num(nan=0.0), answers.huber_delta
    if answers.normalized:
        size_B = (torch.maximum(expected_B.abs(), answer_B.abs()) + TINY).detach()
        expected_B, answer_B, delta = expected_B / size_B, answer_B / size_B, 1.0
    off_B = F.huber_loss(
        expected_B * operates_B,
        answer_B * operates_B,
        reduction="none",
        delta=1.0 if delta is None else delta,
    )
    kept_B = torch.ones_like(off_B) if answers.cutoff is None else (off_B <= answers.cutoff).float()
    return answers.importance * off_B * operates_B, kept_B
