"""Errors carry cause and fix, survive processes, and derive from the fitting builtin."""

from __future__ import annotations

import inspect
import pickle
from pathlib import Path

import pytest

from hf_hub_io import errors
from hf_hub_io.errors import HfError, MissingPackageError, RateLimitedError, RepoError, ShardMissingError

ALL = [cls for _, cls in inspect.getmembers(errors, inspect.isclass) if issubclass(cls, HfError)]


def test_message_is_cause_then_fix() -> None:
    error = HfError("the lamp is off", fix="switch it on")
    assert str(error) == "the lamp is off\n  fix: switch it on"
    assert (error.what, error.fix) == ("the lamp is off", "switch it on")
    assert str(HfError("alone")) == "alone"


@pytest.mark.parametrize(
    "cls", [cls for cls in ALL if cls is not MissingPackageError], ids=lambda cls: cls.__name__
)
def test_every_error_survives_pickling(cls: type[HfError]) -> None:
    copy = pickle.loads(pickle.dumps(cls("what", fix="how")))
    assert type(copy) is cls
    assert str(copy) == "what\n  fix: how"


def test_fields_survive_pickling() -> None:
    limited = RateLimitedError("slow down", fix="wait", repo="org/name", revision="main", retry_after=3.0)
    copy = pickle.loads(pickle.dumps(limited))
    assert (copy.repo, copy.revision, copy.retry_after) == ("org/name", "main", 3.0)
    missing = pickle.loads(pickle.dumps(ShardMissingError("gone", file=Path("x"))))
    assert missing.file == Path("x")


def test_missing_package_prints_the_install_line() -> None:
    error = MissingPackageError("bitsandbytes", "4-bit loading", "pip install 'hf-quant[bnb]'")
    assert isinstance(error, ImportError)
    assert str(error) == (
        "the package bitsandbytes, which 4-bit loading needs, is not installed\n"
        "  fix: pip install 'hf-quant[bnb]'"
    )
    assert MissingPackageError("scipy").fix == "pip install scipy"
    assert str(pickle.loads(pickle.dumps(error))) == str(error)


def test_every_leaf_is_also_a_builtin() -> None:
    roots = {HfError, errors.WeightsError, RepoError}
    for cls in set(ALL) - roots:
        builtins = [base for base in cls.__mro__ if base.__module__ == "builtins" and base is not Exception]
        assert len(builtins) > 2, (
            f"{cls.__name__} derives from no builtin error"
        )  # BaseException, object, and one


def test_the_drawn_tree_is_the_real_tree() -> None:
    drawn = {
        word
        for line in (errors.__doc__ or "").splitlines()
        for word in line.split()
        if word.endswith("Error")
    }
    assert {cls.__name__ for cls in ALL} <= drawn
