"""A surge of chats on a server whose KV cache fills up: who is served, who is preempted, and how their readers fare."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from experiments.lessons import runs
from experiments.score_plots import WAIT_COLOUR
from experiments.style import NOTE_COLOUR, policy_styles
from experiments.timeline.plots import legend_above
from experiments.timeline.reader import Reader, progress_of
from simulator import TokenLog
from simulator.metrics import QoE, User, per_request, summary_values
from simulator.token_log import EventKind, Floats
from simulator.workload import BurstCycle, Workload, load_length_table, synthetic_workload, with_expectations

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

HARDWARE = "a800-80gb/llama-2-7b/tp1"
"""An older model whose cache takes 4 times as much of memory for a token as that of Llama 3: it fills up early."""
WINDOW, WIDTH = 180.0, 0.35
"""s of arrivals, and the share of them that is the surge, in their middle."""
POLICIES = ("fcfs", "andes")
LOOKS = policy_styles(POLICIES)
_NOTICED = 0.5
"""s that a reader has to wait to notice."""


class Preempted(NamedTuple):
    """Preemptions of a run, (n,): of whom, when (s), and for how long the reader had something to read then (s)."""

    request: list[int]
    time: list[float]
    buffer: list[float]


@lru_cache(maxsize=32)
def workload(rate: float, height: float) -> Workload:
    """Chats at a mean of `rate` requests/s, `height` times as many in the surge, with readers of all ages."""
    arrivals = BurstCycle(rate, height, WIDTH, WINDOW)
    load = synthetic_workload(arrivals, load_length_table("sharegpt"), window=WINDOW, seed=0)
    user = User(speed="age")
    expected_ttft = user.qoe.expected_ttft(load.prompt_length)
    return with_expectations(load, speed=user.speeds(len(load)), expected_ttft=expected_ttft)


def log(rate: float, height: float, policy: str) -> TokenLog:
    """The run of that surge."""
    return runs.run(workload(rate, height), policy, HARDWARE)


def readers(rate: float, height: float) -> User:
    """Who reads the answers, and what they expect."""
    load = workload(rate, height)
    return User(speed=tuple(load.speed.tolist()), qoe=QoE(ttft=tuple(load.expected_ttft.tolist())))


@lru_cache(maxsize=64)
def values(rate: float, height: float, policy: str) -> Mapping[str, float]:
    """Every metric of the run."""
    return summary_values(log(rate, height, policy), user=readers(rate, height))


@lru_cache(maxsize=64)
def each(rate: float, height: float, policy: str) -> pd.DataFrame:
    """The metrics of each request."""
    return per_request(log(rate, height, policy), user=readers(rate, height))


@lru_cache(maxsize=64)
def preempted(rate: float, height: float, policy: str) -> Preempted:
    """Who was preempted after the first token, and what the reader had left."""
    run, load = log(rate, height, policy), workload(rate, height)
    assert run.events is not None
    found = Preempted([], [], [])
    kinds = (EventKind.PREEMPT_RECOMPUTE, EventKind.PREEMPT_SWAP)
    for i in np.flatnonzero(np.isin(run.events.kind, kinds)).tolist():
        request, time = int(run.events.request[i]), float(run.events.time[i])
        speed = float(load.speed[request])
        came = _so_far(run, request, speed, time)
        if came is not None:
            found.request.append(request)
            found.time.append(time)
            found.buffer.append(came)
    return found


def _so_far(run: TokenLog, request: int, speed: float, time: float) -> float | None:
    """For how long the reader has something to read at `time`, seconds; None before the first token."""
    progress = progress_of(run, Reader(request, speed))
    delivered = int(np.searchsorted(progress.delivered, time, side="right"))
    read = int(np.searchsorted(progress.read, time, side="right"))
    return (delivered - read) / speed if delivered else None


def preempted_readers(rate: float, height: float) -> list[int]:
    """The requests that andes preempts, those preempted most often first."""
    request = preempted(rate, height, "andes").request
    return sorted(set(request), key=lambda i: (-request.count(i), i))


def noticed(rate: float, height: float, policy: str) -> float:
    """The share of the preempted readers who wait for half a second or more for a token after the first one."""
    requests = sorted(set(preempted(rate, height, policy).request))
    return float(np.mean([_stall(rate, height, policy, i) >= _NOTICED for i in requests])) if requests else 0.0


def _stall(rate: float, height: float, policy: str, request: int) -> float:
    """How much later than at the reader's pace from the first token on the last one is read, seconds."""
    speed = float(workload(rate, height).speed[request])
    read = progress_of(log(rate, height, policy), Reader(request, speed)).read
    return float(read[-1] - read[0] - (len(read) - 1) / speed)


def qoe_curves(run: TokenLog, request: int, speed: float) -> tuple[Floats, Floats, Floats]:
    """When each token is delivered, read and expected, seconds after submission: what QoE sees (n,)."""
    arrival = run.arrival[request]
    delivered = run.token_times(request, request + 1).times - arrival
    place = np.arange(len(delivered)) / speed
    expected = QoE().expected_ttft(run.prompt_length[request : request + 1])[0] + place
    ready = np.maximum.accumulate(delivered - place)
    return delivered, np.maximum(ready, expected[0]) + place, expected


def draw_qoe(ax: Axes, run: TokenLog, request: int, speed: float) -> None:
    """The two areas whose ratio is QoE: behind what was expected, and all of it."""
    delivered, read, expected = qoe_curves(run, request, speed)
    tokens = np.arange(1, len(read) + 1)
    ax.fill_betweenx(tokens, read, read[-1], step="pre", color=NOTE_COLOUR, alpha=0.14, linewidth=0, label="the rest")
    ax.fill_betweenx(tokens, expected, read, step="pre", color=WAIT_COLOUR, linewidth=0, label="behind")
    ax.step(delivered, tokens, where="post", color="#0072B2", linewidth=1.6, label="delivered")
    ax.plot(read, tokens, color="#D55E00", linewidth=1.6, label=f"read at {speed:g} tokens/s")
    ax.plot(expected, tokens, color="black", linestyle=(0, (1, 1.5)), linewidth=1.6, label="expected")
    ax.set_xlim(0, max(float(read[-1]), float(delivered[-1])) * 1.02)
    ax.set_ylim(0, len(read) * 1.03)
    ax.set_xlabel("time since submission (s)")
    ax.set_ylabel("tokens")
    legend_above(ax)


def draw_surge(first: Axes, queue: Axes, rate: float, height: float) -> None:
    """Under both policies: the wait of each request by its arrival, and how many wait at a time."""
    from experiments.timeline.levels import waiting_level

    end = 0.0
    for policy in POLICIES:
        look, run = LOOKS[policy], log(rate, height, policy)
        frame = each(rate, height, policy)
        mark: dict[str, Any] = {"color": look.colour, "marker": look.marker, "linestyle": "", "alpha": 0.7}
        first.plot(frame.arrival, frame.ttft.clip(lower=0.01), markersize=3.6, markeredgewidth=0, label=policy, **mark)
        level = waiting_level(run)
        end = max(end, float(np.nanmax(run.end)))
        queue.step(level.times, level.values, where="post", color=look.colour, linestyle=look.dash, linewidth=1.5)
    for ax in (first, queue):
        ax.axvspan(WINDOW * (1 - WIDTH) / 2, WINDOW * (1 + WIDTH) / 2, color="#efefef", linewidth=0, zorder=0)
        ax.set_xlim(0, end)
    first.annotate("the surge", (WINDOW / 2, 1.0), (0, 3), ha="center", color=NOTE_COLOUR, **_above)
    first.set_yscale("log")
    first.set_yticks([0.01, 0.1, 1, 10, 100], ["10 ms", "100 ms", "1 s", "10 s", "100 s"])
    first.set_ylim(0.01, 250)
    first.minorticks_off()
    first.set_ylabel("TTFT by arrival")
    first.legend(loc="upper left", markerscale=2)
    queue.set_ylabel("requests\nwaiting")
    queue.set_xlabel("time (s)")


_above: dict[str, Any] = {"textcoords": "offset points", "xycoords": ("data", "axes fraction")}
