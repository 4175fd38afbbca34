"""What it costs to say `import`: a fresh process per sample, with the interpreter already up."""

import importlib
from pathlib import Path

from tools.bench import Case, Workload


def importing(module: str, name: str | None = None) -> Workload:
    """A workload that imports `module` and resolves `name` in it, which is when lazy packages do the work."""

    def workload() -> dict[str, float]:
        found = importlib.import_module(module)
        if name is not None:
            getattr(found, name)
        return {}

    return workload


def case(title: str, ours: tuple[str, str | None], peer: tuple[str, str | None], goal: float) -> Case:
    """Compare importing `ours` with importing `peer`, each a module and a name in it."""

    def our_side(folder: Path) -> Workload:
        return importing(*ours)

    def peer_side(folder: Path) -> Workload:
        return importing(*peer)

    return Case(name=title, ours=our_side, peer=peer_side, goal=goal, samples=5, fresh=True)


CASES = (
    case("import-meta", ("hf_transformers", None), ("transformers", None), 10),
    case("import-auto-config", ("hf_config", "AutoConfig"), ("transformers", "AutoConfig"), 10),
    case("import-auto-tokenizer", ("hf_tokenize", "AutoTokenizer"), ("transformers", "AutoTokenizer"), 10),
    case("import-auto-model", ("hf_modeling", "AutoModel"), ("transformers", "AutoModel"), 1),
    case("import-llama", ("hf_modeling", "LlamaForCausalLM"), ("transformers", "LlamaForCausalLM"), 1),
    case("import-pipeline", ("hf_pipelines", "pipeline"), ("transformers", "pipeline"), 1),
)
