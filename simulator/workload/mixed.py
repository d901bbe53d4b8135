"""Mixed traffic: requests of several classes in one stream, each class with lengths and users of its own."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from simulator.metrics.reader_mix import MixName, reading_speeds
from simulator.metrics.slo import SLO
from simulator.random_streams import uniforms
from simulator.workload.arrivals import Arrivals
from simulator.workload.length_table import load_length_table
from simulator.workload.workload import Floats, Ints, Workload

STREAM = "request class"
"""Name of the random stream that says which class a request is of."""


class RequestClass(BaseModel):
    """One kind of traffic, such as chat, code or summarisation. What is not given is for the study to say."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    name: str = Field(min_length=1)
    lengths: str = Field(description="name of a length table")
    share: float = Field(default=1.0, gt=0, description="of the requests, relative to the other classes'")
    slo: SLO | None = Field(default=None, description="what its users were promised")
    speed: float | MixName | None = Field(default=None, description="tokens/s taken in, or drawn from a mix of readers")
    expected_ttft: float | None = Field(default=None, gt=0, description="s: when its users expect the first token")

    def speeds(self, num_requests: int, seed: int) -> Floats:
        """Speed of the reader of each request if it is of this class, tokens/s, (n,); NaN if nothing was said."""
        if isinstance(self.speed, str):
            return reading_speeds(self.speed, num_requests, seed)
        return np.full(num_requests, np.nan if self.speed is None else self.speed)


def mixed_workload(
    arrivals: Arrivals,
    classes: Sequence[RequestClass],
    *,
    num_requests: int | None = None,
    window: float | None = None,
    seed: int = 0,
    name: str = "mixed",
) -> Workload:
    """Requests that arrive by `arrivals`, each of one class by the classes' shares, independently of the others.

    Request i depends on (seed, i) alone: its class is drawn from a stream of its own, and its lengths are those of
    request i of its class's table. Either `num_requests`, or all that arrive within [0, window) seconds.

    Raises ValueError without classes, for two of one name, for an unknown length table, or as `Arrivals` does.
    """
    names = [each.name for each in classes]
    if not names or len(set(names)) < len(names):
        raise ValueError(f"mixed traffic needs classes of different names, not {names}")
    times = arrivals.arrival_times(num_requests=num_requests, window=window, seed=seed)
    n = len(times)
    kind = draw_classes([each.share for each in classes], n, seed)
    lengths = [load_length_table(each.lengths).draw(n, seed) for each in classes]
    return Workload(
        name=name,
        arrival=times,
        prompt_length=np.choose(kind, [prompt for prompt, _ in lengths]),
        output_length=np.choose(kind, [output for _, output in lengths]),
        request_class=kind,
        class_names=tuple(names),
        class_slos=tuple(each.slo for each in classes),
        speed=np.choose(kind, [each.speeds(n, seed) for each in classes]),
        expected_ttft=np.array([each.expected_ttft or np.nan for each in classes])[kind],
        origin={
            "arrivals": str(arrivals),
            "classes": [each.model_dump(mode="json") for each in classes],
            "seed": seed,
        },
    )


def draw_classes(shares: Sequence[float], num_requests: int, seed: int = 0) -> Ints:
    """Index of the class of each request, (n,), by shares of any sum; that of request i depends on (seed, i) alone."""
    up_to = np.cumsum(shares) / np.sum(shares)
    return np.searchsorted(up_to[:-1], uniforms(seed, STREAM, num_requests), side="right").astype(np.int64)
