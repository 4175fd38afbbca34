"""A family that another package publishes: found by its entry points, and in every way a family like ours."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from textwrap import dedent

CONFIG = '''
from typing import ClassVar

from hf_config.base import PreTrainedConfig
from hf_config.record import record
from hf_config.rope import RopeParameters, rope


@record
class PebbleConfig(PreTrainedConfig):
    """Pebble: windows in every layer, and one matrix for queries, keys and values on disk."""

    model_type: ClassVar[str] = "pebble"

    vocab_size: int = 48
    hidden_size: int = 16
    intermediate_size: int = 24
    num_hidden_layers: int = 2
    num_attention_heads: int = 4
    num_key_value_heads: int = 2
    max_position_embeddings: int = 64
    rms_norm_eps: float = 1e-6
    initializer_range: float = 0.4
    sliding_window: int = 6
    rope_parameters: RopeParameters = rope()
    eos_token_id: int | tuple[int, ...] | None = None
    pad_token_id: int | None = 0
'''

FAMILY = """
from hf_modeling.families.facts import rope
from hf_modeling.families.family import Family
from hf_modeling.spec import Attention, DecoderSpec, Embed, GatedMlp, LmHead, PreNorm, RmsNorm, Window
from hf_modeling.weights import Split, WeightTable, rule
from pebble.config import PebbleConfig


def spec(c):
    norm, head_dim = RmsNorm(eps=c.rms_norm_eps), c.hidden_size // c.num_attention_heads
    attention = Attention(
        heads=c.num_attention_heads,
        kv_heads=c.num_key_value_heads,
        head_dim=head_dim,
        rope=rope(c.rope_parameters, head_dim, c.max_position_embeddings),
        mask=Window(size=c.sliding_window),
    )
    mlp = GatedMlp(width=c.intermediate_size, activation="silu")
    block = PreNorm(mixer=attention, mixer_norm=norm, ffn=mlp, ffn_norm=norm)
    return DecoderSpec(
        width=c.hidden_size,
        embed=Embed(vocab=c.vocab_size),
        blocks=(block,) * c.num_hidden_layers,
        norm=norm,
        head=LmHead(tied=c.tie_word_embeddings),
    )


def weights(c):
    kv = c.hidden_size // c.num_attention_heads * c.num_key_value_heads
    memory = "model.layers.{layer}.self_attn."
    fused = rule(
        "stones.layers.{layer}.self_attn.qkv.weight",
        tuple(f"{memory}{part}_proj.weight" for part in "qkv"),
        Split((c.hidden_size, kv, kv)),
    )
    return WeightTable(prefix="stones.", rules=(fused, rule("stones.{rest}", "model.{rest}")))


FAMILY = Family(
    model_type="pebble",
    config=PebbleConfig,
    spec=spec,
    weights=weights,
    classes={
        "base": "PebbleModel",
        "causal-lm": "PebbleForCausalLM",
        "sequence-classification": "PebbleForSequenceClassification",
    },
)
"""

USE = """
import sys
import torch
from safetensors import safe_open

from hf_config import AutoConfig
from hf_modeling import AutoModelForCausalLM, AutoModelForSequenceClassification, PebbleForCausalLM

folder = sys.argv[1]
torch.manual_seed(0)
model = PebbleForCausalLM(AutoConfig.for_model("pebble", num_hidden_layers=3)).eval()
model.save_pretrained(folder)
with safe_open(folder + "/model.safetensors", "pt") as file:
    names = set(file.keys())
assert "stones.layers.2.self_attn.qkv.weight" in names, names
assert not any("q_proj" in name for name in names), names

loaded = AutoModelForCausalLM.from_pretrained(folder)
assert type(loaded) is PebbleForCausalLM
assert loaded.config.num_hidden_layers == 3
assert type(loaded.config).__module__ == "pebble.config"
ids = torch.tensor([[3, 9, 27, 33, 2, 11, 40, 5]])
with torch.no_grad():
    assert torch.equal(loaded(ids).logits, model(ids).logits)
    # The window is the family's: a token further back than six changes nothing in one layer's reach of the end.
    one = AutoModelForCausalLM.from_pretrained(folder, num_hidden_layers=1, allow_unexpected=("*layers.[12]*",))
    changed = ids.clone()
    changed[0, 0] = 17
    assert torch.equal(one(ids).logits[:, -1], one(changed).logits[:, -1])
    assert not torch.equal(one(ids).logits[:, 0], one(changed).logits[:, 0])
    text = loaded.generate(ids, max_new_tokens=6, do_sample=False)
    steps = ids
    for _ in range(6):
        steps = torch.cat((steps, loaded(steps).logits[:, -1:].argmax(-1)), dim=1)
    assert torch.equal(text, steps), (text, steps)
judge = AutoModelForSequenceClassification.from_pretrained(folder, num_labels=3, allow_missing=("score.*",))
assert judge(ids).logits.shape == (1, 3)
print("whole")
"""


def test_a_published_family_works_without_touching_ours(tmp_path: Path) -> None:
    package = tmp_path / "site" / "pebble"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "config.py").write_text(CONFIG)
    (package / "family.py").write_text(FAMILY)
    info = tmp_path / "site" / "pebble-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: pebble\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        dedent("""
            [hf_config.families]
            pebble = pebble.config:PebbleConfig
            [hf_modeling.families]
            pebble = pebble.family:FAMILY
        """)
    )
    # A process of its own: entry points are read once, and other tests must not meet this family.
    program = f"import sys; sys.path.insert(0, {str(package.parent)!r})\n{USE}"
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "saved")], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "whole"
