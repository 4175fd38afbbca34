"""The harness: alternation, agreement and the figures it reports, on sides whose times are known."""

import json
from pathlib import Path

import pytest

from tools.bench import report, runner
from tools.bench.case import Result
from tools.bench.worker import find

EXAMPLE = "tools.tests.bench_example"


def run(name: str, scratch: Path) -> Result:
    return runner.run(EXAMPLE, find(EXAMPLE, name), scratch=scratch, threads=1)


@pytest.mark.parametrize(("name", "samples"), [("same", 3), ("fresh", 2)])
def test_ratio_is_peer_time_over_ours(name: str, samples: int, tmp_path: Path) -> None:
    result = run(name, tmp_path)
    assert result.ours.seconds == (0.5,) * samples
    assert report.ratio(result) == 4.0
    assert report.agrees(result)
    assert result.ours.metrics["tokens"] == 3.0
    assert result.ours.peak_rss > 2**20


def test_table_names_goal_and_spread(tmp_path: Path) -> None:
    lines = report.markdown([run("same", tmp_path)]).splitlines()
    assert lines[0].startswith("| case | ours | peer | peer/ours |")
    assert lines[2].startswith("| same | 500 ms | 2 s | 4.00x | 3x met | 0% / 0% |")


def test_different_answers_are_shown(tmp_path: Path) -> None:
    result = run("different", tmp_path)
    assert not report.agrees(result)
    assert "DIFFERENT ANSWERS" in report.markdown([result])


def test_a_side_that_stops_is_an_error_naming_it(tmp_path: Path) -> None:
    with pytest.raises(runner.BenchmarkError, match="broken: the ours side ended with exit status 1"):
        run("broken", tmp_path)


def test_results_are_saved_with_every_sample(tmp_path: Path) -> None:
    report.save([run("same", tmp_path)], tmp_path / "out.json", threads=1)
    saved = json.loads((tmp_path / "out.json").read_text())
    assert saved["results"][0]["peer"]["seconds"] == [2.0, 2.0, 2.0]
    assert saved["results"][0]["agrees"] is True


def test_every_case_has_its_own_name() -> None:
    assert {"import-meta", "import-auto-tokenizer"} <= set(runner.discover())
