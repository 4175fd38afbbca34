from typing import ClassVar

from hf_config.base import PreTrainedConfig
from hf_config.derive import Activation, kv_heads, qk_head_dim
from hf_config.record import Alias, derived, record
from hf_config.rope import RopeParameters, rope


@record
class LongcatFlashConfig(PreTrainedConfig):
    """LongCat Flash: two latent attentions in a layer, with experts beside them that may do nothing."""

    model_type: ClassVar[str] = "longcat_flash"

    vocab_size: int = 131072
    hidden_size: int = 6144
    num_layers: int = 28
    num_attention_heads: int = 64
    num_key_value_heads: int = derived(kv_heads)
    hidden_act: Activation = "silu"
    max_position_embeddings: int = 131072
    initializer_range: float = 0.02
    rms_norm_eps: float = 1e-05
    bos_token_id: int | None = 1
    eos_token_id: int | tuple[int, ...] | None = 2
    tie_word_embeddings: bool = False
    rope_parameters: RopeParameters = rope(theta=10000000.0)
    attention_bias: bool = False
    attention_dropout: float = 0.0
    ffn_hidden_size: int = 12288
    q_lora_rank: int = 1536
    kv_lora_rank: int = 512
    qk_nope_head_dim: int = 128
    qk_rope_head_dim: int = 64
    head_dim: int = 64
    v_head_dim: int = 128
    qk_head_dim: int = derived(qk_head_dim)
    moe_topk: int = 12
    n_routed_experts: int = 512
    output_router_logits: bool = False
    zero_expert_num: int = 256
    expert_ffn_hidden_size: int = 2048
    routed_scaling_factor: float = 6.0

    num_local_experts = Alias[int]("n_routed_experts")
    num_experts_per_tok = Alias[int]("moe_topk")
    intermediate_size = Alias[int]("ffn_hidden_size")
    moe_intermediate_size = Alias[int]("expert_ffn_hidden_size")

    @property
    def num_hidden_layers(self) -> int:
        """Attention layers: two in each of `num_layers`."""
        return 2 * self.num_layers
