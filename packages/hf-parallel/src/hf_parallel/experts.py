"""Expert parallelism: each rank of `ep` holds some experts, and tokens travel to theirs and back.

R rows (one for each pair of token and expert), D width, E experts of all ranks, L of this one, P ranks.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.distributed import ProcessGroup

from hf_modeling.layers.base import parameter
from hf_modeling.layers.moe import MoeLayer
from hf_parallel.collectives import exchange_rows, rows_exchanged
from hf_parallel.wrap import Forward, around


def apply_experts(model: nn.Module, group: ProcessGroup) -> None:
    """Leave every mixture in `model`, still on meta, with this rank's experts, and send the others their rows."""
    for layer in model.modules():
        if isinstance(layer, MoeLayer):
            for name, whole in list(layer.experts._parameters.items()):
                if whole is not None:
                    layer.experts._parameters[name] = parameter(
                        whole.shape[0] // group.size(), *whole.shape[1:]
                    )
            around(layer.experts, lambda inner: _dispatched(inner, group))


def _dispatched(inner: Forward, group: ProcessGroup) -> Forward:
    def forward(x_RD: Tensor, expert_R: Tensor, ends_E: Tensor) -> Tensor:
        counts_PL = torch.diff(ends_E, prepend=ends_E.new_zeros(1)).view(group.size(), -1)
        ones = [1] * group.size()
        arriving_PL = rows_exchanged(counts_PL, ones, ones, group)
        # The one point where the host waits for numbers: sizes of messages must be known to send them.
        sent, received = torch.stack((counts_PL.sum(1), arriving_PL.sum(1))).tolist()
        rows_RD = exchange_rows(x_RD, sent, received, group)
        local_L = torch.arange(arriving_PL.shape[1], device=x_RD.device)
        expert = local_L.repeat(group.size()).repeat_interleave(arriving_PL.flatten())
        if not rows_RD.shape[0]:
            # Experts that nobody asked run on a row of nothing: their gradients are zeros and not missing, and
            # the messages of the backward pass, for which the others wait, are sent.
            none_1D = torch.cat((rows_RD, rows_RD.new_zeros(1, rows_RD.shape[1])))
            made_1D = inner(none_1D, expert.new_zeros(1), torch.ones_like(local_L))
            return exchange_rows(made_1D[:0], received, sent, group)
        expert, order_R = expert.sort(stable=True)
        made_RD = inner(rows_RD[order_R], expert, arriving_PL.sum(0).cumsum(0))
        home_RD = torch.empty_like(made_RD).index_copy(0, order_R, made_RD)
        return exchange_rows(home_RD, received, sent, group)

    return forward
