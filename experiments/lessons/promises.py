"""What a GPU serves under a promise: the highest rate that keeps it, and how many GPUs keep it for a whole service."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from math import ceil
from typing import TYPE_CHECKING, Any, NamedTuple

from experiments.capacity.conditions import Bound, Keep
from experiments.capacity.search import SearchSettings
from experiments.capacity.seeds import SeedSearch, search_seed
from experiments.lessons import runs
from experiments.style import NOTE_COLOUR, policy_styles
from simulator import TokenLog
from simulator.metrics import SLO, summary_values

if TYPE_CHECKING:
    from matplotlib.axes import Axes

POLICIES = ("fcfs", "chunked_prefill:token_budget=512")
NAMES = {"fcfs": "fcfs", POLICIES[1]: "chunked_prefill, 512 tokens"}
LOOKS = policy_styles(POLICIES)
GPUS = {"L40S": "l40s-48gb", "A100": "a100-80gb", "H100": "h100-80gb"}
"""What they are called, and their devices; each with an 8B model and the overhead of its engine."""
_STARTS = {"L40S": 4.0, "A100": 6.0, "H100": 12.0}
"""requests/s at which a search begins: about what each can do."""
_WINDOW = 90.0
_SETTINGS = SearchSettings(tolerance=0.04, lowest=1 / 128, highest=4.0)


class Promise(NamedTuple):
    """A metric that is at least `least`; where it needs one, the SLO by which requests are judged."""

    metric: str
    least: float
    slo: SLO | None = None


class Fleet(NamedTuple):
    """How many GPUs serve a demand, and what they cost: USD an hour, and USD for a million output tokens."""

    gpus: int
    per_hour: float
    per_million_tokens: float


CONTENT = Promise("qoe_mean", 0.9)
"""A mean QoE of 0.9: readers are content."""


def strict(bound: float = 0.1, share: float = 0.9) -> Promise:
    """`share` of the requests have their first token within 1 s and no gap above `bound` seconds."""
    return Promise("slo_attainment", share, SLO(ttft=1.0, tbt=bound))


@lru_cache(maxsize=2048)
def values(gpu: str, policy: str, rate: float, slo: SLO | None) -> Mapping[str, float]:
    """Every metric of 90 s of chats at `rate` requests/s."""
    hardware = f"{GPUS[gpu]}/llama-3-8b/tp1+vllm-2024"
    return summary_values(_log(hardware, policy, rate), slo)


@lru_cache(maxsize=256)
def search(gpu: str, policy: str, promise: Promise) -> SeedSearch:
    """The search for the highest rate that keeps the promise, with every run that it took."""
    condition = Keep((Bound(promise.metric, at_most=False, value=promise.least),))
    return search_seed(lambda rate: values(gpu, policy, rate, promise.slo), [condition], 0, _STARTS[gpu], _SETTINGS)


def capacity(gpu: str, policy: str, promise: Promise) -> float:
    """The highest rate that keeps the promise, requests/s, to 4 %; 0 if the lowest rate tried does not."""
    return search(gpu, policy, promise).answers[0].bracket.low


def fleet(gpu: str, policy: str, promise: Promise, demand: float, price: float) -> Fleet | None:
    """The GPUs that keep the promise for `demand` requests/s at `price` USD a GPU-hour; None if no number does.

    Requests are dealt out at random, so that each GPU sees Poisson arrivals of its share.
    """
    each = capacity(gpu, policy, promise)
    if each == 0:
        return None
    num = ceil(demand / each)
    tokens_per_hour = 3600 * demand * mean_output()
    return Fleet(num, num * price, 1e6 * num * price / tokens_per_hour)


def mean_output() -> float:
    """Output tokens of a request, on average."""
    return float(runs.poisson(10.0, window=_WINDOW).output_length.mean())


def draw_promise(ax: Axes, gpu: str, promise: Promise, words: str) -> None:
    """The metric at each rate that was tried, and where the promise breaks, for both policies."""
    ax.axhline(100 * promise.least, color=NOTE_COLOUR, linewidth=1.2, linestyle=(0, (4, 3)))
    for policy in POLICIES:
        look, found = LOOKS[policy], search(gpu, policy, promise)
        rates = [run.rate for run in found.evaluations]
        share = [100 * run.values[promise.metric] for run in found.evaluations]
        drawn: dict[str, Any] = {"color": look.colour, "marker": look.marker, "linestyle": look.dash}
        ax.plot(rates, share, markersize=4, label=NAMES[policy], **drawn)
        ax.plot(capacity(gpu, policy, promise) or 0.01, 100 * promise.least, "X", color="#D55E00", **_mark)
    ax.set_xscale("log")
    ax.set_xlim(0.08, 40)
    ax.set_xticks([0.1, 0.3, 1, 3, 10, 30], ["0.1", "0.3", "1", "3", "10", "30"])
    ax.minorticks_off()
    ax.set_ylim(0, 105)
    ax.set_xlabel(f"load of one {gpu} (requests/s)")
    ax.set_ylabel(words)
    ax.legend(loc="lower left")


def draw_fleets(number: Axes, cost: Axes, fleets: Mapping[str, Fleet | None]) -> None:
    """GPUs of each kind, and what a million output tokens cost with them."""
    counts = [0.0 if found is None else float(found.gpus) for found in fleets.values()]
    costs = [0.0 if found is None else found.per_million_tokens for found in fleets.values()]
    _bars(number, fleets, counts, [f"{count:.0f}" if count else "not with any number" for count in counts])
    number.set_xlabel("GPUs that keep the promise")
    _bars(cost, fleets, costs, [f"{usd:.2f}" if usd else "–" for usd in costs])
    cost.set_xlabel("cost of a million output tokens (USD)")


def _bars(ax: Axes, names: Mapping[str, Any], lengths: Sequence[float], labels: Sequence[str]) -> None:
    bars = ax.barh(range(len(names)), lengths, height=0.6, color="#0072B2")
    ax.bar_label(bars, labels, padding=4, color="#333333")
    ax.set_yticks(range(len(names)), [*names])
    ax.invert_yaxis()
    ax.set_xlim(0, 1.25 * max(*lengths, 1e-9))
    ax.grid(visible=False, axis="y")


@lru_cache(maxsize=256)
def _log(hardware: str, policy: str, rate: float) -> TokenLog:
    return runs.run.__wrapped__(runs.poisson(rate, window=_WINDOW), policy, hardware)


_mark: dict[str, Any] = {"markersize": 10, "markeredgecolor": "white", "zorder": 5, "linestyle": ""}
