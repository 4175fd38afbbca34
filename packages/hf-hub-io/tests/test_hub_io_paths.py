"""`safe_join` lets no name out of its folder, and no name through that means another file elsewhere."""

from __future__ import annotations

import os
import sys
from pathlib import Path, PureWindowsPath

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hf_hub_io import safe_join, safe_name
from hf_hub_io.errors import UnsafePathError

HOSTILE = [
    "",
    ".",
    "..",
    "../x",
    "a/../../x",
    "a/..",
    "/etc/passwd",
    "//server/share",
    "a//b",
    "a/",
    "./a",
    "a\\b",
    "..\\x",
    "C:/x",
    "C:x",
    "file.txt:stream",
    "nul",
    "NUL.txt",
    "a/con",
    "com1.log",
    "LPT9",
    "COM¹",
    "NUL .0",
    "conin$",
    "a\x00b",
    "a\nb",
    "a\x7f",
    "x.",
    "x ",
    " x",
    "a/ /b",
    "a*b",
    "what?",
    "<x>",
    'say"x"',
    "a|b",
    "x" * 256,
    "é" * 128,
    "/".join("a" * 65),
    "\ud800",
]


@pytest.mark.parametrize("name", HOSTILE, ids=ascii)
def test_hostile_names_are_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(UnsafePathError, match="is refused"):
        safe_join(tmp_path, name)


@pytest.mark.parametrize(
    "name",
    [
        "config.json",
        "a/b/c.bin",
        ".gitattributes",
        "..hidden",
        "a..b",
        "é.json",
        "1_Pooling/config.json",
        "console",
    ],
)
def test_ordinary_names_pass(name: str, tmp_path: Path) -> None:
    assert safe_join(tmp_path, name) == tmp_path / name


PIECES = st.sampled_from(
    ["..", ".", "", "a", "b.json", "nul", "C:", "\\", "/", "~", "%2e%2e", "\x00", "…", " ", "é"]
)
NAMES = st.one_of(
    st.text(max_size=40),
    st.lists(PIECES, max_size=8).map("/".join),
    st.lists(PIECES, max_size=8).map("\\".join),
    st.lists(PIECES, max_size=8).map("".join),
)


@settings(max_examples=10_000)
@given(NAMES)
def test_whatever_passes_stays_inside_on_every_system(name: str) -> None:
    root = "/data/root"
    try:
        assert safe_name(name) == name
    except UnsafePathError:
        return
    path = os.path.normpath(os.path.join(root, name))
    assert path.startswith(root + "/")
    assert path == os.path.join(root, name), "a name that passes needs no normalising"
    windows = PureWindowsPath("C:/data/root") / name
    assert windows.parts[:3] == ("C:\\", "data", "root")
    if sys.version_info < (3, 13):  # later versions deprecate it
        assert not windows.is_reserved()


def test_links_out_of_the_folder_are_refused_unless_followed(tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    (tmp_path / "secret").write_text("x")
    (root / "link").symlink_to(tmp_path / "secret")
    (root / "door").symlink_to(tmp_path)
    (root / "inside").symlink_to(root)
    for name in ("link", "door/secret"):
        with pytest.raises(UnsafePathError, match="symbolic link"):
            safe_join(root, name)
        assert safe_join(root, name, follow=True) == root / name
    assert safe_join(root, "inside/new.txt") == root / "inside/new.txt"


def test_a_folder_beside_with_the_same_prefix_is_outside(tmp_path: Path) -> None:
    (tmp_path / "root").mkdir()
    (tmp_path / "root2").mkdir()
    (tmp_path / "root" / "link").symlink_to(tmp_path / "root2")
    with pytest.raises(UnsafePathError):
        safe_join(tmp_path / "root", "link/x")
