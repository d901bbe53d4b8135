"""A policy that was typed into a page: made from its text, checked and raced, in a process of its own.

`run_typed` starts that process, `python -m experiments.lessons.typed_policy`, and gives it a time and a memory limit,
so that a loop without end is one line in the page. What is typed runs with the rights of whoever started the lessons:
it is their own code, on their own machine. The server answers no other machine, and no page of another site.
"""

from __future__ import annotations

import json
import subprocess
import sys
import traceback
from contextlib import redirect_stdout
from io import StringIO
from math import isnan
from numbers import Real
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple, cast

from policies.checks import NonConforming, check_policy
from policies.prefill_first import PrefillFirst
from simulator.plan_check import InvalidPlan
from simulator.policy import OraclePolicy, ReplicaView, SchedulerPolicy, StepPlan
from simulator.request import RequestState

TIME_LIMIT = 10.0
"""s for checks and race together; they take about one."""
_MEMORY_BYTES = 2 * 2**30
_NUM_CASES = 8
_MODULE = "your_policy"
_FILE = f"{_MODULE}.py"
_SHOWN = 600


class PolicyMistake(ValueError):
    """What is wrong with the typed policy, in one line."""


class Typed(NamedTuple):
    """What came of a typed policy: a `mistake` of one line, or else its result.

    ttft: of each request, seconds. values: the summary of the run. printed: the beginning of what it printed meanwhile.
    """

    mistake: str | None
    ttft: list[float]
    values: dict[str, float]
    printed: str


def policy_of(text: str) -> type[SchedulerPolicy]:
    """The last policy class that `text` defines. Raises PolicyMistake if there is none, or the text cannot be run."""
    module = ModuleType(_MODULE)
    sys.modules[_MODULE] = module  # what it remembers is compared by pickling it, which looks classes up by name
    try:
        exec(compile(text, _FILE, "exec"), module.__dict__)
    except BaseException as error:
        raise PolicyMistake(explain(error)) from error
    mine = [each for each in vars(module).values() if isinstance(each, type) and each.__module__ == _MODULE]
    found = [each for each in mine if issubclass(each, SchedulerPolicy)]
    if not found:
        raise PolicyMistake("there is no class in it that extends a policy, such as PrefillFirst or SchedulerPolicy")
    if issubclass(found[-1], OraclePolicy):
        raise PolicyMistake("an OraclePolicy is told the output lengths, which nobody in this race may know")
    return _strict(found[-1])


def explain(error: BaseException) -> str:
    """The error in one line, with the line of the text in which it happened."""
    if isinstance(error, SyntaxError):
        return f"line {error.lineno}: {error.msg}"
    if isinstance(error, PolicyMistake):
        return str(error)
    if isinstance(error, MemoryError):
        return f"it takes more than {_MEMORY_BYTES >> 30} GiB of memory"
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == _FILE]
    where = f"line {lines[-1]}: " if lines else ""
    what = " ".join(str(error).split()) or "no message"
    return (
        f"{where}{what}" if isinstance(error, NonConforming | InvalidPlan) else f"{where}{type(error).__name__}: {what}"
    )


def _strict(typed: type[SchedulerPolicy]) -> type[SchedulerPolicy]:
    """The same policy, which says so where it answers with something else than it is asked for."""

    class Strict(typed):  # type: ignore[misc, valid-type]
        def plan(self, view: ReplicaView) -> StepPlan:
            plan = super().plan(view)
            if not isinstance(plan, StepPlan):
                raise PolicyMistake(f"`plan` returned {plan!r:.40}, which is no StepPlan")
            return plan

    if not issubclass(typed, PrefillFirst):
        return Strict

    class StrictRank(Strict):
        def rank(self, request: RequestState) -> float:
            rank = super().rank(request)
            if not isinstance(rank, Real) or isnan(rank):
                raise PolicyMistake(f"`rank` returned {rank!r:.40}, which is no number")
            return float(rank)

    return StrictRank


def check_and_race(text: str, rate: float) -> Typed:
    """Check the policy on small cases, then let it serve the race's load at `rate` requests/s, in this process."""
    from experiments.lessons.race import result_of

    printed = StringIO()
    try:
        made = policy_of(text)
        with redirect_stdout(StringIO()):
            check_policy(lambda: made(), _NUM_CASES)
        with redirect_stdout(printed):
            result = result_of(made(), rate)
    except BaseException as error:
        return Typed(explain(error), [], {}, printed.getvalue()[:_SHOWN])
    return Typed(None, result.ttft.tolist(), dict(result.values), printed.getvalue()[:_SHOWN])


def run_typed(text: str, rate: float, time_limit: float = TIME_LIMIT) -> Typed:
    """`check_and_race` in a process of its own, which is ended after `time_limit` seconds."""
    command = [sys.executable, "-P", "-m", "experiments.lessons.typed_policy"]
    given = json.dumps([text, rate])
    try:
        done = subprocess.run(command, input=given, capture_output=True, text=True, timeout=time_limit, check=False)
        return Typed(*json.loads(done.stdout.splitlines()[-1]))
    except subprocess.TimeoutExpired:
        return Typed(f"stopped after {time_limit:g} s: is there a loop that does not end?", [], {}, "")
    except (IndexError, TypeError, ValueError):
        return Typed("its process ended without a result", [], {}, "")


def _limit_memory() -> None:
    """No more memory than now and the limit on top of it, where the system can be asked for that."""
    if sys.platform == "linux":
        import resource

        now = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (now + _MEMORY_BYTES, now + _MEMORY_BYTES))


def _main() -> None:
    text, rate = cast(Any, json.load(sys.stdin))
    _limit_memory()
    print(json.dumps(check_and_race(text, rate)))


if __name__ == "__main__":
    _main()
