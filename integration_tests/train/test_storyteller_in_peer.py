"""The bundled model is an ordinary checkpoint: the peer loads it and computes the same."""

import sys

import pytest
import torch

from hf_modeling import AutoModelForCausalLM
from hf_tokenize import AutoTokenizer
from hf_transformers.demo_data import storyteller
from tools.workspace import ROOT

pytestmark = [
    pytest.mark.parity,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # of what the peer imports
]


def test_the_peer_computes_the_same() -> None:
    import transformers

    folder = storyteller()
    messages = [{"role": "user", "content": "Tell me a story about a dragon."}]
    ours, theirs = AutoTokenizer.from_pretrained(folder), transformers.AutoTokenizer.from_pretrained(folder)
    ids = ours.apply_chat_template(messages, add_generation_prompt=True)["input_ids"]
    assert list(theirs.apply_chat_template(messages, add_generation_prompt=True)["input_ids"]) == list(ids)
    inputs = torch.tensor([ids])
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    peer = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    with torch.inference_mode():
        expected = peer(inputs).logits
        torch.testing.assert_close(
            model(inputs).logits, expected, rtol=0, atol=1e-5 * float(expected.abs().max())
        )
    mine = model.generate(inputs, max_new_tokens=60, do_sample=False)
    assert torch.equal(mine, peer.generate(inputs, max_new_tokens=60, do_sample=False))


def test_the_stories_are_drawn_anew_each_time_and_alike_for_a_seed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "examples" / "storyteller"))
    try:
        import stories

        first, again, other = (stories.Storyteller(seed) for seed in (0, 0, 1))
        told = [first.story() for _ in range(200)]
        assert [again.story() for _ in range(200)] == told
        assert len({sample.text for sample in told} & {other.story().text for _ in range(200)}) == 0
        assert not any("{" in sample.text + sample.request for sample in told)
    finally:
        sys.modules.pop("stories", None)
