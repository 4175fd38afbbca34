"""Every decoder family as one exported file: it runs without this library and says what the peer says."""

import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch

from hf_config import AutoConfig
from hf_modeling.export import export_code
from hf_modeling.families import model_types
from integration_tests.families.oracle import LENGTH, build_oracle, random_ids, relative_error
from integration_tests.families.tiny_configs import ROWS, Row, marked

pytestmark = pytest.mark.parity
# The exported file runs where this library cannot be imported.
RUN = """
import sys
from importlib.abc import MetaPathFinder

class Refuse(MetaPathFinder):
    def find_spec(self, name, path, target=None):
        assert not name.startswith(("hf_", "transformers")), name

sys.meta_path.insert(0, Refuse())
sys.path.insert(0, sys.argv[1])
import torch, exported
model = exported.load(sys.argv[1])
ids = torch.load(sys.argv[1] + "/ids.pt")
with torch.no_grad():
    whole = model(ids)
    cache = model.new_cache()
    steps = torch.cat([model(ids[:, :6], cache=cache), model(ids[:, 6:], cache=cache)], dim=1)
torch.save((whole, steps), sys.argv[1] + "/logits.pt")
"""
FIRST = {row.model_type: row for row in reversed(ROWS) if row.model_type in model_types()}


@pytest.mark.parametrize("row", marked(FIRST.values()))
def test_exported_file_has_the_same_logits(row: Row, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    oracle = build_oracle(row, tmp_path)
    code = export_code(AutoConfig.from_pretrained(tmp_path))
    module = ModuleType("exported")
    monkeypatch.setitem(sys.modules, "exported", module)  # where dataclasses look up their module
    exec(compile(code, f"exported_{row.name}.py", "exec"), module.__dict__)
    ids = random_ids(2, LENGTH)
    with torch.no_grad():
        logits = module.load(str(tmp_path))(ids)
    assert relative_error(logits, oracle.logits(ids)) < 1e-5


@pytest.mark.parametrize("name", ["llama", "gpt2", "mixtral"])
def test_exported_file_needs_nothing_of_ours(name: str, tmp_path: Path) -> None:
    oracle = build_oracle(next(row for row in ROWS if row.name == name), tmp_path)
    (tmp_path / "exported.py").write_text(export_code(AutoConfig.from_pretrained(tmp_path)))
    ids = random_ids(2, LENGTH)
    torch.save(ids, tmp_path / "ids.pt")
    subprocess.run([sys.executable, "-c", RUN, str(tmp_path)], check=True, timeout=120)
    for logits in torch.load(tmp_path / "logits.pt"):
        assert relative_error(logits, oracle.logits(ids)) < 1e-5
