"""Folders of every recipe, made once a session and only when a test asks."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from integration_tests.tokenize.recipes import Recipe


@pytest.fixture(scope="session")
def folder_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Recipe], Path]:
    """The folder of a recipe."""
    root = tmp_path_factory.mktemp("tokenizers")

    def folder(recipe: Recipe) -> Path:
        path = root / recipe.name
        if not path.exists():
            path.mkdir()
            recipe.build(path)
        return path

    return folder
