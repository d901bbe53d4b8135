"""Demonstrations: verdicts come from the runs, and everything is in the folder that they leave."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from experiments.cli import main
from experiments.compare import run_compare
from experiments.demos.command import run_demo
from experiments.demos.demonstration import Demonstration, Expected
from experiments.demos.measures import GOODPUT, OF_THE_OTHERS, SMOOTH_GOODPUT, TAIL_TBT, of_the_dropped, whole
from experiments.demos.outcome import Outcome, PartOutcome, demonstrate, findings
from experiments.demos.pairs import Pair, run_pair
from experiments.demos.patience import PatienceCurve, break_even, patience_curve
from experiments.demos.registry import DEMOS, demos
from experiments.demos.report import json_row
from experiments.demos.words import notes, verdict
from experiments.study_files import load_study
from simulator.metrics import User, summary_values
from tests.hand_logs import DROPPED, Row, log_of, row

FIVE = sorted(DEMOS)
KEYS = {"part", "metric", "a", "b", "difference", "half_width", "expected", "holds"}


def one(name: str) -> Demonstration:
    (demo,) = demos(name)
    return demo


def outcome_of(pairs: list[tuple[float, float]], expected: Expected) -> Outcome:
    """A demonstration that claims one thing of its goodput, with these values (a, b)."""
    demo = one("delay")
    part = demo.parts[0].model_copy(update={"expected": {GOODPUT: expected}})
    found = findings([{GOODPUT.name: pair} for pair in pairs], part.expected)
    return Outcome(demo, (PartOutcome(part, part.study(len(pairs)), found, ()),))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Outcome]]:
    """A small run of all demonstrations: the folder that they left, and their outcomes."""
    folder = tmp_path_factory.mktemp("demo")
    return folder, {outcome.demo.name: outcome for outcome in run_demo("all", folder, seeds=2, window=10)}


BETTER = [(2.0, 1.0), (2.1, 1.0), (1.9, 1.1)]
WORSE = [(b, a) for a, b in BETTER]
SAME = [(1.0, 1.0), (1.2, 1.2), (0.9, 0.9)]
NOISE = [(1.0, 2.0), (2.0, 1.0), (1.5, 1.4)]


@pytest.mark.parametrize(
    ("pairs", "improves", "worsens", "does_not_improve"),
    [
        (BETTER, True, False, False),
        (WORSE, False, True, True),
        (SAME, False, False, True),
        (NOISE, False, False, False),
    ],
)
def test_the_verdict_is_what_the_pairs_say(
    pairs: list[tuple[float, float]], improves: bool, worsens: bool, does_not_improve: bool
) -> None:
    assert outcome_of(pairs, "improves").reproduced == improves
    assert outcome_of(pairs, "worsens").reproduced == worsens
    assert outcome_of(pairs, "does not improve").reproduced == does_not_improve


def test_lower_is_better_where_the_measure_says_so() -> None:
    (finding,) = findings([{TAIL_TBT.name: pair} for pair in WORSE], {TAIL_TBT: "improves"})
    assert finding.holds
    assert finding.claim.difference.mean < 0


def test_a_contradiction_is_said_in_words() -> None:
    wrong = outcome_of(WORSE, "improves")
    said = (
        "delay: not reproduced: at 5 requests/s the runs do not show that goodput improves, which goes from 2 to 1.03"
    )
    assert verdict(wrong).startswith(said)
    assert verdict(outcome_of(BETTER, "improves")).startswith("delay: reproduced. ")


def test_one_claim_that_fails_is_enough() -> None:
    samples = [{GOODPUT.name: pair, SMOOTH_GOODPUT.name: pair} for pair in BETTER]
    part = one("delay").parts[0]
    study = part.study(3)
    for other, whole_claim in (("improves", True), ("does not improve", False)):
        found = findings(samples, {GOODPUT: "improves", SMOOTH_GOODPUT: other})  # type: ignore[dict-item]
        assert Outcome(one("delay"), (PartOutcome(part, study, found, ()),)).reproduced == whole_claim


def pair_of(a: list[Row], b: list[Row], window: float = 10.0) -> Pair:
    return Pair(log_of(a, window), log_of(b, window), None, User(speed=1.0, alpha=2.0, patience=20.0))


def dropping() -> Pair:
    """Of two requests one is dropped at 1 s without a token; the other then gets its tokens at once."""
    b = [row(0.0, [11.0, 11.0]), row(0.0, [21.0, 21.0, 21.0, 21.0])]
    a = [row(0.0, [1.0, 2.0]), row(0.0, [], DROPPED, 1.0)]
    return pair_of(a, b)


def test_what_the_dropped_lose_and_the_others_gain_adds_up() -> None:
    pair = dropping()
    # over 10 s; request 0 waits 10 s in b, request 1 waits 20 s in b and 20 − 1 s in a
    assert OF_THE_OTHERS.values(pair) == pytest.approx((0.2, (2 - 2 * 10) / 10))
    assert of_the_dropped("ignore").values(pair) == pytest.approx((0.0, (4 - 2 * 20) / 10))
    assert of_the_dropped("idle_until_drop").values(pair)[0] == pytest.approx(0.0)
    assert of_the_dropped("patience").values(pair) == pytest.approx((-2 * 19 / 10, -3.6))
    name = "smooth_goodput_tokens_per_s_window"
    assert whole("patience").values(pair)[0] == pytest.approx(summary_values(pair.a, None, pair.user)[name])
    assert whole("ignore").values(pair)[1] == pytest.approx(pair.summaries[1][name])


def test_the_patience_at_which_dropping_stops_paying() -> None:
    curve = patience_curve(dropping(), longest=40.0)
    # own: −2·(P − 1) against −36; total: 2 more than that and 18
    assert curve.own_break_even == pytest.approx(1 + 36 / 2)
    assert curve.break_even == pytest.approx(1 + (36 + 20) / 2)
    assert np.interp(curve.break_even, curve.patience, curve.total) == pytest.approx(0.0, abs=1e-9)
    assert (np.diff(curve.total) <= 0).all()
    assert break_even([curve, curve])[0] == pytest.approx((29.0, 0.0))


def test_without_drops_no_patience_is_too_long_and_a_drop_for_nothing_never_pays() -> None:
    served = [row(0.0, [1.0])]
    assert patience_curve(pair_of(served, served), 1.0).break_even == np.inf
    assert patience_curve(pair_of([row(0.0, [], DROPPED, 1.0)], served), 1.0).break_even == 0.0


def test_what_patience_changes_is_said() -> None:
    part = one("early-drop").parts[0]
    curve = PatienceCurve(np.zeros(1), np.zeros(1), np.zeros(1), 30.0, 0.0)
    outcome = Outcome(one("early-drop"), (PartOutcome(part, part.study(2), (), (curve, curve)),))
    assert notes(outcome)[0].endswith("less than 30 s, and for the dropped themselves never.")
    assert json_row(outcome)["break_even"] == [
        {
            "part": "study",
            "all_users": {"patience": 30.0, "half_width": 0.0},
            "dropped_users": {"patience": 0.0, "half_width": 0.0},
        }
    ]


@pytest.mark.parametrize("name", FIVE)
def test_pairs_share_their_workload_and_the_second_policy_is_the_treated_one(name: str) -> None:
    for part in one(name).parts:
        study = part.study(seeds=2, window=5)
        pair = run_pair(study, study.rates[0], study.seeds[1])
        assert pair.a.arrival.tolist() == pair.b.arrival.tolist()
        assert pair.a.prompt_length.tolist() == pair.b.prompt_length.tolist()
        treated = study.policies[1].split("@")[0].split(":")[0]
        assert pair.a.meta["policy"].startswith(treated)


@pytest.mark.parametrize("name", FIVE)
def test_a_small_run_leaves_everything_that_a_demonstration_is(
    name: str, made: tuple[Path, dict[str, Outcome]]
) -> None:
    folder, outcome = made[0] / name, made[1][name]
    files = {path.name for path in folder.iterdir()}
    assert files >= {"hand.png", "runs.png", "differences.csv", "differences.parquet", "runs.parquet", "verdict.txt"}
    assert ("patience.png" in files) == any(part.curves for part in outcome.parts)
    assert (folder / "verdict.txt").read_text(encoding="utf-8").startswith(verdict(outcome))
    table, runs = pd.read_parquet(folder / "differences.parquet"), pd.read_parquet(folder / "runs.parquet")
    assert table.holds.all() == outcome.reproduced
    means = runs.assign(difference=runs.a - runs.b).groupby(["part", "metric"]).difference.mean()
    for line in table.itertuples():
        assert means[line.part, line.metric] == pytest.approx(line.difference)
    shape = json_row(outcome)
    assert {"demo", "reproduced", "claim", "differences"} <= shape.keys()
    assert all(set(difference) == KEYS for difference in shape["differences"])
    json.dumps(shape, allow_nan=False)


def test_the_study_behind_it_reruns_to_the_same_numbers(made: tuple[Path, dict[str, Outcome]], tmp_path: Path) -> None:
    outcome = made[1]["delay"]
    _, rows = run_compare(load_study(made[0] / "delay" / "study.yaml"), tmp_path / "again")
    goodput = {r.policy: r.values[GOODPUT.name].mean for r in rows}
    finding = next(each for each in outcome.parts[0].findings if each.measure == GOODPUT)
    assert list(goodput.values()) == [finding.claim.mean_b, finding.claim.mean_a]


def test_workers_find_the_same(tmp_path: Path) -> None:
    here, there = (demonstrate(one("drop"), seeds=2, window=5, jobs=jobs) for jobs in (1, 2))
    assert json_row(here) == json_row(there)


def test_an_earlier_result_is_replaced_and_anything_else_is_not(tmp_path: Path) -> None:
    for _ in range(2):
        run_demo("delay", tmp_path, seeds=2, window=5)
    (tmp_path / "delay" / "thesis.txt").write_text("mine", encoding="utf-8")
    with pytest.raises(ValueError, match=r"thesis\.txt"):
        run_demo("delay", tmp_path, seeds=2, window=5)


def test_every_demonstration_is_listed(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as done:
        main(["demo"])
    assert done.value.code == 0
    listed = capsys.readouterr().out
    assert all(f"{name} " in listed for name in DEMOS)
    with pytest.raises(SystemExit):
        main(["demo", "--json"])
    assert [each["demo"] for each in json.loads(capsys.readouterr().out)] == list(DEMOS)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [(["demo", "hold"], "did you mean hold-last"), (["demo", "delay", "--seeds", "9"], "--seeds")],
)
def test_wrong_input_is_one_line_and_leaves_nothing(
    arguments: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as done:
        main([*arguments, "--out", str(tmp_path / "out")])
    assert done.value.code == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert said in captured.err
    assert captured.err.count("\n") == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_all_are_reproduced(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as done:
        main(["demo", "all", "--json", "--quiet", "--out", str(tmp_path)])
    assert done.value.code == 0
    rows = json.loads(capsys.readouterr().out)
    assert {each["demo"]: each["reproduced"] for each in rows} == dict.fromkeys(DEMOS, True)
    assert all(each["num_pairs"] == 10 for each in rows)
