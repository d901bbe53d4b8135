"""The answers made by hand: their metrics are exact, and each shows what its demonstration says."""

from __future__ import annotations

import numpy as np
import pytest

from experiments.demos.figures import hand_figure
from experiments.demos.hand import Answer, HandPair, HandScore, curves, spell, values
from experiments.demos.registry import DEMOS, demos
from simulator.metrics import SLO, QoE, User

FIVE = sorted(DEMOS)


def scores(name: str) -> tuple[list[float], list[float]]:
    (demo,) = demos(name)
    return values(demo.hand, demo.hand.served), values(demo.hand, demo.hand.treated)


def test_held_tokens_meet_the_bound_and_are_read_at_the_same_times() -> None:
    served, held = scores("delay")
    # longest gap, SLO met, last token, idle latency, benefit, QoE
    assert served == pytest.approx([1.0, 0.0, 2.5, 0.0, 16.0, 1.0])
    assert held == pytest.approx([0.25, 1.0, 0.1 + 15 * 0.25, 0.0, 16.0, 1.0])
    (demo,) = demos("delay")
    before, after = (curves(answer, demo.hand.user) for answer in (demo.hand.served, demo.hand.treated))
    assert (after.delivered >= before.delivered).all()
    assert after.read.tolist() == before.read.tolist() == before.due.tolist()


def test_an_abandoned_answer_missed_its_slo_as_the_kept_one_did() -> None:
    kept, dropped = scores("drop")
    # SLO met, idle latency, benefit as printed, benefit with patience, QoE
    assert kept == pytest.approx([0.0, 0.0, 16.0, 16.0, 1.0])
    idle = 6.0 - 9 / 4  # token 9 was due at 9/4 and is waited for until 6
    assert dropped == pytest.approx([0.0, idle, 8.0, 8.0 - 2.5 * idle, 0.0])


def test_turning_away_is_worth_more_than_a_late_answer_unless_patience_counts() -> None:
    late, away = scores("early-drop")
    worth = 10 - 2.5 * (8 - 1 / 4)
    assert late == pytest.approx([0.0, 10.0, worth, worth, worth])
    assert away == pytest.approx([0.0, 0.0, 0.0, -2.5 * (1 - 1 / 4), -2.5 * (12 - 1 / 4)])
    assert away[4] < late[4] < away[3] < away[2]


def test_a_withheld_token_raises_qoe_alone() -> None:
    given, withheld = scores("hold-last")
    # ten tokens read from 6 s on, every 0.5 s, 5.5 s late each; the last digested at 10.5, or at 28.25
    assert given == pytest.approx([1 - 55 / (10 * 10.5 - 27.5), 8.25, 5.5, 10 - 2.5 * 5.5])
    late = 9 * 5.5 + 28.25 - 5.0
    assert withheld == pytest.approx([1 - late / (10 * 28.25 - 27.5), 28.25, 23.25, 10 - 2.5 * 23.25])


def test_a_kept_ttft_says_nothing_of_the_stall_behind_it() -> None:
    chunked, prefill_first = scores("ttft-only")
    # TTFT, SLO met, longest gap, idle latency, benefit, QoE
    assert chunked[:5] == pytest.approx([0.75, 1.0, 0.15, 0.5, 12 - 2.5 * 0.5])
    assert prefill_first[:5] == pytest.approx([0.25, 1.0, 2.75, 2.5, 12 - 2.5 * 2.5])
    assert prefill_first[5] < chunked[5]


def test_curves_of_an_answer_without_tokens_are_empty() -> None:
    nothing = curves(Answer(title="none", generated=(), dropped_at=1.0), User())
    assert [len(line) for line in nothing] == [0, 0, 0, 0]


def test_a_reader_waits_for_a_late_token_and_then_goes_on() -> None:
    user = User(speed=2.0, qoe=QoE(ttft=0.5))
    line = curves(Answer(title="", generated=(0.25, 3.0, 3.25)), user)
    assert line.read.tolist() == [0.5, 3.0, 3.5]
    assert line.due.tolist() == [0.5, 1.0, 1.5]


def test_scores_are_spelled_with_their_units() -> None:
    met = HandScore(column="slo_met", words="SLO")
    assert [spell(met, 1.0), spell(met, 0.0)] == ["met", "missed"]
    assert spell(HandScore(column="ttft", words="TTFT", unit="s"), 0.25) == "0.250 s"
    assert spell(HandScore(column="ttft", words="TTFT", unit="s"), float("nan")) == "– s"


@pytest.mark.parametrize("name", FIVE)
def test_the_figure_draws_every_token_and_prints_every_score(name: str) -> None:
    (demo,) = demos(name)
    figure = hand_figure(demo.hand, demo.title)
    timelines, tables = figure.axes[:2], figure.axes[2:]
    for ax, answer in zip(timelines, (demo.hand.served, demo.hand.treated), strict=True):
        dots = next(line for line in ax.lines if line.get_marker() == ".")
        assert np.asarray(dots.get_xdata()).tolist() == curves(answer, demo.hand.user).delivered.tolist()
        assert "(s)" in ax.get_xlabel()
        assert ax.get_title() == answer.title
    for ax, answer in zip(tables, (demo.hand.served, demo.hand.treated), strict=True):
        said = [text.get_text() for text in ax.texts]
        spelled = [
            spell(score, value) for score, value in zip(demo.hand.scores, values(demo.hand, answer), strict=True)
        ]
        assert said[1::2] == spelled


def test_a_pair_needs_an_end_of_its_timelines() -> None:
    answer = Answer(title="", generated=(1.0,))
    with pytest.raises(ValueError, match="until"):
        HandPair(served=answer, treated=answer, user=User(), slo=SLO(ttft=1), scores=(), until=0.0)
