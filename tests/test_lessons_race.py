"""Lesson h: a typed policy is raced, and whatever is wrong with it is one line."""

from __future__ import annotations

import pytest

from experiments.lessons.race import (
    AGEING,
    OTHERS,
    RATE,
    SHORTEST,
    reaches_target,
    result,
    result_of_text,
    shares,
    table,
)
from experiments.lessons.typed_policy import PolicyMistake, check_and_race, policy_of, run_typed

RANK = "from policies.prefill_first import PrefillFirst\nclass P(PrefillFirst):\n    def rank(self, r):\n        "
PLAN = "from simulator import *\nclass P(SchedulerPolicy):\n    def plan(self, view):\n        "
ORACLE = (
    "from simulator import OraclePolicy\nclass P(OraclePolicy):\n    name = 'oracle'\n"
    "    def foresee(self, lengths): pass\n    def plan(self, view): pass"
)
MISTAKES = {
    "def x(:": "line 1: invalid syntax",
    "a = 1": "there is no class in it",
    "raise SystemExit(3)": "line 1: SystemExit: 3",
    RANK + "return foo": "line 4: NameError",
    RANK + "return 1 / 0": "line 4: ZeroDivisionError",
    RANK + "pass": "`rank` returned None, which is no number",
    RANK + "return float('nan')": "`rank` returned nan, which is no number",
    RANK + "return r.output_length": "line 4: AttributeError: 'RequestState' object has no attribute",
    PLAN + "pass": "`plan` returned None, which is no StepPlan",
    PLAN + "return StepPlan(decode=NONE)": "case 0: an invalid plan: nothing to run",
    PLAN + "return StepPlan(prefill={10**6: 5})": "case 0: an invalid plan: prefill: request 1000000",
    PLAN + "view.waiting.clear()\n        return DECODE_ALL": "line 4: AttributeError",
    "import random\n" + RANK + "return random.random()": "case 0: ",
    ORACLE: "an OraclePolicy is told the output lengths",
}


def test_the_solution_reaches_the_target_and_what_the_editor_starts_with_does_not() -> None:
    assert reaches_target(result_of_text(AGEING).values)
    mean, tail = shares(result_of_text(SHORTEST).values)
    assert mean < 2 / 3
    assert tail > 2
    assert not reaches_target(result("fcfs").values)


def test_a_rank_by_arrival_is_fcfs() -> None:
    by_arrival = result_of_text(RANK + "return r.arrival")
    assert by_arrival.ttft.tolist() == result("fcfs").ttft.tolist()


def test_a_process_of_its_own_gives_the_same_result_and_what_was_printed() -> None:
    typed = run_typed(SHORTEST.replace("        return", "        print('ranked', request.id)\n        return"), RATE)
    assert typed.mistake is None
    assert typed.values == pytest.approx(result_of_text(SHORTEST).values, abs=0, rel=0, nan_ok=True)
    assert typed.ttft == result_of_text(SHORTEST).ttft.tolist()
    assert typed.printed.startswith("ranked 0\nranked 1\n")
    assert len(typed.printed) <= 600


@pytest.mark.parametrize(("text", "said"), MISTAKES.items())
def test_a_mistake_is_one_line(text: str, said: str) -> None:
    mistake = check_and_race(text, RATE).mistake
    assert mistake is not None
    assert mistake.startswith(said)
    assert "\n" not in mistake


@pytest.mark.parametrize("body", ["while True: pass", "return sum(range(10**12))"])
def test_a_loop_without_end_is_stopped(body: str) -> None:
    assert (
        run_typed(RANK + body, RATE, time_limit=2.0).mistake == "stopped after 2 s: is there a loop that does not end?"
    )


def test_a_process_that_ends_itself_is_one_line_too() -> None:
    assert run_typed("import os\nos._exit(0)", RATE).mistake == "its process ended without a result"


def test_memory_without_end_is_one_line_too() -> None:
    text = RANK + "held = []\n        while True: held.append(bytearray(10**8))"
    assert run_typed(text, RATE).mistake == "it takes more than 2 GiB of memory"


def test_the_last_policy_of_a_text_counts() -> None:
    assert policy_of(SHORTEST + "\n\nclass Other(MyPolicy):\n    pass\n").__mro__[2].__name__ == "Other"
    with pytest.raises(PolicyMistake, match="there is no class"):
        policy_of("from policies.fcfs import Fcfs")


def test_the_table_marks_the_best_of_each_column() -> None:
    lines = table({name: result(name).values for name in OTHERS}).splitlines()
    assert len(lines) == 2 + len(OTHERS)
    assert sum(line.count("**") for line in lines) == 2 * 4
