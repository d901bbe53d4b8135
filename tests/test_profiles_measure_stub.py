"""How iterations on a GPU are timed, and what is left out, with a stand-in for PyTorch that counts."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from experiments.cli import main
from hardware_profiles import measure as measuring
from hardware_profiles.datasheets import ModelShape, load_model
from hardware_profiles.measure import MeasurePlan, measure
from hardware_profiles.tables import Row, read_table, write_table
from hardware_profiles.torch_model import Iteration

PLAN = MeasurePlan(
    num_layers=4,
    repeats=3,
    warm_up=2,
    decode_batches=(1, 2),
    decode_contexts=(16,),
    prefill_tokens=(8,),
    prefill_contexts=(0,),
    hybrid_tokens=(8,),
    hybrid_batches=(2,),
)


class OutOfMemory(Exception):
    pass


class Gpu:
    """A CUDA device whose graphs take 7, 2 and 3 ms in turn, by events; `log` is what it was told."""

    def __init__(self) -> None:
        self.log: list[str] = []
        self.now = 0.0
        self.turn = 0
        stream = SimpleNamespace(wait_stream=lambda other: self.log.append("wait"))
        self.torch: Any = SimpleNamespace(
            __version__="9.9",
            OutOfMemoryError=OutOfMemory,
            inference_mode=nullcontext,
            cuda=SimpleNamespace(
                is_available=lambda: True,
                device_count=lambda: 1,
                get_device_name=lambda device: "NVIDIA Test 80GB",
                empty_cache=lambda: self.log.append("empty"),
                Stream=lambda: stream,
                current_stream=lambda: stream,
                stream=lambda stream: nullcontext(),
                CUDAGraph=lambda: SimpleNamespace(replay=self.replay),
                graph=lambda graph: nullcontext(),
                Event=lambda enable_timing: Event(self),
                synchronize=lambda: self.log.append("synchronize"),
            ),
        )

    def replay(self) -> None:
        self.log.append("replay")
        self.now += (7.0, 2.0, 3.0)[self.turn % 3]
        self.turn += 1


class Event:
    def __init__(self, gpu: Gpu) -> None:
        self.gpu = gpu

    def record(self) -> None:
        self.time = self.gpu.now

    def elapsed_time(self, end: Event) -> float:
        return end.time - self.time


class FakeLayers:
    """Runs are logged; an iteration of two decodes needs more memory than there is."""

    def __init__(self, shape: ModelShape, num_layers: int, device: str) -> None:
        self.num_layers = num_layers

    def layers(self, iteration: Iteration, in_two: bool) -> Any:
        if iteration.decode_batch == 2 and not iteration.prefill_reqs:
            raise OutOfMemory
        return lambda: None

    def head(self, iteration: Iteration) -> Any:
        return lambda: None


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> Gpu:
    gpu = Gpu()
    monkeypatch.setattr(measuring, "import_torch", lambda: gpu.torch)
    monkeypatch.setattr(measuring, "Layers", FakeLayers)
    return gpu


def test_a_gpus_time_is_the_median_between_events_of_replays_after_the_first() -> None:
    gpu, runs = Gpu(), []
    seconds = measuring._time_on_gpu(gpu.torch, lambda: runs.append(1), PLAN)
    assert seconds == 0.003  # of 2, 3 and 7 ms; the first replay, 7 ms, is not timed
    assert len(runs) == PLAN.warm_up + 1  # the last is recorded into the graph
    assert gpu.log == ["wait", "wait", *["replay"] * (PLAN.repeats + 1), "synchronize"]


def test_layers_are_scaled_to_the_model_and_the_head_counts_once(gpu: Gpu) -> None:
    model = load_model("llama-3-8b")
    rows = list(measure(model, "cuda", PLAN))
    assert [row.kind for row in rows] == ["decode", "prefill", "hybrid", "hybrid"]
    assert model.num_layers == 8 * PLAN.num_layers
    assert rows[0].latency_s == pytest.approx(8 * 0.003 + 0.003)  # four replays each: the head's begin one turn later
    assert {row.source for row in rows} == {"measured-nvidia-test-80gb-torch9.9"}


def test_the_faster_way_to_attend_to_what_is_cached_counts(gpu: Gpu, monkeypatch: pytest.MonkeyPatch) -> None:
    seconds = {(0, False): 1.0, (0, True): 0.5, (64, False): 3.0, (64, True): 2.0, (128, False): 4.0, (128, True): 5.0}

    class Layers(FakeLayers):
        def layers(self, iteration: Iteration, in_two: bool) -> Any:
            return lambda: seconds[iteration.context, in_two]

        def head(self, iteration: Iteration) -> Any:
            return lambda: 0.25

    monkeypatch.setattr(measuring, "Layers", Layers)
    monkeypatch.setattr(measuring, "_time_on_gpu", lambda torch, run, plan: run())
    plan = PLAN.model_copy(update={"decode_batches": (), "hybrid_tokens": (), "prefill_contexts": (0, 64, 128)})
    rows = measure(load_model("llama-3-8b"), "cuda", plan)
    assert [row.latency_s for row in rows] == [8 * 1.0 + 0.25, 8 * 2.0 + 0.25, 8 * 4.0 + 0.25]


def test_an_iteration_that_does_not_fit_into_memory_is_left_out(gpu: Gpu) -> None:
    rows = list(measure(load_model("llama-3-8b"), "cuda", PLAN))
    assert [row.decode_batch for row in rows] == [1, 0, 2, 2]
    assert gpu.log.count("empty") == 1


def test_layers_that_do_not_fit_into_memory_are_said(gpu: Gpu, monkeypatch: pytest.MonkeyPatch) -> None:
    def too_large(shape: ModelShape, num_layers: int, device: str) -> None:
        raise OutOfMemory

    monkeypatch.setattr(measuring, "Layers", too_large)
    with pytest.raises(ValueError, match="4 layers and the LM head of llama-3-8b do not fit into cuda"):
        measure(load_model("llama-3-8b"), "cuda", PLAN)


def test_the_command_writes_rows_as_they_come(
    gpu: Gpu, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def exit_code(*options: str) -> object:
        with pytest.raises(SystemExit) as ended:
            main(["profiles", "measure", "--model", "llama-3-8b", *options])
        return ended.value.code

    out = tmp_path / "t.csv"
    assert exit_code("--out", str(out), "--max-kv-tokens", "700") == 0
    said = capsys.readouterr()
    assert said.out == f"28 rows: {out}; 2 iterations did not fit into the memory\n"
    assert "50% of 30 iterations done" in said.err
    assert len(read_table(out)) == 28
    assert exit_code("--out", str(tmp_path / "none" / "t.csv")) == 2
    assert "none/t.csv" in capsys.readouterr().err
    monkeypatch.setattr(gpu.torch.cuda, "is_available", lambda: False)
    assert exit_code("--out", str(out)) == 2
    assert capsys.readouterr().err == "smoothserve: device 'cuda': PyTorch finds no CUDA device on this machine\n"
    assert len(read_table(out)) == 28


def test_rows_are_in_the_file_as_they_come(tmp_path: Path) -> None:
    out = tmp_path / "t.csv"

    def rows() -> Iterator[Row]:
        for number in range(1, 4):
            yield measuring.row_of(Iteration(decode_batch=number, decode_context=16), 0.1, "x")
            assert len(read_table(out)) == number

    write_table(rows(), out)


def test_a_gpu_that_is_not_there_is_said(gpu: Gpu) -> None:
    gpu.torch.cuda.is_available = lambda: False
    with pytest.raises(ValueError, match="device 'cuda:1': PyTorch finds no CUDA device on this machine"):
        measure(load_model("llama-3-8b"), "cuda:1", PLAN)


@pytest.mark.parametrize(
    ("device", "message"),
    [
        ("cuda:1", "device 'cuda:1': PyTorch finds 1 CUDA devices on this machine"),
        ("mps", "device 'mps': not one of cpu, cuda, cuda:1 and the like"),
        ("cuda:x", "device 'cuda:x': not one of"),
    ],
)
def test_other_devices_are_refused(gpu: Gpu, device: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        measure(load_model("llama-3-8b"), device, PLAN)


def test_a_cpus_time_is_the_median_by_the_wall_clock(gpu: Gpu, monkeypatch: pytest.MonkeyPatch) -> None:
    ticks = iter([0.0, 5.0, 10.0, 11.0, 20.0, 22.0])
    monkeypatch.setattr(measuring.time, "perf_counter", lambda: next(ticks))
    runs: list[int] = []
    assert measuring._time_on_cpu(gpu.torch, lambda: runs.append(1), PLAN) == 2.0
    assert len(runs) == PLAN.warm_up + PLAN.repeats
    assert measuring._source(gpu.torch, "cpu") == "measured-cpu-torch9.9"
