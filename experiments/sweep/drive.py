"""Drives tasks through workers that may die, until each has a result or a reason why not."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from time import sleep

from experiments.sweep.backends import Workers
from experiments.sweep.batches import MOST, each, take_batch
from experiments.sweep.tasks import Failure, Outcome, Task

Say = Callable[[str], None]
Done = tuple[Task, Outcome]
_PAUSES = (0.0, 0.3, 1.0, 3.0)
"""Seconds before each question whether there are workers."""


class NoWorkers(ValueError):
    """No worker of the backend answers any more."""


def outcomes(pool: Workers, todo: Iterable[Task], do: Callable[[Task], Outcome], say: Say) -> Iterator[Done]:
    """Each task with its outcome, as it ends.

    Where a worker dies, what was in flight runs again, from then on in batches of one. Where one dies even so, the few
    in flight have the workers to themselves, one after the other, so that the one that kills its worker is known, and
    fails. Raises `NoWorkers` if workers die even without a task.
    """
    waiting, in_flight, most = deque(todo), dict[str, Task](), MOST

    def dispatched() -> Iterator[list[Task]]:
        while batch := take_batch(waiting, _workload, pool.num, most):
            in_flight.update((task.key, task) for task in batch)
            yield batch

    while waiting or in_flight:
        while in_flight:  # of workers that died; one of their threads may have taken another batch since
            waiting.appendleft(in_flight.popitem()[1])
        try:
            for batch in pool.results(partial(each, do), dispatched()):
                for outcome in batch:
                    yield in_flight.pop(outcome.key), outcome
        except Exception as error:
            if not in_flight:
                _check_alive(pool)
            say(f"a worker died ({type(error).__name__}); what was in flight runs again, one cell at a time")
            alone = most == 1
            most = 1
            while alone and in_flight:
                _, task = in_flight.popitem()
                yield task, _alone(pool, task, do, say)


def _workload(task: Task) -> object:
    return task.workload, task.profile, task.cell.rate, task.cell.seed


def _alone(pool: Workers, task: Task, do: Callable[[Task], Outcome], say: Say) -> Outcome:
    """What comes of a task that has the workers to itself; if one dies of it twice, that is what came of it.

    The first time it may be the work of another that was in flight: a cluster does not stop what it has begun.
    """
    for last in (False, True):
        try:
            (outcome,) = pool.results(do, [task], num=min(2, pool.num))
            return outcome
        except Exception as error:
            _check_alive(pool)
            death = error if last else None
    say(f"{task}: kills its worker")
    return Outcome(task.key, None, Failure(type(death).__name__, f"its worker died, perhaps out of memory\n{death}"))


def _check_alive(pool: Workers) -> None:
    """Raise `NoWorkers` if workers do not even do nothing, though given time to start anew."""
    for pause in _PAUSES:
        sleep(pause)
        try:
            assert list(pool.results(abs, [-1], num=min(2, pool.num))) == [1]
            return
        except Exception as error:
            last = f"{type(error).__name__}: {error}"
    raise NoWorkers(f"no worker answers any more, the same command resumes: {last}")
