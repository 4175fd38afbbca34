"""`python -m tools.gpu_check`: the GPU tests and benchmarks, on a machine that reaches no registry.

`build` runs where uv is and leaves the nine wheels in a folder; `run` runs on the GPU machine with what is
there (`MACHINE`), unpacks the wheels without resolving anything, and needs neither uv nor pip.
"""

import os
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path
from typing import Annotated

import typer

ROOT = Path(__file__).resolve().parents[1]
MACHINE = {
    "accelerate": "1.15.0",
    "huggingface-hub": "1.33.0",
    "safetensors": "0.8.0",
    "tokenizers": "0.23.1",
    "torch": "2.11.0",
}
"""Versions on the GPU machine, which has Python 3.12 and transformers 5.17; floors must admit them."""

app = typer.Typer(add_completion=False)
Wheels = Annotated[Path, typer.Option(help="Folder of the wheels.")]
DEFAULT_WHEELS = ROOT / "build" / "gpu-wheels"


@app.command()
def build(wheels: Wheels = DEFAULT_WHEELS) -> None:
    """Build the nine wheels."""
    from tools.workspace import build_wheels

    shutil.rmtree(wheels, ignore_errors=True)
    build_wheels(wheels)


@app.command()
def run(
    wheels: Wheels = DEFAULT_WHEELS,
    target: Annotated[Path, typer.Option(help="Where to unpack them.")] = ROOT / "build" / "gpu-site",
    json: Annotated[Path | None, typer.Option(help="Write the benchmark's samples to this file.")] = None,
    require_gpu: Annotated[bool, typer.Option(help="Fail where no CUDA device is found.")] = True,
) -> None:
    """Unpack the wheels, then run `integration_tests -m gpu` and the GPU benchmarks against them."""
    import torch

    if require_gpu and not torch.cuda.is_available():
        sys.exit("torch finds no CUDA device here; --no-require-gpu runs what can run without one")
    unpack(wheels, target)
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join([str(target), str(ROOT)]),
        "HF_HUB_OFFLINE": "1",
    }
    tests = [str(path) for path in gpu_tests()]
    settings = ["-c", str(pytest_config(target)), "--rootdir", str(ROOT)]
    commands = [[sys.executable, "-m", "pytest", *settings, "-m", "gpu", "-v", *tests]]
    if torch.cuda.is_available():
        commands.append(
            [sys.executable, "-m", "tools.bench", "--gpu", *(["--json", str(json)] if json else [])]
        )
    for command in commands:
        status = subprocess.run(command, cwd=ROOT, env=environment).returncode
        if status != 0:
            sys.exit(status)


def unpack(wheels: Path, target: Path) -> None:
    """Install pure Python wheels offline and without dependencies, which is to unzip them."""
    found = sorted(wheels.glob("*.whl"))
    if not found:
        sys.exit(f"no wheels in {wheels}; make them with: python -m tools.gpu_check build")
    shutil.rmtree(target, ignore_errors=True)
    for wheel in found:
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(target)


def gpu_tests() -> list[Path]:
    """Test files with a `gpu` mark; others may import what that machine lacks, so they are not collected."""
    return [
        path for path in sorted(ROOT.glob("integration_tests/**/test_*.py")) if "mark.gpu" in path.read_text()
    ]


def pytest_config(target: Path) -> Path:
    """A configuration with our markers but without the plugins that machine lacks."""
    ours = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["pytest"]["ini_options"]
    markers = "".join(f"\n    {marker}" for marker in ours["markers"])
    path = target / "pytest.ini"
    path.write_text(f"[pytest]\naddopts = --import-mode=importlib -p no:cacheprovider\nmarkers ={markers}\n")
    return path


if __name__ == "__main__":
    app()
