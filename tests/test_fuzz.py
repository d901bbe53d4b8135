"""Whatever is read from outside gives a result or one clear line: no traceback, no hang, no flood, nothing executed."""

from __future__ import annotations

import json
import os
import re
import socket
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, seed, settings

from experiments.cli import main
from experiments.compare import run_compare
from experiments.log_files import load_log, save_log
from experiments.study_files import load_study, make_study
from experiments.sweep.grid import load_grid, make_grid
from experiments.sweep.run import run_sweep
from experiments.trust import fuzz, fuzz_session, fuzz_targets
from experiments.trust.fuzz_edits import LAUGHS
from experiments.trust.fuzz_folders import sound_log
from experiments.trust.fuzz_session import damage
from experiments.trust.fuzz_targets import Target, Unclear, outcome, targets
from hardware_profiles import load_profile
from hardware_profiles.loader import data_folder
from simulator.workload import read_trace
from tests.fuzz_inputs import GROUPS, inputs

NUM_FAST, NUM_SLOW = 2_000, 18_000
"""Inputs tried by the fast tests and by the slow ones, over all targets."""
PROFILE = "a100-80gb/llama-3-8b/tp1"
FIELDS: dict[str, Any] = {"rates": [5], "requests": 5, "profile": PROFILE, "policies": ["fcfs"]}
SMALL: dict[str, Any] = {**FIELDS, "workload": {"lengths": "azure-conv"}}


def of_group(group: str) -> dict[str, Target]:
    return {name: target for name, target in targets().items() if name.startswith(group)}


def prepared(group: str, home: Path) -> Iterator[tuple[str, Target, Path]]:
    """The targets of a group, each with a folder of its own that is ready for inputs."""
    for name, target in of_group(group).items():
        folder = home / name
        folder.mkdir()
        target.ready(folder)
        yield name, target, folder


def test_every_target_is_in_one_group() -> None:
    assert sorted(name for group in GROUPS for name in of_group(group)) == sorted(targets())


@pytest.mark.parametrize("group", GROUPS)
def test_sound_inputs_are_read(group: str, tmp_path: Path) -> None:
    for name, target, folder in prepared(group, tmp_path):
        read = [outcome(target, folder, data) for data in target.seeds]
        assert read.count("result") == len(read) - (
            name == "study names"
        )  # of which one names files that are not there


@pytest.mark.parametrize("group", GROUPS)
def test_any_damage_is_read_or_refused_in_one_line(group: str, tmp_path: Path) -> None:
    for _, target, folder in prepared(group, tmp_path):

        @seed(0)
        @settings(max_examples=NUM_FAST // len(targets()) + 1, deadline=None, database=None)
        @given(inputs(target))
        def check(data: bytes) -> None:
            outcome(target, folder, data)  # noqa: B023 (it is called before the next one is chosen)

        check()


@pytest.mark.slow
@pytest.mark.parametrize("group", GROUPS)
def test_much_damage_is_read_or_refused_in_one_line(group: str, tmp_path: Path) -> None:
    for _, target, folder in prepared(group, tmp_path):
        for data in islice(damage(target.seeds, seed=2), NUM_SLOW // len(targets()) + 1):
            outcome(target, folder, data)


def raising(error: Exception) -> Any:
    def read(path: Path) -> None:
        raise error

    return read


@pytest.mark.parametrize(
    ("read", "words"),
    [
        (raising(KeyError("a")), "KeyError: 'a'"),
        (raising(RecursionError("deep")), "RecursionError"),
        (raising(ValueError("two\nlines")), "not one line"),
        (raising(ValueError("")), "not one line"),
        (raising(ValueError("escape \x1b[2J")), "not one line"),
        (raising(ValueError("what is wrong, but not where")), "does not name the file"),
        (raising(ValueError("x" * 5000)), "5000 characters long"),
        (lambda path: time.sleep(5), "more than 0.05 s"),
        (lambda path: bytearray(300 << 20), "took more than"),
    ],
)
def test_what_is_no_clear_error_is_found(
    read: Any, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fuzz_targets, "SECONDS", 0.05 if "0.05" in words else 10.0)
    monkeypatch.setattr(fuzz_targets, "BYTES", 50 << 20 if "took" in words else 1 << 40)
    monkeypatch.setattr(fuzz_targets, "_peak_bytes", iter([0, 100 << 20]).__next__)
    with pytest.raises(Unclear, match=words):
        outcome(Target("file", (b"",), read), tmp_path, b"")


def test_the_command_counts_and_keeps_what_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    fuzz.app(["--inputs", "40", "--plain", "--only", "trace azure", "--out", str(tmp_path)], standalone_mode=False)
    last = capsys.readouterr().out.splitlines()[-1].split()
    assert last[:2] == ["all", "40"]
    assert int(last[2]) + int(last[3]) == 40
    assert not list(tmp_path.iterdir())

    bad = Target("file", (b"a",), raising(KeyError("a")))
    monkeypatch.setattr(fuzz_targets, "targets", lambda: {"bad": bad})
    fuzz_session.fuzz_target("bad", 3, 0, tmp_path, tmp_path / "counts.json", guided=False)
    assert json.loads((tmp_path / "counts.json").read_text()) == {"inputs": 3, "failures": 3}
    assert "KeyError" in next((tmp_path / "bad").glob("*.txt")).read_text()


EXECUTE = "!!python/object/apply:os.mkdir ['{place}']"


@pytest.mark.parametrize("tag", [EXECUTE, EXECUTE.replace("object/apply", "object/new"), "!!python/name:os.mkdir"])
def test_yaml_is_data_and_executes_nothing(tag: str, tmp_path: Path) -> None:
    place, path = tmp_path / "made", tmp_path / "file.yaml"
    path.write_text(f"name: {tag.format(place=place)}\n", encoding="utf-8")
    for load in (load_study, load_grid, load_profile):
        with pytest.raises(ValueError, match=rf"^{path}:1: not (valid )?YAML: could not determine a constructor"):
            load(path)
    assert not place.exists()


def test_a_saved_log_is_data_and_executes_nothing(tmp_path: Path) -> None:
    sound_log(tmp_path / "log")
    log = load_log(tmp_path / "log")
    save_log(log, tmp_path / "again")
    assert {path.suffix for path in (tmp_path / "again").iterdir()} == {".parquet"}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (f"name: {LAUGHS.decode()}", "more than 100000 values"),
        ("name: &a [*a]\n", "nested more than 50 deep"),
        ("name: " + "[" * 200_000, "nesting depth"),
        ("name: " + "{a: " * 60 + "1" + "}" * 60, "nested more than 50 deep"),
        ("name: " + "x" * 1001, "a text of 1001 characters, the longest may have 1000: xxx"),
        ("name: 1" + "0" * 400, "a number of over 300 digits"),
        ("name: " + "9" * 5000, "Exceeds the limit"),
        ("name: 2001-99-99", "month must be in 1..12"),
        ('name: !!int ""', "index out of range"),
        ("name: !!bool maybe", "'maybe'"),
        ("name: !!timestamp x", "not (valid )?YAML"),
    ],
    ids=["laughs", "self", "deep", "mapped", "text", "number", "digits", "date", "int", "bool", "stamp"],
)
def test_a_bomb_is_refused_soon(text: str, words: str, tmp_path: Path) -> None:
    path = tmp_path / "file.yaml"
    path.write_text(text, encoding="utf-8")
    for load in (load_study, load_grid, load_profile):
        start = time.monotonic()
        with pytest.raises(ValueError, match=words) as caught:
            load(path)
        assert time.monotonic() - start < 2
        assert str(caught.value).startswith(str(path))
        assert len(str(caught.value)) < 500


def test_aliases_that_stay_small_are_read(tmp_path: Path) -> None:
    path = tmp_path / "study.yaml"
    classes = "{name: a, lengths: sharegpt, slo: &same {ttft: 1}}, {name: b, lengths: sharegpt, slo: *same}"
    path.write_text(f"{{workload: {{classes: [{classes}]}}, {json.dumps(FIELDS)[1:-1]}}}", encoding="utf-8")
    first, second = load_study(path).model_dump()["workload"]["classes"]
    assert first["slo"] == second["slo"]
    assert first["slo"]["ttft"] == 1.0


def test_a_profile_without_a_latency_model_is_refused(tmp_path: Path) -> None:
    text = data_folder("profiles").joinpath(*f"{PROFILE}.yaml".split("/")).read_text(encoding="utf-8")
    path = tmp_path / "mine.yaml"
    path.write_text(re.sub(r"t0: \{value: [0-9.e-]+", "t0: {value: 0.0", text), encoding="utf-8")
    with pytest.raises(ValueError, match=r"mine\.yaml: document = .*no latency model, t0: Input should be greater"):
        load_profile(path)


@pytest.mark.parametrize("text", ["null\n", "null", "\n\nnull{}\n", " null\n"])
def test_a_line_of_null_does_not_crash_arrow(text: str, tmp_path: Path) -> None:
    path = tmp_path / "trace.jsonl"
    path.write_text(text, encoding="utf-8")
    for name in ("mooncake", "bailian"):
        with pytest.raises(ValueError, match=r"trace\.jsonl:\d: not "):
            read_trace(path, format=name)


def everything_in(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


CLASSES = [{"name": name, "lengths": "azure-conv"} for name in ("../../up", "/root/x", "a/b", "..")]


@pytest.mark.parametrize(
    "changes",
    [
        {"name": "../../up"},
        {"name": "/tmp/up"},
        {"workload": {"classes": CLASSES}},
        {"policies": ["fcfs@pace:speed=8", "chunked_prefill:token_budget=512"]},
        {"name": "a\0b"},
    ],
    ids=["up", "root", "classes", "policies", "null"],
)
def test_no_name_leads_out_of_the_output_folder(changes: dict[str, Any], tmp_path: Path) -> None:
    fields = {**SMALL, **changes}
    home = tmp_path / "a" / "b"
    home.mkdir(parents=True)
    run_compare(make_study(fields, "x"), home / "out")
    run_sweep(make_grid(fields, "x"), home / "store", jobs=1, keep_requests=True)
    assert {path.split("/")[2] for path in everything_in(tmp_path) if path.count("/") >= 2} == {"out", "store"}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a"]


def test_names_of_workloads_and_profile_files_do_not_lead_out_of_a_store(tmp_path: Path) -> None:
    profile = tmp_path / ".." / tmp_path.name / "mine.yaml"
    profile.write_bytes(data_folder("profiles").joinpath(*f"{PROFILE}.yaml".split("/")).read_bytes())
    fields = {**FIELDS, "profile": str(profile), "workloads": {"../../up": {"lengths": "azure-conv"}}}
    run_sweep(make_grid(fields, "x"), tmp_path / "store", jobs=1, keep_requests=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mine.yaml", "store"]


@pytest.mark.parametrize("name", ["../../etc/passwd", "..", "a100-80gb/../../../x", "/etc/passwd", "a\0b", "x" * 5000])
def test_the_name_of_a_profile_or_policy_leads_nowhere(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    for options in (["--profile", name], ["--policies", name], ["--lengths", name]):
        with pytest.raises(SystemExit) as end:
            main(["compare", "--rate", "1", "--requests", "2", "--out", os.devnull + "/x", *options])
        err = capsys.readouterr().err
        assert (end.value.code, err.count("\n")) == (2, 1)
        assert "unknown" in err
        assert len(err) < 10_000


@pytest.mark.parametrize("link", ["figures", "requests", "summary.csv"])
def test_an_earlier_result_with_a_link_is_not_replaced(link: str, tmp_path: Path) -> None:
    study, out, elsewhere = make_study(SMALL, "x"), tmp_path / "out", tmp_path / "elsewhere"
    run_compare(study, out)
    (out / link).rename(elsewhere)
    (out / link).symlink_to(elsewhere)
    before = everything_in(tmp_path)
    with pytest.raises(ValueError, match=f"{link}, a link that leads out of it"):
        run_compare(study, out)
    assert everything_in(tmp_path) == before


def test_a_link_to_a_folder_is_an_output_folder_too(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "out").symlink_to(tmp_path / "real")
    run_compare(make_study(SMALL, "x"), tmp_path / "out")
    assert (tmp_path / "out").is_symlink()
    assert (tmp_path / "real" / "summary.csv").is_file()


def test_the_lessons_are_served_on_the_loopback_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("marimo", reason="needs marimo")
    from experiments.lessons import server

    bound: list[tuple[str, int]] = []

    def run(self: Any, sockets: list[socket.socket]) -> None:
        bound.extend(listening.getsockname() for listening in sockets)

    monkeypatch.setattr(server.uvicorn.Server, "run", run)
    monkeypatch.setattr(server, "_warm_up", lambda: None)
    server.serve()
    assert [host for host, _ in bound] == ["127.0.0.1"]
