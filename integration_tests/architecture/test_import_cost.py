"""Importing a package that needs no tensors must not pay for them: a law on module lists, not on time."""

import subprocess
import sys

import pytest

HEAVY = {"torch", "numpy", "transformers", "huggingface_hub", "requests", "urllib3", "aiohttp"}
HEAVY |= {"httpx", "httpx2", "httpcore", "httpcore2"}


@pytest.mark.parametrize("package", ["hf_hub_io", "hf_config", "hf_tokenize", "hf_transformers"])
def test_import_leaves_tensors_and_http_clients_out(package: str) -> None:
    program = f"import sys, {package}; dir({package}); print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert {name.partition(".")[0] for name in loaded.stdout.split()} & HEAVY == set()


def test_the_meta_package_offers_its_names_without_importing_them() -> None:
    program = (
        "import sys, hf_transformers as h; print('AutoTokenizer' in dir(h), 'hf_tokenize' in sys.modules)"
    )
    shown = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert shown.stdout == "True False\n"
