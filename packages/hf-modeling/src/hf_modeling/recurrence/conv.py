"""Causal depthwise convolution, whole sequence or one position at a time.

The state is the last W inputs (W = kernel width), oldest first: what the next position may still see,
as checkpoints of this family name it.
Legend: B batch, T time, D channels, W kernel width.
"""

import torch
import torch.nn.functional as F
from torch import Tensor


def causal_conv(
    x_BDT: Tensor,
    weight_DW: Tensor,
    bias_D: Tensor | None,
    state_BDW: Tensor | None = None,
    lengths_B: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Outputs (B, D, T) and the last W inputs; `state` holds the inputs before position 0 (default zeros).

    Where a row has only its first `lengths` positions filled, its state ends there.
    """
    width = weight_DW.shape[-1]
    past = F.pad(x_BDT, (width, 0)) if state_BDW is None else torch.cat([state_BDW, x_BDT], dim=-1)
    outputs = F.conv1d(past[..., 1:], weight_DW.unsqueeze(1), bias_D, groups=weight_DW.shape[0])
    if lengths_B is None:
        return outputs, past[..., -width:]
    index_BW = lengths_B[:, None] + torch.arange(width, device=x_BDT.device)
    return outputs, past.gather(-1, index_BW[:, None].expand(-1, past.shape[1], -1))


def causal_conv_step(
    x_BD: Tensor, weight_DW: Tensor, bias_D: Tensor | None, state_BDW: Tensor
) -> tuple[Tensor, Tensor]:
    """One position: output (B, D) and the new state."""
    state = torch.cat([state_BDW[..., 1:], x_BD.unsqueeze(-1)], dim=-1)
    output = (state * weight_DW).sum(-1)
    return (output if bias_D is None else output + bias_D), state
