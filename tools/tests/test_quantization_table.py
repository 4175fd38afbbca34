"""The page lists the methods that the package registers."""

from pathlib import Path

from tools.quantization_table import PAGE, main, with_table


def test_the_page_is_current() -> None:
    assert main([]) == 0


def test_a_stale_table_is_found_and_rewritten(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(PAGE.read_text().replace("| `gptq` |", "| `gptk` |"))
    assert main([], page) == 1
    assert main(["--write"], page) == 0
    assert page.read_text() == with_table(PAGE.read_text())
