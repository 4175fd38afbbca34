"""What the server of `pool` imports once, so that workers have it when they are forked."""

import torch
import torch.distributed.checkpoint.state_dict
import torch.distributed.device_mesh
import torch.distributed.tensor

import hf_modeling.auto
import hf_modeling.heads.causal_lm
import hf_modeling.models

torch.set_num_threads(1)

__all__ = ["hf_modeling"]
