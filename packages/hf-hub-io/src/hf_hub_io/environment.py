"""The environment variables of huggingface_hub, read without importing it and its HTTP client."""

from __future__ import annotations

import os
from pathlib import Path

_TRUE = {"1", "ON", "YES", "TRUE"}


def offline_switch() -> str | None:
    """The environment variable that switches the network off, as `NAME=value`; None when it is on."""
    for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"):
        if value := os.environ.get(name):
            return f"{name}={value}" if value.upper() in _TRUE else None
    return None


def hub_home() -> Path:
    """The folder with cache and token: HF_HOME, or `huggingface` in the user's cache folder."""
    cache = os.environ.get("XDG_CACHE_HOME", "~/.cache")
    return _expand(os.environ.get("HF_HOME", os.path.join(cache, "huggingface")))


def cache_folder() -> Path:
    """The folder of downloaded repositories: HF_HUB_CACHE, or `hub` in `hub_home`."""
    value = os.environ.get("HF_HUB_CACHE") or os.environ.get("HUGGINGFACE_HUB_CACHE")
    return _expand(value) if value else hub_home() / "hub"


def token_source(token: str | bool | None) -> str | None:
    """Where the access token of a call comes from, in words; None when the call carries none."""
    if isinstance(token, str):
        return "the token argument"
    if token is False:
        return None
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"):
        if os.environ.get(name, "").strip():
            return f"the environment variable {name}"
    if token is None and os.environ.get("HF_HUB_DISABLE_IMPLICIT_TOKEN", "").upper() in _TRUE:
        return None
    path = _expand(os.environ.get("HF_TOKEN_PATH", os.path.join(hub_home(), "token")))
    return f"the file {path}" if path.is_file() else None


def _expand(value: str) -> Path:
    return Path(os.path.expandvars(os.path.expanduser(value)))
