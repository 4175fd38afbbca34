"""`from_pretrained` spreads a model over processes when it is asked to, and the share behaves as the whole."""

from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from torch.distributed.device_mesh import init_device_mesh

from hf_modeling.classes import find_class
from hf_modeling.heads.causal_lm import CausalLM
from hf_parallel.testing.cases import DISTANCES, LLAMA, MIXTURE, STATES, TIED
from hf_parallel.testing.compare import Case, class_of, config_of
from hf_parallel.testing.pool import JobError, Pool

PROMPT = [[5, 9, 33, 7], [11, 2, 40, 60]]
Answer = tuple[list[list[int]], list[list[float]], int]


def answer(model: CausalLM) -> Answer:
    """Greedy tokens, last logits, and how many numbers the process holds."""
    ids = torch.tensor(PROMPT)
    with torch.inference_mode():
        logits = model(ids).logits[:, -1]
    tokens = model.generate(ids, max_new_tokens=6, do_sample=False, eos_token_id=None)
    assert isinstance(tokens, torch.Tensor)
    return tokens.tolist(), logits.tolist(), sum(p.numel() for p in model.parameters())


def spread(case: Case, folder: str, target: str) -> Answer:
    model = find_class(case.class_name).from_pretrained(folder, tp_plan="auto")
    assert isinstance(model, CausalLM)
    model.save_pretrained(target)
    return answer(model)


def beside_copies(case: Case, folder: str) -> Answer:
    mesh = init_device_mesh("cpu", (2, 2), mesh_dim_names=("dp", "tp"))
    model = find_class(case.class_name).from_pretrained(folder, device_mesh=mesh)
    assert isinstance(model, CausalLM)
    return answer(model)


def too_many(folder: str) -> None:
    find_class(LLAMA.class_name).from_pretrained(folder, tp_plan="auto", tp_size=3)


@pytest.mark.parametrize(
    "case", [LLAMA, TIED, MIXTURE, DISTANCES, STATES], ids=["llama", "tied", "mixture", "distances", "states"]
)
def test_a_share_answers_as_the_whole(pool: Pool, tmp_path: Path, case: Case) -> None:
    torch.manual_seed(0)
    whole = class_of(case)(config_of(case)).eval()
    assert isinstance(whole, CausalLM)
    whole.save_pretrained(tmp_path / "source")
    tokens, logits, count = answer(whole)
    target = tmp_path / "target"
    for ours in (
        *pool.run(spread, 2, case, str(tmp_path / "source"), str(target)),
        *pool.run(beside_copies, 4, case, str(tmp_path / "source")),
    ):
        assert ours[0] == tokens
        assert torch.allclose(torch.tensor(ours[1]), torch.tensor(logits), atol=1e-5)
        assert ours[2] < 0.7 * count
    again = class_of(case).from_pretrained(target).state_dict()
    assert all(torch.equal(again[name], tensor) for name, tensor in whole.state_dict().items())


def test_sizes_that_do_not_divide(pool: Pool, tmp_path: Path) -> None:
    with pytest.raises(JobError, match="tp_size=3 does not divide the 2 processes"):
        pool.run(too_many, 2, str(tmp_path))


def uninitialised() -> bool:
    return dist.is_initialized()


def test_jobs_find_their_group(pool: Pool) -> None:
    assert pool.run(uninitialised, 1) == [True]
