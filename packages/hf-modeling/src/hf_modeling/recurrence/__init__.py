"""Recurrences behind the linear-time mixers: pure functions, each in a chunked form and a step form.

`gated`: S <- decay * S + k v (lightning attention, Mamba-2) and its delta-rule form (gated delta net,
KDA); `scan`: h <- a * h + b elementwise (Mamba-1, RG-LRU); `conv`: causal depthwise convolution; `wkv`:
RWKV-4; `mlstm`: xLSTM. The chunked and the step form of one recurrence are the same function of the
same inputs; the tests hold them to that.
"""

from hf_modeling.recurrence.conv import causal_conv, causal_conv_step
from hf_modeling.recurrence.delta import gated_delta, gated_delta_step
from hf_modeling.recurrence.gated import gated_linear, gated_linear_step
from hf_modeling.recurrence.mlstm import MlstmState, mlstm, mlstm_step
from hf_modeling.recurrence.scan import elementwise_scan, selective_scan
from hf_modeling.recurrence.wkv import WkvState, wkv

__all__ = [
    "MlstmState",
    "WkvState",
    "causal_conv",
    "causal_conv_step",
    "elementwise_scan",
    "gated_delta",
    "gated_delta_step",
    "gated_linear",
    "gated_linear_step",
    "mlstm",
    "mlstm_step",
    "selective_scan",
    "wkv",
]
