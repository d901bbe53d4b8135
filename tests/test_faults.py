"""What goes wrong around a run, a full disk, an interruption, a death, is one clear line, and nothing done is lost."""

from __future__ import annotations

import errno
import os
import resource
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from experiments.cli import main
from experiments.compare import run_compare
from experiments.folders import replacing
from experiments.results import not_ours
from experiments.sweep.run import run_sweep
from tests.outside_policies import install
from tests.sweep_support import cell_files, grid, outputs
from tests.sweep_support import run as run_sweep_command

STUDY = grid(seeds=10, requests=200).members[0].to_yaml()
SMALL = grid()
NUM_CELLS = 40
NOTHING = "nothing of this run is saved"
HUNGRY = """
from policies.fcfs import Fcfs

class Hungry(Fcfs):
    name = "hungry"
    def plan(self, view):
        bytearray(1 << 42)
"""


def start(command: str, study: Path, out: Path, *more: str, preparation: Callable[[], None] | None = None) -> Any:
    """A command of smoothserve on the study, in a process group of its own."""
    program = [sys.executable, "-c", "from experiments.cli import main; main()"]
    pipe = subprocess.PIPE
    return subprocess.Popen(
        [*program, command, str(study), "--out", str(out), *more],
        stdout=pipe,
        stderr=pipe,
        text=True,
        start_new_session=True,
        preexec_fn=preparation,
    )


def ended(process: subprocess.Popen[str]) -> tuple[int, str]:
    """Exit code and stderr."""
    _, err = process.communicate(timeout=120)
    return process.returncode, err


@pytest.fixture
def study(tmp_path: Path) -> Path:
    path = tmp_path / "study.yaml"
    path.write_text(STUDY, encoding="utf-8")
    return path


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    """A folder that is a file system of its own, with room for some of what a study writes."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if os.geteuid() != 0 or _mount(folder, "size=200k") != 0:
        pytest.skip("needs to be root, and allowed to mount")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def _mount(folder: Path, options: str) -> int:
    if shutil.which("mount") is None:
        return 1
    return subprocess.run(
        ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)], capture_output=True, check=False
    ).returncode


def small_files_only() -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))


def full(*_: Any, **__: Any) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_comparison_on_a_full_disk_leaves_nothing(tiny_disk: Path, study: Path) -> None:
    code, err = ended(start("compare", study, tiny_disk / "out", "--quiet"))
    assert code == 2
    assert (
        err
        == f"smoothserve: output folder {tiny_disk / 'out'}: No space left on device; nothing of this run is saved\n"
    )
    assert list(tiny_disk.iterdir()) == []


def test_a_sweep_on_a_full_disk_keeps_what_fits_and_goes_on_when_there_is_room(tiny_disk: Path, study: Path) -> None:
    store = tiny_disk / "out"
    code, err = ended(start("sweep", study, store, "--quiet", "--jobs", "1"))
    assert code == 2
    assert err.startswith(f"smoothserve: output folder {store}: No space left on device; ")
    assert err.endswith(f" of {NUM_CELLS} cells are saved in {store}; the same command resumes\n")
    kept = len(cell_files(store))
    assert f"; {kept} of" in err
    assert 0 < kept < NUM_CELLS
    subprocess.run(["mount", "-o", "remount,size=20m", str(tiny_disk)], check=True)
    code, err = ended(start("sweep", study, store, "--jobs", "1"))
    assert code == 0
    assert f"{kept} of {NUM_CELLS} cells are in {store}" in err
    assert len(cell_files(store)) == NUM_CELLS


def test_a_read_only_disk_is_said_before_anything_runs(tiny_disk: Path, study: Path) -> None:
    subprocess.run(["mount", "-o", "remount,ro", str(tiny_disk)], check=True)
    for command in ("compare", "sweep"):
        code, err = ended(start(command, study, tiny_disk / "out", "--quiet"))
        assert (code, err) == (2, f"smoothserve: output folder {tiny_disk / 'out'}: {tiny_disk} is not writable\n")


def test_a_disk_that_becomes_read_only_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def read_only(*_: Any) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), "a file")

    monkeypatch.setattr("experiments.sweep.store.write_whole", read_only)
    with pytest.raises(OSError, match=r"^output folder .*store: Read-only file system; 8 of 8 cells are saved in"):
        run_sweep(SMALL, tmp_path / "store", jobs=1)


def test_files_that_may_not_grow_are_one_line(tmp_path: Path, study: Path) -> None:
    for command in ("compare", "sweep"):
        code, err = ended(start(command, study, tmp_path / command, "--quiet", preparation=small_files_only))
        assert code == 2
        assert err.count("\n") == 1
        assert f"output folder {tmp_path / command}: File too large; " in err
    assert not (tmp_path / "compare").exists()
    assert list((tmp_path / "sweep" / "tmp").iterdir()) == []


def test_an_earlier_result_stays_when_the_disk_is_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "out"
    study = SMALL.members[0]
    run_compare(study, out)
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    monkeypatch.setattr("experiments.results.run_frame", full)
    with pytest.raises(
        OSError, match="No space left on device; nothing of this run is saved, the earlier result stays"
    ):
        run_compare(study, out)
    assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == before
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_an_error_about_another_file_is_left_as_it_is(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError) as caught, replacing(tmp_path / "out", not_ours):
        (tmp_path / "trace.csv").read_bytes()
    assert caught.value.filename == str(tmp_path / "trace.csv")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("command", ["compare", "sweep"])
def test_a_folder_that_vanishes_is_one_line(
    command: str, study: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "home"
    home.mkdir()
    name = "experiments.results.run_frame" if command == "compare" else "experiments.sweep.outputs.cell_table"
    monkeypatch.setattr(name, _after_removing(home, name))
    study.write_text(SMALL.members[0].to_yaml(), encoding="utf-8")
    with pytest.raises(SystemExit) as end:
        main(
            [
                command,
                str(study),
                "--out",
                str(home / "out"),
                "--quiet",
                *(["--jobs", "1"] if command == "sweep" else []),
            ]
        )
    err = capsys.readouterr().err
    assert (end.value.code, err.count("\n")) == (2, 1)
    assert f"output folder {home / 'out'}: No such file or directory; " in err
    assert (NOTHING if command == "compare" else "0 of 8 cells are saved") in err


def _after_removing(folder: Path, name: str) -> Callable[..., Any]:
    """The function of that name, which first removes the folder."""
    module, _, attribute = name.rpartition(".")
    before = getattr(sys.modules[module], attribute)

    def function(*arguments: Any) -> Any:
        shutil.rmtree(folder)
        return before(*arguments)

    return function


@pytest.mark.parametrize("group", [True, False], ids=["as Ctrl-C does", "this process alone"])
@pytest.mark.parametrize("command", ["compare", "sweep"])
@pytest.mark.parametrize("jobs", [1, 2])
def test_an_interrupted_run_says_what_is_saved(
    command: str, jobs: int, group: bool, study: Path, tmp_path: Path
) -> None:
    if (jobs, group) == (1, True):
        pytest.skip("with one process both are the same")
    out = tmp_path / "home" / "out"
    with start(command, study, out, "--jobs", str(jobs)) as process:
        _wait_for(process, "25% of")
        (os.killpg if group else os.kill)(process.pid, signal.SIGINT)
        code, err = ended(process)
    lines = err.splitlines()
    assert (code, lines[-1]) == (130, "smoothserve: interrupted")
    assert all(line.startswith("smoothserve: ") for line in lines), err
    if command == "compare":
        assert lines[-2] == f"smoothserve: nothing of this run is saved, there is no {out}"
        assert not out.parent.exists()
    else:
        kept = len(cell_files(out))
        assert lines[-2] == f"smoothserve: {kept} of {NUM_CELLS} cells are saved in {out}; the same command resumes"
        assert 0 < kept < NUM_CELLS
        assert list((out / "tmp").iterdir()) == []


def _wait_for(process: subprocess.Popen[str], words: str) -> None:
    assert process.stderr is not None
    for line in process.stderr:
        if words in line:
            return
    raise AssertionError("it ended before it could be interrupted")


def test_a_comparison_whose_worker_dies_is_one_line(study: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    with start("compare", study, out, "--jobs", "2") as process:
        _wait_for(process, "25% of")
        os.kill(_workers(process.pid)[0], signal.SIGKILL)
        code, err = ended(process)
    assert code == 2
    assert f"of {NUM_CELLS} runs, perhaps out of memory: give fewer --jobs" in err.splitlines()[-1]
    assert "Traceback" not in err
    assert not out.exists()


def _workers(pid: int) -> list[int]:
    """The workers of a process."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [int(child) for child in children if b"LokyProcess" in Path(f"/proc/{child}/cmdline").read_bytes()]


def test_a_cell_that_needs_too_much_memory_fails_alone(tmp_path: Path) -> None:
    site = tmp_path / "site"
    install(site, "hungry", HUNGRY, "hungry = hungry:Hungry")
    path = tmp_path / "grid.yaml"
    path.write_text(SMALL.to_yaml().replace("- lcfs", "- hungry"), encoding="utf-8")
    store = tmp_path / "store"
    code, out, err = run_sweep_command(str(path), "--out", str(store), "--jobs", "2", site=site)
    assert code == 1, err
    assert "4 failed" in out
    assert "MemoryError" in out
    assert "Traceback" not in out + err
    assert len(cell_files(store)) == 4


def test_two_sweeps_at_once_fill_one_store(study: Path, tmp_path: Path) -> None:
    alone, both = tmp_path / "alone", tmp_path / "both"
    assert ended(start("sweep", study, alone, "--quiet", "--jobs", "1"))[0] == 0
    sweeps = [start("sweep", study, both, "--quiet", "--jobs", "1") for _ in range(2)]
    assert [ended(sweep) for sweep in sweeps] == [(0, ""), (0, "")]
    assert cell_files(both) == cell_files(alone)
    assert outputs(both) == outputs(alone)
    assert list((both / "tmp").iterdir()) == []
    assert sorted(path.name for path in tmp_path.iterdir()) == ["alone", "both", "study.yaml"]


def test_two_sweeps_of_other_grids_share_a_store(tmp_path: Path) -> None:
    store = tmp_path / "store"
    sweeps = []
    for rate in (2, 4):
        path = tmp_path / f"{rate}.yaml"
        path.write_text(grid(rates=[rate]).to_yaml(), encoding="utf-8")
        sweeps.append(start("sweep", path, store, "--quiet", "--jobs", "1"))
    assert [ended(sweep) for sweep in sweeps] == [(0, ""), (0, "")]
    assert len(cell_files(store)) == 8
    assert run_sweep(grid(), store, jobs=1).num_run == 0


def test_a_store_that_leads_elsewhere_by_a_link_is_refused(tmp_path: Path) -> None:
    store, elsewhere = tmp_path / "store", tmp_path / "elsewhere"
    run_sweep(SMALL, store, jobs=1)
    shutil.move(store / "cells", elsewhere)
    (store / "cells").symlink_to(elsewhere)
    before = sorted(elsewhere.iterdir())
    with pytest.raises(ValueError, match="cells, a link that leads out of it"):
        run_sweep(SMALL, store, jobs=1)
    assert sorted(elsewhere.iterdir()) == before
