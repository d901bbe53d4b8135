"""The upper bound on smooth goodput: closed forms, and no run exceeds it."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from experiments.cells import cells, run_cell
from experiments.study import StudySpec
from hardware_profiles import load_profile
from policies import make_policy
from simulator import simulate
from simulator.alone import alone_times, token_throughput_limit
from simulator.metrics import User, best_benefits, per_request, share_of_bound
from simulator.token_log import TokenTimes
from tests.hand_logs import DROPPED, log_of, row
from tests.support import ConstantLatency, Machine, a100_like, workload


class Constant(ConstantLatency):
    """Decode runs of one second a step, whatever the batch."""

    def decode_run(self, num_decodes, kv_tokens):
        from simulator.latency import DecodeRun

        return DecodeRun(self.seconds, 0.0)


@pytest.mark.parametrize("profile", [Machine(a100_like()), load_profile("a100-80gb/llama-3-8b/tp1+vllm-2024+table")])
def test_alone_is_what_the_engine_does_with_one_request_at_a_time(profile):
    load = workload([0.0, 100.0, 200.0], [100, 7, 5000], [50, 1, 300])
    times, offsets = simulate(load, make_policy("fcfs"), profile).token_times()
    alone = alone_times(load, profile.latency)
    assert alone.offsets.tolist() == offsets.tolist()
    np.testing.assert_allclose(alone.times, times - np.repeat(load.arrival, np.diff(offsets)), atol=1e-9)
    part = alone_times(load, profile.latency, 1, 3)
    assert part.times.tolist() == alone.times[50:].tolist()


def test_throughput_limit_is_every_seat_taken():
    load = workload([0.0], 10, 10)
    assert token_throughput_limit(load, Constant(0.5), 32) == 32 / 0.5
    assert token_throughput_limit(workload([], 1, 1), Constant(0.5), 32) == 0.0


def test_best_is_all_tokens_less_a_wait_that_nobody_can_spare_the_user():
    tokens = TokenTimes(np.array([3.0, 3.1, 3.2, 9.0]), np.array([0, 4]))
    one_a_second = np.array([1.0])
    user = User(alpha=0.5, speed=1.0)
    assert best_benefits(tokens, one_a_second, user) == pytest.approx([3 - 0.5 * 2.0])  # the fourth costs more: 5 s
    assert best_benefits(tokens, one_a_second, User(alpha=0.1)) == pytest.approx([4 - 0.1 * 5.0])
    assert best_benefits(tokens, one_a_second, User(alpha=9.0)) == pytest.approx([0.0])
    assert best_benefits(tokens, one_a_second, User(alpha=9.0, origin="first_token")) == pytest.approx([4.0])
    two_a_second = np.array([2.0])
    assert best_benefits(tokens, two_a_second, user) == pytest.approx([3 - 0.5 * 2.5])  # the first is due at 0.5 s


@given(
    st.lists(st.floats(0, 5), min_size=1, max_size=8),
    st.lists(st.floats(0, 5), min_size=8, max_size=8),
    st.integers(0, 8),
    st.sampled_from(["ignore", "patience", "idle_until_drop"]),
    st.sampled_from([{"f": "seconds"}, {"f": "share", "l0": 3.0}]),
    st.sampled_from(["submission", "first_token"]),
)
def test_nobody_is_worth_more_who_gets_the_tokens_later_or_fewer_of_them(gaps, delays, kept, mode, f, origin):
    soonest = np.cumsum(gaps)
    later = np.maximum.accumulate(soonest + delays[: len(soonest)])[:kept].tolist()
    user = User(speed=1.0, abandonment=mode, origin=origin, **f)
    given_ = row(0.0, later) if kept >= len(soonest) else row(0.0, later, DROPPED, end=(later or [0.0])[-1])
    worth = per_request(log_of([given_]), user=user)["benefit"][0]
    best = best_benefits(TokenTimes(soonest, np.array([0, len(soonest)])), np.array([1.0]), user)[0]
    assert worth <= best + 1e-9


def test_share_is_undefined_without_a_bound():
    assert share_of_bound(0.125, 0.5) == 0.25
    assert np.isnan(share_of_bound(1.0, 0.0))


def test_at_light_load_the_bound_is_reached_and_under_overload_it_is_not():
    study = StudySpec.model_validate(
        {
            "workload": {"lengths": "azure-conv"},
            "rates": [0.2, 40],
            "requests": 300,
            "profile": "a100-80gb/llama-3-8b/tp1",
            "policies": ["fcfs", "lcfs"],
        }
    )
    light, _, heavy, heavy_lcfs = (run_cell(study, cell).values for cell in cells(study))
    assert 0.99 < light["smooth_goodput_share_of_bound"] <= 1.0
    assert heavy["smooth_goodput_share_of_bound"] < 0.95
    for values in (light, heavy):
        bound = values["smooth_goodput_bound_tokens_per_s_window"]
        reached = values["smooth_goodput_tokens_per_s_window"]
        assert values["smooth_goodput_share_of_bound"] == pytest.approx(reached / bound)
    name = "smooth_goodput_bound_tokens_per_s_window"
    assert heavy[name] == heavy_lcfs[name]
