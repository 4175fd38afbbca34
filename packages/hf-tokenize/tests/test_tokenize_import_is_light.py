"""Importing the package brings in no tensor library, no HTTP client and no template engine."""

from __future__ import annotations

import subprocess
import sys

HEAVY = (
    "torch",
    "numpy",
    "jax",
    "huggingface_hub",
    "httpx",
    "requests",
    "urllib3",
    "jinja2",
    "tiktoken",
    "transformers",
)


def test_import() -> None:
    code = f"import sys, hf_tokenize; print([m for m in {HEAVY!r} if m in sys.modules])"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


def test_encoding_needs_no_more(tmp_path: object) -> None:
    code = (
        "import sys, json, hf_tokenize, pathlib, tempfile\n"
        "d = pathlib.Path(tempfile.mkdtemp()); (d / 'tokenizer_config.json').write_text("
        "json.dumps({'tokenizer_class': 'ByT5Tokenizer'}))\n"
        "t = hf_tokenize.AutoTokenizer.from_pretrained(d); assert t('hi')['input_ids'] == [107, 108, 1]\n"
        f"print([m for m in {HEAVY!r} if m in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


def test_every_public_name_is_there() -> None:
    import hf_tokenize

    assert hf_tokenize.__all__ == sorted(hf_tokenize.__all__)
    for name in hf_tokenize.__all__:
        assert getattr(hf_tokenize, name).__doc__ or name in (
            "Side",
            "TensorType",
            "PaddingStrategy",
            "TruncationStrategy",
        )
