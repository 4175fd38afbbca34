from typing import ClassVar

from hf_config.base import PreTrainedConfig
from hf_config.derive import Activation, used_window
from hf_config.record import Alias, record
from hf_config.rope import RopeParameters, rope


@record
class Qwen3MoeConfig(PreTrainedConfig):
    """Qwen3-MoE: Qwen3 with experts in the layers that the sparse step selects."""

    model_type: ClassVar[str] = "qwen3_moe"

    vocab_size: int = 151936
    hidden_size: int = 2048
    intermediate_size: int = 6144
    num_hidden_layers: int = 24
    num_attention_heads: int = 32
    num_key_value_heads: int = 4
    hidden_act: Activation = "silu"
    max_position_embeddings: int = 32768
    initializer_range: float = 0.02
    rms_norm_eps: float = 1e-06
    tie_word_embeddings: bool = False
    rope_parameters: RopeParameters = rope()
    attention_bias: bool = False
    use_sliding_window: bool = False
    sliding_window: int | None = used_window(4096)
    attention_dropout: float = 0.0
    decoder_sparse_step: int = 1
    moe_intermediate_size: int = 768
    num_experts_per_tok: int = 8
    num_experts: int = 128
    norm_topk_prob: bool = False
    output_router_logits: bool = False
    router_aux_loss_coef: float = 0.001
    mlp_only_layers: tuple[int, ...] = ()

    num_local_experts = Alias[int]("num_experts")
