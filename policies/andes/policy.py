"""Andes: under pressure, serve those whose quality of experience gains most for the memory that they hold."""

from __future__ import annotations

from collections.abc import Mapping
from math import inf

from pydantic import Field, PrivateAttr

from policies.andes.exchange import Exchange
from policies.andes.guards import Cap, Closed, Guard, GuardName, Off, Refine
from policies.andes.memory import Memory
from policies.andes.pressure import Pressure
from policies.andes.reading import Expectation
from policies.andes.selection import Objective, Selection, select
from policies.andes.standing import Standing
from policies.fcfs import Fcfs
from simulator.policy import PolicyEvent, ReplicaView, SchedulerPolicy, StepPlan

_FCFS = Fcfs()


class Andes(SchedulerPolicy):
    """Serves everyone as fcfs does until there is pressure; then preempts for those who gain most QoE per block.

    Under pressure (see `Pressure`) it solves a knapsack over all requests, by what QoE each would have after
    `horizon` seconds if served and if left waiting; a guard then says which preemptions are worth it. It decides
    anew at events and every `quantum` iterations, and preempts for others no more often than that.

    Source: Andes, arXiv 2404.16283, v1 (objectives, cap) and v2 (refiner). Deviations: the third trigger; a
    quantum of several iterations; few batch sizes (`select`); requests need the blocks that they hold at the end
    of the quantum; whoever has to go when blocks run out goes whatever the guard says; each preemption is by the
    cheaper way, recompute or swap; without pressure it is fcfs.
    """

    name = "andes"

    horizon: float = Field(default=10.0, gt=0, description="s: how far ahead QoE is estimated")
    quantum: int = Field(default=50, ge=1, description="iterations between decisions under pressure")
    objective: Objective = Field(default="average", description="average QoE, its minimum, or how many are perfect")
    guard: GuardName = Field(default="both", description="v1's cap on preemptions, v2's refiner, both or off")
    max_mean_preemptions: float = Field(default=1.0, ge=0, description="preemptions a request that the cap allows")
    kv_pressure: float = Field(default=0.9, ge=0, le=1, description="share of the blocks in use that is pressure")
    queue_pressure: bool = Field(default=True, description="a request that cannot be admitted now is pressure")
    num_batch_sizes: int = Field(default=8, ge=1, description="batch sizes tried from B_min to B_max")
    speed: float = Field(default=5.0, gt=0, description="tokens/s of readers of whom nobody said")
    ttft: float | None = Field(
        default=None, gt=0, description="s: expected TTFT likewise; none: max(1, prompt // 5000)"
    )

    _memory: Memory = PrivateAttr()
    _pressure: Pressure = PrivateAttr()

    def model_post_init(self, context: object, /) -> None:
        """Start with nothing to remember."""
        self._memory = Memory(Expectation(self.speed, self.ttft))
        self._pressure = Pressure(self.kv_pressure, self.queue_pressure, self.speed)

    def plan(self, view: ReplicaView) -> StepPlan:
        """What was promised while it holds; else what fcfs does or, under pressure, the best exchange."""
        memory = self._memory
        if memory.promised is not None and not memory.due(view):
            return memory.promised
        if self._pressure.on(view):
            return self._exchange(view, memory)
        back = _swapped(view)
        return StepPlan(resume=back) if back else _FCFS.plan(view)

    def _exchange(self, view: ReplicaView, memory: Memory) -> StepPlan:
        standing = Standing.of(view, memory.reading, self.horizon, self.quantum)
        selection = select(standing, self.objective, self.num_batch_sizes)
        return Exchange(standing, selection, self._guard(standing, selection, memory)).plan(self.quantum)

    def _guard(self, standing: Standing, selection: Selection, memory: Memory) -> Guard:
        if memory.since_exchange(standing.view.iteration) < self.quantum:
            return Closed()
        if self.guard == "off":
            return Off()
        left = self.max_mean_preemptions * memory.num_requests - memory.num_preemptions
        if self.guard == "cap":
            return Cap(left)
        return Refine(standing, selection, left if self.guard == "both" else inf)

    def on_event(self, event: PolicyEvent) -> None:
        """Remember the plan that stands, who is there, and how late everybody is read."""
        self._memory.note(event)

    def counters(self) -> Mapping[str, float]:
        """Iterations run by plans made under pressure."""
        return {"num_iterations_under_pressure": self._memory.num_iterations_under_pressure}


def _swapped(view: ReplicaView) -> tuple[int, ...]:
    """Swapped requests that can come back without pressure, in the order of the queue."""
    if view.swap.free == view.swap.num_blocks:
        return ()
    free, seats = view.kv.free - view.kv.needed_next, view.limits.max_num_seqs - len(view.running)
    back: list[int] = []
    for request in view.waiting.values():
        if request.swapped_tokens and len(back) < seats:
            free -= view.kv.blocks_for(request.num_tokens + 1)
            if free < 0:
                break
            back.append(request.id)
    return tuple(back)
