from typing import ClassVar

from hf_config.base import PreTrainedConfig
from hf_config.derive import Activation, always, qk_head_dim, rotated_dim
from hf_config.layers import LayerType, MlpType, dense_first, uniform
from hf_config.record import Alias, record
from hf_config.rope import RopeParameters, rope


@record
class AXK2Config(PreTrainedConfig):
    """A.X K2: latent attention over picked keys, with gated norms."""

    model_type: ClassVar[str] = "axk2"

    vocab_size: int = 163840
    hidden_size: int = 2048
    intermediate_size: int = 5120
    moe_intermediate_size: int = 512
    num_hidden_layers: int = 48
    num_attention_heads: int = 32
    num_key_value_heads: int = 32
    n_shared_experts: int = 1
    n_routed_experts: int = 128
    output_router_logits: bool = False
    routed_scaling_factor: float = 2.5
    kv_lora_rank: int = 128
    q_lora_rank: int = 384
    qk_rope_head_dim: int = 32
    v_head_dim: int = 64
    qk_nope_head_dim: int = 64
    n_group: int | None = None
    topk_group: int | None = None
    num_experts_per_tok: int = 8
    norm_topk_prob: bool = True
    hidden_act: Activation = "silu"
    max_position_embeddings: int = 131072
    initializer_range: float = 0.02
    rms_norm_eps: float = 1e-06
    bos_token_id: int | None = 163691
    eos_token_id: int | tuple[int, ...] | None = 163691
    tie_word_embeddings: bool = False
    rope_parameters: RopeParameters = rope()
    mlp_layer_types: tuple[MlpType, ...] = dense_first(
        1, key="first_k_dense_replace", step_key="moe_layer_freq"
    )
    attention_bias: bool = False
    attention_dropout: float = 0.0
    index_topk: int = 2048
    index_head_dim: int = 128
    index_n_heads: int = 16
    layer_types: tuple[LayerType, ...] = uniform("indexed_attention")
    gated_norm_rank: int = 16
    qk_head_dim: int = always(qk_head_dim)
    head_dim: int = always(rotated_dim)

    num_local_experts = Alias[int]("n_routed_experts")
