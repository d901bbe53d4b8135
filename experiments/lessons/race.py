"""The race of lesson h: its load, its target, and how the results are shown."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from experiments.contender import contender
from experiments.lessons import runs
from experiments.lessons.typed_policy import policy_of
from experiments.style import policy_styles
from simulator import EngineLimits, simulate
from simulator.metrics import per_request, summary_values
from simulator.policy import SchedulerPolicy
from simulator.token_log import Floats

if TYPE_CHECKING:
    from matplotlib.axes import Axes

RATE = 10.0
"""requests/s of the race: more than the GPU can serve for long, so that the order matters."""
WINDOW = 120.0
OTHERS = ("fcfs", "chunked_prefill", "andes")
YOURS = "yours"
MEAN_SHARE, TAIL_SHARE = 2 / 3, 2.0
"""The target: a mean TTFT of at most this share of that of fcfs, and likewise for the P99."""
_YOUR_LOOK: Mapping[str, Any] = {"color": "#D55E00", "linewidth": 3.0, "zorder": 4}

SHORTEST = '''\
from policies.prefill_first import PrefillFirst


class MyPolicy(PrefillFirst):
    """The lowest rank is served first. A new policy is made for every run."""

    def rank(self, request):
        # request: arrival (s), prompt_length (tokens), id, client, speed, ...
        return request.prompt_length
'''
"""What the editor starts with: shortest prompt first."""
AGEING = SHORTEST.replace("return request.prompt_length", "return request.prompt_length + 200 * request.arrival")
"""A policy that reaches the target: each second of waiting makes up for 200 tokens of prompt."""


class Result(NamedTuple):
    """How a policy served the load: TTFT of each request, seconds, and the summary of the run."""

    ttft: Floats
    values: Mapping[str, float]


def result_of(policy: SchedulerPolicy, rate: float, limits: EngineLimits | None = None) -> Result:
    """How `policy` serves the load at `rate` requests/s."""
    log = simulate(runs.poisson(rate, window=WINDOW), policy, runs.profile(), limits=limits)
    return Result(per_request(log).ttft.to_numpy(dtype=np.float64), summary_values(log))


@lru_cache(maxsize=64)
def result(name: str, rate: float = RATE) -> Result:
    """The result of a policy by its name."""
    who = contender(name, EngineLimits())
    return result_of(who.policy, rate, who.limits)


@lru_cache(maxsize=64)
def result_of_text(text: str, rate: float = RATE) -> Result:
    """The result of a policy of this lesson, in this process: not for what somebody typed."""
    return result_of(policy_of(text)(), rate)


def shares(values: Mapping[str, float]) -> tuple[float, float]:
    """Mean and P99 of the TTFT, as shares of those of fcfs."""
    fcfs = result("fcfs").values
    return values["ttft_mean"] / fcfs["ttft_mean"], values["ttft_p99"] / fcfs["ttft_p99"]


def reaches_target(values: Mapping[str, float]) -> bool:
    """Whether the target is reached."""
    mean, tail = shares(values)
    return mean <= MEAN_SHARE and tail <= TAIL_SHARE


def table(results: Mapping[str, Mapping[str, float]]) -> str:
    """A line for each policy, as a Markdown table; the best of each column is bold."""
    columns = {
        "mean TTFT (s)": ("ttft_mean", "{:.2f}", min),
        "P99 TTFT (s)": ("ttft_p99", "{:.1f}", min),
        "mean QoE": ("qoe_mean", "{:.3f}", max),
        "smooth goodput (tokens/s)": ("smooth_goodput_tokens_per_s_window", "{:.0f}", max),
    }
    best = {key: choose(values[key] for values in results.values()) for key, _, choose in columns.values()}
    lines = ["| | " + " | ".join(columns) + " |", "|---|" + "---:|" * len(columns)]
    for name, values in results.items():
        cells = [form.format(values[key]) for key, form, _ in columns.values()]
        marked = [
            f"**{cell}**" if values[key] == best[key] else cell
            for cell, (key, _, _) in zip(cells, columns.values(), strict=True)
        ]
        lines.append(f"| {name} | " + " | ".join(marked) + " |")
    return "\n".join(lines)


def draw_waits(ax: Axes, waits: Mapping[str, Floats]) -> None:
    """For each policy, the share of requests that wait longer for their first token than x."""
    looks = policy_styles(name for name in waits if name != YOURS)
    for name, ttft in waits.items():
        look: Mapping[str, Any] = _YOUR_LOOK
        if name != YOURS:
            look = {"color": looks[name].colour, "linestyle": looks[name].dash, "linewidth": 1.8}
        seconds = np.sort(ttft[np.isfinite(ttft)])
        longer = 100 * (1 - np.arange(len(seconds)) / len(seconds))
        ax.step(seconds, longer, where="post", label=name, **look)
    ax.set_xscale("log")
    ax.set_yscale("log")
    ax.set_xlim(0.02, 200)
    ax.set_ylim(0.08, 130)
    ax.set_xticks([0.1, 1, 10, 100], ["100 ms", "1 s", "10 s", "100 s"])
    ax.set_yticks([0.1, 1, 10, 100], ["0.1 %", "1 %", "10 %", "100 %"])
    ax.minorticks_off()
    ax.set_xlabel("wait for the first token")
    ax.set_ylabel("requests that wait longer")
    ax.legend(loc="lower left")
