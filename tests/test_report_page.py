"""A report page stands alone, says what its folder says, and escapes what others have named."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from experiments.aggregate import Row, class_frame, run_frame, summary_frame
from experiments.capacity.command import run_capacity
from experiments.capacity.words import capacity_words
from experiments.cli import main
from experiments.compare import run_compare
from experiments.demos.command import run_demo
from experiments.report_page.command import page_of, write_report
from experiments.report_page.page import Line, PageTable
from experiments.report_page.pictures import read_picture
from experiments.report_page.render import render
from experiments.report_page.terms import terms
from experiments.results import not_ours
from experiments.saved_results import read_results
from experiments.study import StudySpec
from experiments.sweep.grid import make_grid
from experiments.sweep.run import run_sweep
from experiments.table import class_table, result_table
from experiments.verdict import verdict

STUDY = {
    "name": "two rates",
    "workload": {"lengths": "azure-conv"},
    "rates": [2, 30],
    "requests": 60,
    "profile": "a100-80gb/llama-3-8b/tp1",
    "policies": ["fcfs", "chunked_prefill:token_budget=512"],
    "seeds": 2,
    "slo": {"ttft": 1.0, "tbt": 0.1},
}
MIXED = {
    "workload": {
        "classes": [{"name": "chat", "lengths": "sharegpt"}, {"name": "<i>code</i>", "lengths": "azure-code"}],
    },
    "requests": 40,
    "rates": [2],
    "seeds": 1,
    "slo": None,
}
VOID = {"meta", "img", "path"}
EVIL = "<script>alert('&')</script>"


class Reader(HTMLParser):
    """What is in a document: its tags as they open and close, their attributes, and the rows of its tables."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.rows: list[list[str]] = []
        self.texts: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        if tag not in VOID:
            self.open.append(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes += [(tag, name, value or "") for name, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)
        if {"td", "th"} & set(self.open):
            self.rows[-1][-1] += data


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, StudySpec, list[Row]]:
    folder = tmp_path_factory.mktemp("report") / "two"
    study, rows = run_compare(StudySpec.model_validate(STUDY), folder, jobs=1)
    return folder, study, rows


@pytest.fixture
def folder(results: tuple[Path, StudySpec, list[Row]], tmp_path: Path) -> Path:
    """A copy of the results that a test may damage."""
    return Path(shutil.copytree(results[0], tmp_path / "two"))


def html(folder: Path) -> str:
    return render(page_of(folder))


def run(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> tuple[int | str | None, str, str]:
    with pytest.raises(SystemExit) as exit_:
        main(arguments)
    return exit_.value.code, *capsys.readouterr()


def test_results_are_read_back(results: tuple[Path, StudySpec, list[Row]]) -> None:
    folder, study, rows = results
    read_study, read_rows = read_results(folder)
    assert read_study == study
    assert verdict(read_rows) == verdict(rows)
    pd.testing.assert_frame_equal(summary_frame(read_rows), summary_frame(rows))
    runs = [[run for row in table for run in row.runs] for table in (read_rows, rows)]
    pd.testing.assert_frame_equal(run_frame(runs[0]), run_frame(runs[1]))


def test_results_of_a_replay_and_of_classes_are_read_back(tmp_path: Path) -> None:
    trace = tmp_path / "azure.csv"
    lines = [f"2023-11-16 18:15:{second:02d}.0000000,{100 + second},{second + 1}\n" for second in range(20)]
    trace.write_text("TIMESTAMP,ContextTokens,GeneratedTokens\n" + "".join(lines))
    replay: dict[str, Any] = {"workload": {"trace": str(trace)}, "rates": [], "requests": None, "seeds": 1}
    for name, fields in (("replay", replay), ("mixed", MIXED)):
        study, rows = run_compare(StudySpec.model_validate(STUDY | fields), tmp_path / name, jobs=1)
        read_study, read_rows = read_results(tmp_path / name)
        assert read_study == study
        pd.testing.assert_frame_equal(summary_frame(read_rows), summary_frame(rows))
        pd.testing.assert_frame_equal(class_frame(read_rows), class_frame(rows))
        assert [run.cell.rate for row in read_rows for run in row.runs] == [
            run.cell.rate for row in rows for run in row.runs
        ]
    assert f"the trace {trace} (SHA-256 " in html(tmp_path / "replay")


def test_page_is_a_whole_document(folder: Path) -> None:
    text = html(folder)
    page = Reader(text)
    assert text.startswith("<!DOCTYPE html>")
    assert page.open == []
    assert ("html", "lang", "en") in page.attributes
    assert all(alt for tag, name, alt in page.attributes if (tag, name) == ("img", "alt"))
    for tag, needed in (("img", "alt"), ("th", "scope")):
        count = len(re.findall(rf"<{tag}\b", text))
        assert count == sum((t, n) == (tag, needed) for t, n, _ in page.attributes)
        assert count > 1
    ids = [value for _, name, value in page.attributes if name == "id"]
    assert len(set(ids)) == len(ids)


def test_page_asks_for_nothing_outside_it(folder: Path) -> None:
    text = html(folder)
    page = Reader(text)
    for _, name, value in page.attributes:
        assert not name.startswith("on")
        if name in ("src", "href", "srcset", "poster", "action", "data", "xlink:href"):
            assert value.startswith(("data:", "#")), value
    assert not re.search(r"<(script|link|iframe|object|embed|base)\b|url\(|@import|https?://", text)
    assert ("meta", "content", "default-src 'none'; img-src data:; style-src 'unsafe-inline'") in page.attributes


def test_page_holds_every_cell_of_the_table(results: tuple[Path, StudySpec, list[Row]]) -> None:
    folder, _, rows = results
    assert any(row.unstable for row in rows)
    page = Reader(html(folder))
    shown = [" ".join(" ".join(row).split()) for row in page.rows]
    table = result_table(rows, 10_000)
    wanted = zip(*([str(cell) for cell in column.cells] for column in table.columns), strict=True)
    assert shown[0] == " ".join(" ".join(str(column.header) for column in table.columns).split())
    assert shown[1:] == [" ".join(cells) for cells in wanted]
    text = "".join(page.texts)
    assert verdict(rows) in text
    assert "* Unstable:" in text
    assert "half-width of the 95 % interval over 2 seeds" in text


def test_classes_have_a_table_of_their_own_and_escaped_names(tmp_path: Path) -> None:
    _, rows = run_compare(StudySpec.model_validate(STUDY | MIXED), tmp_path / "mixed", jobs=1)
    text = html(tmp_path / "mixed")
    by_class = class_table(rows, 10_000)
    assert by_class is not None
    assert len(Reader(text).rows) == 2 + len(rows) + by_class.row_count
    assert "<i>" not in text
    assert "&lt;i&gt;code&lt;/i&gt;" in text
    assert "Unstable:" not in text


def test_page_says_how_to_run_it_again(folder: Path) -> None:
    page = Reader(html(folder))
    text = "".join(page.texts)
    assert (folder / "study.yaml").read_text() in text
    assert "smoothserve compare study.yaml --out again" in text
    assert "diff -r --exclude=meta.json two again" in text
    meta = json.loads((folder / "meta.json").read_text())
    assert meta["platform"] in text
    assert f"numpy {meta['libraries']['numpy']}" in text
    assert f"{meta['date'][:10]} {meta['date'][11:16]} UTC" in text
    assert ("a", "download", "study.yaml") in page.attributes


def test_names_are_escaped(folder: Path) -> None:
    study = StudySpec.model_validate(STUDY | {"name": EVIL, "policies": ["fcfs", EVIL], "profile": EVIL})
    (folder / "study.yaml").write_text(study.to_yaml())
    for name in ("summary.parquet", "runs.parquet"):
        table = pd.read_parquet(folder / name)
        table["policy"] = table["policy"].replace("chunked_prefill:token_budget=512", EVIL)
        table.to_parquet(folder / name, index=False)
    evil = folder.rename(folder.with_name("<b> & 'c'"))
    text = html(evil)
    page = Reader(text)
    assert page.open == []
    assert "script" not in page.open
    assert "<script" not in text
    assert "<b>" not in text
    assert EVIL in page.texts


def test_same_folder_same_bytes_and_a_later_run_may_replace_it(folder: Path, tmp_path: Path) -> None:
    before = sorted(folder.rglob("*"))
    default = write_report(folder)
    assert default == tmp_path / "two.html"
    other = write_report(folder, tmp_path / "other.html")
    assert default.read_bytes() == other.read_bytes()
    assert write_report(folder) == default
    assert sorted(folder.rglob("*")) == before
    assert not_ours(folder) is None
    assert sorted(path.name for path in tmp_path.iterdir()) == ["other.html", "two", "two.html"]


def test_the_page_of_the_current_folder_lies_beside_it(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(folder)
    code, out, err = run(["report", "."], capsys)
    assert (code, err) == (0, "")
    assert f"Written to {folder.with_name('two.html')}" in out


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:200])


def _without_column(path: Path) -> None:
    pd.read_parquet(path).drop(columns="seed").to_parquet(path)


def _without_runs_of_fcfs(path: Path) -> None:
    table = pd.read_parquet(path)
    table[table["policy"] != "fcfs"].to_parquet(path)


def _of_another_tool(path: Path) -> None:
    path.write_text(json.dumps({"made_by": "another tool", "version": "1", "date": "2026-01-01"}))


@pytest.mark.parametrize(
    ("name", "damage", "words"),
    [
        ("meta.json", Path.unlink, "holds no meta.json"),
        ("meta.json", _cut, "meta.json: does not say"),
        ("meta.json", _of_another_tool, "another tool"),
        ("summary.parquet", _cut, "summary.parquet: is damaged"),
        ("runs.parquet", _cut, "runs.parquet: is damaged"),
        ("runs.parquet", _without_column, "runs.parquet: has no column seed"),
        ("runs.parquet", _without_runs_of_fcfs, "runs.parquet: holds no run of fcfs at 2 req/s"),
        ("runs.parquet", Path.unlink, "runs.parquet: No such file"),
        ("study.yaml", Path.unlink, "study.yaml: No such file"),
        ("study.yaml", _cut, "study.yaml"),
        ("figures/goodput.png", Path.unlink, "goodput.png: No such file"),
        ("figures/latencies.png", _cut, "latencies.png: is not a whole PNG"),
    ],
)
def test_damaged_folders(
    folder: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    name: str,
    damage: Callable[[Path], None],
    words: str,
) -> None:
    damage(folder / name)
    code, out, err = run(["report", str(folder)], capsys)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert words in err
    assert [path.name for path in tmp_path.iterdir()] == ["two"]


def test_places_where_no_page_may_go(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    thesis = tmp_path / "thesis.html"
    thesis.write_text("mine")
    for out, words in (
        (thesis, "no earlier report"),
        (folder / "page.html", "lies in the output folder"),
        (tmp_path, "is a folder"),
        (tmp_path / "nowhere" / "page.html", "No such file"),
    ):
        code, _, err = run(["report", str(folder), "--out", str(out)], capsys)
        assert (code, err.count("\n")) == (2, 1)
        assert words in err
        assert str(out) in err
    assert thesis.read_text() == "mine"
    for place in (tmp_path / "nowhere", thesis):
        code, _, err = run(["report", str(place)], capsys)
        assert (code, err.count("\n")) == (2, 1)
        assert str(place) in err


def test_pictures_are_as_large_as_the_figures(folder: Path) -> None:
    picture = read_picture(folder / "figures" / "goodput.png")
    assert (picture.width, picture.height) == (1040, 440)
    assert picture.source.startswith("data:image/png;base64,iVBOR")


def test_terms_are_those_of_the_heads() -> None:
    table = PageTable("", ("policy", "P99 TTFT\ns", "smooth\ngoodput\ntokens/s"), (True, False, False), ())
    assert [name for name, _ in terms([table])] == ["TTFT", "smooth goodput"]


def test_sections_end_where_a_line_says_so() -> None:
    lines = tuple(Line((str(i), "1 ±2"), ends_section=end) for i, end in enumerate([False, True, False, True]))
    table = PageTable("", ("name", "value"), (True, False), lines)
    assert [[line.cells[0] for line in section] for section in table.sections] == [["0", "1"], ["2", "3"]]
    assert table.with_interval == [False, True]


def test_a_sweep_has_a_section_for_each_study_and_says_what_failed(tmp_path: Path) -> None:
    grid = {name: value for name, value in STUDY.items() if name not in ("workload", "rates", "requests")}
    loads = {"chat": {"lengths": "azure-conv"}, "<code>": {"lengths": "azure-code"}}
    store = tmp_path / "sweep"
    run_sweep(make_grid(grid | {"workloads": loads, "rates": [2], "requests": 20}, "test"), store, jobs=1)
    failure = {"workload": "chat", "profile": STUDY["profile"], "policy": "fcfs", "rate": 2.0, "error": "ValueError"}
    for seed in (0, 7):  # the run of seed 0 has a result by now
        (store / "failed" / f"{seed}.json").write_text(json.dumps(failure | {"seed": seed, "message": f"no {seed}"}))
    text = html(store)
    page = Reader(text)
    assert page.open == []
    assert "<code>" not in text
    assert len([name for _, name, value in page.attributes if (name, value[:8]) == ("id", "section-")]) == 2
    assert len(page.rows) == 2 * 3
    assert "Failed: fcfs at 2.0 req/s, seed 7: ValueError: no 7" in page.texts
    assert "no 0" not in text
    assert "smoothserve sweep sweep.yaml --out again" in text
    (store / "failed" / "8.json").write_text("{}")
    with pytest.raises(ValueError, match=r"8\.json: does not say why"):
        html(store)


def test_a_demonstration_has_its_figures_and_differences(tmp_path: Path) -> None:
    [outcome] = run_demo("delay", tmp_path, seeds=2, window=20.0)
    page = Reader(html(tmp_path / "delay"))
    [part] = outcome.parts
    assert page.rows[1][0] == part.findings[0].measure.words
    assert [row[-1] for row in page.rows[1:]] == ["yes" if finding.holds else "no" for finding in part.findings]
    assert len([tag for tag, name, _ in page.attributes if (tag, name) == ("img", "src")]) == 2
    assert (tmp_path / "delay" / "verdict.txt").read_text().splitlines()[0] in "".join(page.texts)
    (tmp_path / "delay" / "verdict.txt").unlink()
    with pytest.raises(FileNotFoundError):
        html(tmp_path / "delay")


def test_capacities_are_in_the_verdict_and_the_command_is_whole(tmp_path: Path) -> None:
    study = StudySpec.model_validate(STUDY | {"requests": 20})
    table = run_capacity(study, ["ttft_p99<=1"], tmp_path / "capacity", prices={"a100-80gb": 2.0}, jobs=1)
    page = Reader(html(tmp_path / "capacity"))
    text = "".join(page.texts)
    for row, line in zip(table, page.rows[1:], strict=True):
        words = capacity_words(row)
        assert " ".join(line[3:5]).startswith(words)
        assert words in text
    options = "--keep 'ttft_p99<=1' --profile a100-80gb/llama-3-8b/tp1 --price a100-80gb=2 --tolerance 0.02"
    assert f"smoothserve capacity study.yaml {options} --out again" in text
