"""What a layout asks of a model beyond falling into shares. Checked before any weight is read."""

from __future__ import annotations

from hf_modeling.heads.causal_lm import CausalLM, moe_of
from hf_modeling.model import PreTrainedModel
from hf_modeling.spec import DecoderSpec
from hf_parallel.context import context_problems
from hf_parallel.errors import LayoutMismatchError, Problem
from hf_parallel.options import ParallelOptions
from hf_parallel.pipeline import pipeline_problems
from hf_parallel.plan import Plan


def check_plan(cls: type[PreTrainedModel], plan: Plan, options: ParallelOptions) -> None:
    """Raises LayoutMismatchError, with every reason there is, if the planned model cannot run on its layout."""
    layout = plan.layout
    problems = list(context_problems(plan.whole, options.context)) if layout.cp > 1 else []
    if problems:
        raise LayoutMismatchError(
            f"sequences of this model cannot be cut over cp={layout.cp}",
            problems,
            fix=f"leave cp out: dp_shard={layout.dp_shard * layout.cp} takes as many ranks",
        )
    if options.balance_experts:
        _check_balance(cls, plan)
    if layout.ep > 1 and options.recompute == "selective":
        raise LayoutMismatchError(
            "selective recomputation does not reach into experts that are sharded by themselves",
            [Problem(where="experts", rule="recompute='selective' with ep", instead="recompute='full'")],
            fix="pass recompute='full' or 'none'",
        )
    problems = list(pipeline_problems(cls, plan.whole, layout, options)) if layout.pp > 1 else []
    if problems:
        raise LayoutMismatchError(
            f"{cls.__name__} cannot be a pipeline of pp={layout.pp}",
            problems,
            fix="see what would do instead",
        )


def _check_balance(cls: type[PreTrainedModel], plan: Plan) -> None:
    """Raises LayoutMismatchError where there is nothing to balance, or routers cannot be heard."""
    whole = plan.whole
    mixtures = isinstance(whole, DecoderSpec) and any(moe_of(block) for block in whole.blocks)
    if not mixtures or not issubclass(cls, CausalLM):
        problem = Problem(where=cls.__name__, rule="it has no experts to balance", instead="leave it out")
    elif plan.layout.pp > 1:
        problem = Problem(where="pp", rule="stages send hidden states alone", instead="pp=1")
    else:
        return
    raise LayoutMismatchError(
        f"{cls.__name__} cannot balance experts on this layout",
        [problem],
        fix="pass balance_experts=False",
    )
