"""Capacity: searches find what is there, intervals cover it, and a queue has the capacity of its closed form."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import exp, inf, isnan, log, nan

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from experiments.capacity.conditions import Bound, Keep, Peak, parse_condition
from experiments.capacity.good_tokens import good_tokens_name
from experiments.capacity.prices import parse_prices, prices_of
from experiments.capacity.rows import CapacityRow, capacity_frame, evaluation_frame, json_row
from experiments.capacity.search import Bracket, SearchSettings, highest_kept, highest_score
from experiments.capacity.seeds import SeedCapacity, search_seed
from experiments.capacity.words import capacity_words, notes, verdict
from policies import make_policy
from simulator import EngineLimits, simulate
from simulator.metrics import summary_values
from simulator.workload import FixedLengths, PoissonArrivals, synthetic_workload
from tests.support import ConstantLatency, Machine

FINE = SearchSettings(tolerance=0.01)
KNOWN = ["unstable", "tbt_p99", "slo_attainment", "smooth_goodput_tokens_per_s_window"]
ATTAINED = Keep((Bound("slo_attainment", False, 0.9),))


def values(**given: float) -> dict[str, float]:
    usual = {"unstable": 0.0, "window": 100.0, "num_tokens": 50_000.0, "goodput_tokens_per_s_window": nan}
    return usual | given


def found(rate: float, width: float = 0.0, **given: float) -> SeedCapacity:
    return SeedCapacity(0, Bracket(rate - width / 2, rate + width / 2, rate - width / 2), values(**given))


def row(*seeds: SeedCapacity, policy: str = "fcfs", price: float | None = None, num_gpus: int = 1) -> CapacityRow:
    runs = tuple((search_seed(lambda rate: values(slo_attainment=1.0), [], 0, 1.0).evaluations) for _ in seeds)
    return CapacityRow(ATTAINED, "a100-80gb/llama-3-8b/tp1", policy, num_gpus, price, seeds, runs)


@given(st.floats(min_value=1 / 60, max_value=3.9), st.floats(min_value=0.1, max_value=100.0))
def test_the_end_of_a_step_is_bracketed(share: float, start: float) -> None:
    end = share * start
    low, high, at = highest_kept(lambda rate: rate <= end, start, FINE)
    assert low <= end < high
    assert high - low <= 0.01 * high
    assert at == low


@pytest.mark.parametrize(("end", "expected"), [(0.0, Bracket(0.0, 1 / 64, None)), (inf, Bracket(4.0, inf, 4.0))])
def test_never_and_always_are_told_from_a_capacity(end: float, expected: Bracket) -> None:
    assert highest_kept(lambda rate: rate <= end, 1.0, FINE) == expected


def test_rates_above_a_failure_do_not_count() -> None:
    low, high, _ = highest_kept(lambda rate: rate <= 4.0 or 5.0 < rate <= 8.0, 5.0, FINE)
    assert low <= 4.0 < high <= 5.0


def test_a_condition_that_only_some_high_rates_keep_has_no_capacity() -> None:
    assert highest_kept(lambda rate: 3.0 <= rate <= 4.0, 3.0, FINE).at is None


@given(st.floats(min_value=1 / 30, max_value=3.9), st.floats(min_value=0.2, max_value=50.0))
def test_the_ridge_of_a_roof_is_bracketed(share: float, steepness: float) -> None:
    low, high, at = highest_score(lambda r: r if r <= share else share - steepness * (r - share), 1.0, FINE)
    assert at is not None
    assert low <= at <= high
    assert low <= share <= high
    assert high - low <= 0.01 * high


def test_a_peak_is_among_the_rates_that_count() -> None:
    low, high, _ = highest_score(lambda rate: rate if rate < 3.0 else -inf, 4.0, FINE)
    assert low < 3.0 <= high


def test_a_score_that_falls_or_rises_everywhere_has_no_peak() -> None:
    assert highest_score(lambda rate: -rate, 1.0, FINE).at is None
    assert highest_score(lambda rate: -inf, 1.0, FINE).at is None
    assert highest_score(lambda rate: rate, 1.0, FINE) == Bracket(8.0, inf, 8.0)


def test_conditions_share_the_runs_of_a_seed() -> None:
    asked: list[float] = []

    def evaluate(rate: float) -> Mapping[str, float]:
        asked.append(rate)
        return values(slo_attainment=2.0 - rate, tbt_p99=rate, unstable=float(rate > 3.0))

    conditions = [
        ATTAINED,
        parse_condition("tbt_p99<=2 and slo_attainment>=0", KNOWN),
        parse_condition("tbt_p99<=9", KNOWN),
    ]
    answers, evaluations = search_seed(evaluate, conditions, 7, 2.0, FINE)
    assert len(asked) == len(set(asked)) == len(evaluations)
    assert [each.rate for each in evaluations] == sorted(asked)
    assert [each.seed for each in answers] == [7, 7, 7]
    for answer, end in zip(answers, (1.1, 2.0, 3.0), strict=True):  # the last one ends where runs are unstable
        assert answer.rate == pytest.approx(end, rel=0.01)
        assert answer.values["tbt_p99"] == answer.bracket.low


def test_dips_are_noticed() -> None:
    def evaluate(rate: float) -> Mapping[str, float]:
        return values(slo_attainment=float(not 4.0 < rate <= 5.0 and rate <= 8.0))

    assert search_seed(evaluate, [ATTAINED], 0, 8.0).answers[0].dips


def test_a_metric_that_is_never_defined_is_refused() -> None:
    with pytest.raises(ValueError, match="slo_attainment is undefined in every run"):
        search_seed(lambda rate: values(slo_attainment=nan), [ATTAINED], 0, 1.0)


def coverage(true: float, answer: Callable[[int], SeedCapacity], studies: int = 300, seeds: int = 5) -> float:
    hits = 0
    for study in range(studies):
        capacity = row(*(answer(study * seeds + i) for i in range(seeds))).capacity
        hits += abs(capacity.mean - true) <= capacity.half_width
    return hits / studies


def test_the_interval_of_a_noisy_crossing_covers_the_truth() -> None:
    def answer(seed: int) -> SeedCapacity:
        draws = np.random.default_rng(seed)
        middle, wiggle = 6.0 + 0.4 * draws.standard_normal(), draws.uniform(0, 6.28)

        def evaluate(rate: float) -> Mapping[str, float]:
            noise = 0.002 * np.sin(40 * rate + wiggle)  # what the next few arrivals change
            return values(slo_attainment=1 / (1 + exp(4 * (rate - middle) - log(9))) + noise)

        return search_seed(evaluate, [ATTAINED], seed, 8.0, FINE).answers[0]

    assert 0.93 <= coverage(6.0, answer) <= 0.99


def test_the_interval_of_a_noisy_peak_covers_the_truth() -> None:
    def answer(seed: int) -> SeedCapacity:
        peak = 6.0 + 0.4 * np.random.default_rng(seed).standard_normal()

        def evaluate(rate: float) -> Mapping[str, float]:
            return values(slo_attainment=min(rate, peak - 3 * (rate - peak)))

        return search_seed(evaluate, [Peak("slo_attainment")], seed, 8.0, FINE).answers[0]

    assert 0.93 <= coverage(6.0, answer) <= 0.99


def test_a_queue_has_the_capacity_of_its_closed_form() -> None:
    """M/D/1: the mean wait is rho·s / (2·(1 − rho)), so it is at most w up to rho = 2w / (s + 2w)."""
    step = 1 / 64
    wait = step
    true = 2 * wait / (step + 2 * wait) / step

    def answer(seed: int) -> SeedCapacity:
        def evaluate(rate: float) -> Mapping[str, float]:
            load = synthetic_workload(PoissonArrivals(rate), FixedLengths(1, 1), num_requests=3_000, seed=seed)
            machine = Machine(ConstantLatency(step), 10**9)
            return summary_values(simulate(load, make_policy("fcfs"), machine, limits=EngineLimits(max_num_seqs=1)))

        condition = parse_condition(f"scheduling_delay_mean<={wait}", ["scheduling_delay_mean"])
        return search_seed(evaluate, [condition], seed, 1 / step).answers[0]

    capacity = row(*(answer(seed) for seed in range(5))).capacity
    assert abs(capacity.mean - true) <= capacity.half_width <= 0.05 * true


def test_conditions_are_read_and_spelled() -> None:
    two = parse_condition(" tbt_p99 <= 0.2 and slo_attainment>=0.9", KNOWN)
    assert two == parse_condition("tbt_p99<=0.2, slo_attainment >= 0.9", KNOWN)
    assert two == Keep((Bound("tbt_p99", True, 0.2), Bound("slo_attainment", False, 0.9)))
    assert parse_condition(str(two), KNOWN) == two
    peak = parse_condition("peak:smooth_goodput", KNOWN)
    assert peak == Peak("smooth_goodput_tokens_per_s_window")
    assert parse_condition(str(peak), KNOWN) == peak


@pytest.mark.parametrize(
    ("text", "piece"),
    [
        ("tbt_p9<=0.2", "unknown metric 'tbt_p9', did you mean tbt_p99"),
        ("peak:smooth", "did you mean smooth_goodput"),
        ("zzz<=1", "columns of summary.csv"),
        ("tbt_p99<0.2", "'tbt_p99<0.2' is not of the form"),
        ("tbt_p99<=0.2 and", "'' is not of the form"),
        ("tbt_p99<=fast", "'fast' is not a finite number"),
        ("tbt_p99<=inf", "'inf' is not a finite number"),
        ("", "is not of the form"),
    ],
)
def test_wrong_conditions_are_named(text: str, piece: str) -> None:
    with pytest.raises(ValueError, match="condition") as error:
        parse_condition(text, KNOWN)
    assert piece in str(error.value)


def test_bounds_are_met_by_equality_and_not_by_what_is_undefined_or_unstable() -> None:
    assert ATTAINED.holds(values(slo_attainment=0.9))
    assert not ATTAINED.holds(values(slo_attainment=nan))
    assert not ATTAINED.holds(values(slo_attainment=1.0, unstable=1.0))
    assert ATTAINED.holds(values(slo_attainment=1.0, unstable=nan))


def test_the_half_width_is_students_and_half_a_bracket() -> None:
    capacity = row(found(5.0, 0.1), found(6.0, 0.1), found(7.0, 0.3)).capacity
    assert capacity.mean == 6.0
    assert capacity.half_width == pytest.approx(4.302652729911275 / 3**0.5 + 0.5 / 6)


def test_a_row_says_where_there_is_no_capacity() -> None:
    nowhere, everywhere = (
        SeedCapacity(0, Bracket(0.0, 0.1, None), {}),
        SeedCapacity(1, Bracket(4.0, inf, 4.0), values()),
    )
    never, above, some = row(nowhere, nowhere), row(found(3.0), everywhere), row(found(3.0), nowhere)
    assert (never.outcome, above.outcome, some.outcome) == ("never", "above", "found")
    assert (never.capacity.mean, above.capacity.mean, some.capacity.mean) == (0.0, 3.5, 1.5)
    assert isnan(never.capacity.half_width)
    assert isnan(above.capacity.half_width)
    assert (capacity_words(never), capacity_words(above)) == ("none", "> 3.50")


def test_a_million_good_tokens_cost_what_the_gpus_cost_meanwhile() -> None:
    seeds = [found(5.0, goodput_tokens_per_s_window=tokens) for tokens in (900.0, 1100.0)]
    priced = row(*seeds, price=3.6, num_gpus=2)
    cost, tokens = priced.cost_per_million_good_tokens, priced.good_tokens_per_s
    assert cost.mean == pytest.approx(2.0)  # 2 · 0.001 USD a second, 1000 s
    assert cost.half_width / cost.mean == pytest.approx(tokens.half_width / 1000.0)
    assert isnan(row(found(5.0)).cost_per_million_good_tokens.mean)


def test_good_tokens_are_those_of_the_condition() -> None:
    assert good_tokens_name(ATTAINED) == "goodput_tokens_per_s_window"
    assert good_tokens_name(Keep((Bound("qoe_mean", False, 0.9),))) == "output_tokens_per_s_window"
    assert good_tokens_name(Peak("smooth_goodput_tokens_per_s_window")) == "smooth_goodput_tokens_per_s_window"
    assert good_tokens_name(Peak("goodput_requests_per_s_window")) == "goodput_tokens_per_s_window"
    one = row(found(5.0))._replace(condition=Keep((Bound("qoe_mean", False, 0.9),)))
    assert one.good_tokens_per_s.mean == 500.0  # 50,000 tokens in 100 s


def test_prices_are_by_profile_or_device() -> None:
    small, large = "a100-80gb/llama-3-8b/tp1+vllm-2024", "h100-80gb/llama-3-8b/tp2"
    assert parse_prices([f"{small}=1.5", "h100-80gb = 3"]) == {small: 1.5, "h100-80gb": 3.0}
    assert prices_of([small, large], {small: 1.5, "h100-80gb": 3.0}) == {small: 1.5, large: 3.0}
    assert prices_of([small, large], {}) == {small: None, large: None}
    with pytest.raises(ValueError, match="did you mean a100-80gb"):
        prices_of([small], {"a100-80g": 1.0})


def test_the_verdict_names_the_best_or_the_tie() -> None:
    a, b = [row(*(found(rate + i / 10) for i in range(3)), policy=p) for p, rate in (("fcfs", 5.0), ("andes", 7.0))]
    assert verdict([a, b])[0].startswith("By slo_attainment>=0.9 andes has more capacity than fcfs: by 2")
    near = row(*(found(5.02 + i / 10) for i in range(3)), policy="andes")
    assert verdict([a, near]) == ["By slo_attainment>=0.9 no difference is seen between andes and fcfs."]
    coarse = row(*(found(5.2 + i / 10, 0.4) for i in range(3)), policy="andes")
    assert "no difference" in verdict([a, coarse])[0]
    assert verdict([a]) == []


def test_notes_say_what_was_counted_as_none() -> None:
    runs = search_seed(lambda rate: values(slo_attainment=float(rate < 0.2)), [ATTAINED], 0, 8.0)
    never = search_seed(lambda rate: values(slo_attainment=0.0), [ATTAINED], 1, 8.0)
    seeds, evaluations = zip(*((each.answers[0], each.evaluations) for each in (runs, never)), strict=True)
    assert notes([row(found(1.0))._replace(seeds=seeds, evaluations=evaluations)]) == [
        "slo_attainment>=0.9, fcfs on a100-80gb/llama-3-8b/tp1: does not hold at 0.125 req/s, the lowest rate tried, "
        "with 1 of 2 seeds, counted as 0."
    ]


def test_tables_have_a_row_each() -> None:
    search = search_seed(lambda rate: values(slo_attainment=float(rate < 3)), [ATTAINED], 0, 4.0)
    one = CapacityRow(ATTAINED, "p", "fcfs", 2, 1.0, search.answers, (search.evaluations,))
    (record,) = capacity_frame([one]).to_dict("records")
    assert record["capacity_per_gpu"] == record["capacity"] / 2
    runs = evaluation_frame([one])
    assert len(runs) == len(search.evaluations)
    assert (runs.kept == (runs.rate < 3)).all()
    peak = one._replace(condition=Peak("slo_attainment"))
    assert evaluation_frame([peak]).kept.isna().all()
    assert json_row(one)["cost_per_million_good_tokens"] is None
    assert json_row(one)["seeds"] == [
        {"seed": 0, "low": search.answers[0].bracket.low, "high": search.answers[0].bracket.high}
    ]
