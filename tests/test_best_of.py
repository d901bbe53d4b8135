"""Claims about two policies, and the best of several: their definitions, and how often they are wrong."""

from math import isnan, nan

import numpy as np
import pytest

from experiments.best_of import best_of
from experiments.claims import compare_pairs, does_not_improve, improves
from experiments.intervals import interval, paired_difference

RUNS = 1000


def correlated(rng, means, seeds=8, shared=3.0, own=0.3):
    """Values by policy that share most of their noise, run by run."""
    common = rng.normal(0, shared, seeds)
    return {f"p{i}": mean + common + rng.normal(0, own, seeds) for i, mean in enumerate(means)}


def test_an_interval_holds_the_truth_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    for confidence in (0.8, 0.95):
        found = [interval(rng.normal(3.0, 2.0, 5), confidence) for _ in range(4000)]
        share = np.mean([abs(mean - 3.0) <= half_width for mean, half_width in found])
        assert share == pytest.approx(confidence, abs=0.02)


def test_a_paired_interval_holds_the_true_difference_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    hits = 0
    for _ in range(4000):
        values = correlated(rng, [10.0, 9.0])
        mean, half_width = paired_difference(values["p0"], values["p1"])
        hits += abs(mean - 1.0) <= half_width
    assert hits / 4000 == pytest.approx(0.95, abs=0.012)


def test_a_certain_gain_improves_and_a_certain_loss_worsens() -> None:
    better = compare_pairs([12.0, 22.0, 31.0], [10.0, 20.0, 30.0])
    assert (better.improves, better.does_not_improve, better.worsens) == (True, False, False)
    assert (better.mean_a, better.mean_b) == (65 / 3, 20.0)
    worse = compare_pairs([10.0, 20.0, 30.0], [12.0, 22.0, 32.0])
    assert (worse.improves, worse.does_not_improve, worse.worsens) == (False, True, True)


def test_lower_may_be_better() -> None:
    claim = compare_pairs([1.0, 2.0, 3.0], [2.0, 3.0, 4.0], higher_is_better=False)
    assert (claim.improves, claim.does_not_improve, claim.difference.mean) == (True, False, -1.0)
    assert improves([1.0, 2.0], [2.0, 3.0], higher_is_better=False)
    assert does_not_improve([2.0, 3.0], [1.0, 2.0], higher_is_better=False)


def test_no_improvement_needs_the_whole_interval_at_or_below_one_percent() -> None:
    equal = compare_pairs([100.0, 200.0], [100.0, 200.0])
    assert (equal.improves, equal.does_not_improve, equal.worsens) == (False, True, False)
    assert does_not_improve([101.0, 101.0], [100.0, 100.0])
    assert not does_not_improve([101.5, 101.5], [100.0, 100.0])
    assert compare_pairs([-99.0, -99.0], [-100.0, -100.0]).does_not_improve  # 1 % of |B|
    wide = compare_pairs([90.0, 110.0, 100.0], [100.0, 100.0, 100.0])
    assert (wide.improves, wide.does_not_improve, wide.worsens) == (False, False, False)


def test_a_certain_gain_of_less_than_one_percent_is_said_to_be_no_better() -> None:
    claim = compare_pairs([100.5, 200.5], [100.0, 200.0])
    assert (claim.improves, claim.does_not_improve) == (True, True)
    assert claim.words == "no better: 150 → 150 (0.500)"


def test_a_single_run_and_an_undefined_value_claim_nothing() -> None:
    for claim in (compare_pairs([2.0], [1.0]), compare_pairs([2.0, nan], [1.0, 1.0])):
        assert (claim.improves, claim.does_not_improve, claim.worsens) == (False, False, False)
        assert claim.words.startswith("not decided: ")
    with pytest.raises(ValueError, match="got 1 and 2"):
        compare_pairs([1.0], [1.0, 2.0])


def test_words_say_what_the_interval_says() -> None:
    assert compare_pairs([12.0, 22.0, 31.0], [10.0, 20.0, 30.0]).words == "better: 20 → 21.7 (1.7 ±1.4)"
    assert compare_pairs([10.0, 20.0], [12.0, 22.0]).words.startswith("worse: 17 → 15 ")


def test_the_best_is_among_those_that_may_be_it_in_at_least_95_of_100_studies() -> None:
    rng = np.random.default_rng(1)
    kept = named = 0
    for _ in range(RUNS):
        best = best_of(correlated(rng, [10.0, 10.0, 9.8, 9.0, 9.9, 10.4]), indifference=0.0)
        kept += "p5" in best.names
        named += best.winner not in ("p5", None)
    assert kept / RUNS >= 0.95
    assert named / RUNS <= 0.05


def test_a_clear_winner_is_named_though_the_runs_differ_more_than_the_policies() -> None:
    rng = np.random.default_rng(2)
    winners = [best_of(correlated(rng, [10.0, 9.0, 11.5, 9.5])).winner for _ in range(RUNS)]
    assert winners.count("p2") / RUNS >= 0.95


@pytest.mark.parametrize("k", [2, 3, 8])
def test_equals_are_said_to_tie(k: int) -> None:
    rng = np.random.default_rng(3)
    samples = [correlated(rng, [10.0] * k) for _ in range(RUNS)]
    assert sum(best_of(each, indifference=0.0).winner is not None for each in samples) / RUNS <= 0.06


def test_two_equals_at_the_top_tie_without_the_others() -> None:
    rng = np.random.default_rng(4)
    best = best_of(correlated(rng, [5.0, 10.0, 10.0, 4.0]))
    assert set(best.names) == {"p1", "p2"}
    assert best.winner is None


def test_two_policies_are_compared_by_their_paired_interval() -> None:
    a, b = [5.0, 8.0, 6.0], [6.0, 6.2, 6.1]
    best = best_of({"a": a, "b": b})
    assert best.differences == {"b": paired_difference(a, b)}
    assert best.names == ("a", "b")


def test_differences_are_simultaneous_and_from_the_best_mean() -> None:
    samples = {"a": [1.0, 2.0, 3.0], "b": [5.0, 6.5, 7.0], "c": [4.0, 4.0, 6.0]}
    best = best_of(samples)
    assert set(best.differences) == {"a", "c"}
    assert best.differences["a"] == paired_difference(samples["b"], samples["a"], 0.975)
    lower = best_of(samples, higher_is_better=False)
    assert set(lower.differences) == {"b", "c"}
    assert lower.differences["b"].mean > 0


def test_within_one_percent_nobody_wins_however_certain() -> None:
    assert best_of({"a": [100.0, 200.0], "b": [100.5, 200.5]}).names == ("b", "a")
    assert best_of({"a": [100.0, 200.0], "b": [100.5, 200.5]}, indifference=0.0).winner == "b"


def test_of_single_runs_only_one_percent_can_be_said() -> None:
    best = best_of({"a": [100.0], "b": [100.9], "c": [90.0]})
    assert best.names == ("b", "a")
    assert isnan(best.differences["a"].half_width)


def test_an_undefined_score_never_wins() -> None:
    assert best_of({"a": [nan, 1.0], "b": [0.0, 0.1]}).winner == "b"
    assert best_of({"a": [nan, 1.0], "b": [nan, 1.0]}).winner is None
    assert best_of({"alone": [1.0, 2.0]}).winner == "alone"
    with pytest.raises(ValueError, match="the best of no policies"):
        best_of({})
