from typing import ClassVar, Literal

from hf_config.base import PreTrainedConfig
from hf_config.record import Alias, record


def _rounded_up(size: float, multiple: int = 64) -> int:
    return int((size + multiple - 1) // multiple) * multiple


@record
class xLSTMConfig(PreTrainedConfig):
    """xLSTM: matrix memories with exponential gates."""

    model_type: ClassVar[str] = "xlstm"

    vocab_size: int = 50304
    hidden_size: int = 4096
    num_hidden_layers: int = 32
    num_heads: int = 8
    use_bias: bool = False
    norm_reduction_force_float32: bool = True
    tie_word_embeddings: bool = False
    add_out_norm: bool = True
    norm_eps: float = 1e-06
    qk_dim_factor: float = 0.5
    v_dim_factor: float = 1.0
    chunk_size: int = 64
    autocast_kernel_dtype: Literal["float32", "bfloat16", "float16"] = "bfloat16"
    eps: float = 1e-06
    inference_state_dtype: Literal["float32", "bfloat16", "float16"] = "float32"
    ffn_proj_factor: float = 2.667
    ffn_round_up_to_multiple_of: int = 64
    gate_soft_cap: float = 15.0
    output_logit_soft_cap: float = 30.0
    weight_mode: Literal["single", "fused"] = "single"
    pad_token_id: int | None = 1
    bos_token_id: int | None = 0
    eos_token_id: int | tuple[int, ...] | None = 2

    embedding_dim = Alias[int]("hidden_size")
    num_blocks = Alias[int]("num_hidden_layers")

    @property
    def qk_head_dim(self) -> int:
        """The size of a query or key head; the whole width is rounded up to 64."""
        return _rounded_up(self.hidden_size * self.qk_dim_factor) // self.num_heads

    @property
    def v_head_dim(self) -> int:
        """The size of a value head; the whole width is rounded up to 64."""
        return _rounded_up(self.hidden_size * self.v_dim_factor) // self.num_heads
