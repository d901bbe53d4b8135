"""Mixes of readers, and users that differ by request."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.metrics import MIXES, QoE, User, per_request, reading_speeds
from simulator.random_streams import uniform
from tests.hand_logs import log_of, row, rows


@pytest.mark.parametrize("mix", MIXES)
def test_a_mix_has_its_groups_in_their_shares(mix):
    groups, seconds, shares = MIXES[mix]
    assert len(groups) == len(seconds) == len(shares) == 5
    assert sum(shares) == pytest.approx(99.99)
    drawn = 1 / reading_speeds(mix, 100_000)
    for pace in set(seconds):
        share = sum(s for t, s in zip(seconds, shares, strict=True) if t == pace) / sum(shares)
        half_width = 4 * np.sqrt(share * (1 - share) / 100_000)
        assert np.isclose(drawn, pace).mean() == pytest.approx(share, abs=half_width)


def test_words_a_minute_and_seconds_a_token_agree():
    words = np.array([236, 200, 192, 185, 175])
    assert MIXES["age"].seconds_per_token == pytest.approx(60 / (words * 1.3), abs=0.001)


@given(st.sampled_from(["age", "language"]), st.integers(0, 300), st.integers(0, 300), st.integers(0, 9))
def test_who_reads_a_request_depends_on_its_id_alone(mix, few, more, seed):
    few, more = sorted((few, more))
    assert reading_speeds(mix, few, seed).tolist() == reading_speeds(mix, more, seed)[:few].tolist()


def test_the_reader_is_drawn_from_the_named_stream_of_the_request():
    _, seconds, shares = MIXES["age"]
    up_to = np.cumsum(shares)[:-1] / sum(shares)
    groups = [int((uniform(3, "reader/age", i) >= up_to).sum()) for i in range(50)]
    assert reading_speeds("age", 50, seed=3).tolist() == [1 / seconds[group] for group in groups]


def test_a_user_may_be_drawn_from_a_mix():
    user = User(speed="language", seed=7)
    assert user.speeds(50).tolist() == reading_speeds("language", 50, 7).tolist()
    log = log_of([row(0.0, [1.0, 2.0]), row(0.0, [1.0, 2.0])])
    assert per_request(log, user=user)["reading_speed"].tolist() == user.speeds(2).tolist()
    assert User.model_validate(user.model_dump(mode="json")) == user


@given(rows(), st.data())
def test_users_that_differ_by_request_are_judged_each_by_his_own(requests, data):
    n = len(requests)
    speeds = data.draw(st.lists(st.sampled_from([0.25, 1.0, 1 / 0.196]), min_size=n, max_size=n))
    ttfts = data.draw(st.lists(st.sampled_from([0.0, 1.0, 7.5]), min_size=n, max_size=n))
    mode = data.draw(st.sampled_from(["zero", "area_until_drop"]))
    log_end = max([t for s, tokens, _, end in requests for t in (s, *tokens, end) if t == t], default=0.0)
    together = per_request(log_of(requests), user=User(speed=speeds, qoe=QoE(ttft=ttfts, dropped=mode)))
    last_word = row(log_end, [log_end])  # so that every log ends at the same time
    for i, (request, speed, ttft) in enumerate(zip(requests, speeds, ttfts, strict=True)):
        alone = per_request(log_of([request, last_word]), user=User(speed=speed, qoe=QoE(ttft=ttft, dropped=mode)))
        for name in ("qoe", "idle_latency", "effective_tokens", "fluidity"):
            assert together[name][i] == pytest.approx(alone[name][0], nan_ok=True, rel=1e-12), name


def test_the_mixes_are_the_papers_tables():
    assert MIXES["age"].shares == (28.04, 51.87, 11.19, 5.56, 3.33)
    assert MIXES["language"].shares == (79.29, 7.03, 6.92, 3.58, 3.17)
    assert MIXES["age"].seconds_per_token == (0.196, 0.230, 0.240, 0.249, 0.264)
    assert MIXES["language"].seconds_per_token == (0.31, 0.15, 0.19, 0.15, 0.13)


@pytest.mark.parametrize(
    ("model", "field", "inside", "outside"),
    [
        (User, "seed", [0], -1),
        (User, "alpha", [0, 0.5], -0.1),
        (User, "l0", [0.5], 0),
        (User, "patience", [0, 0.5], -0.1),
        (User, "speed", [0.5], 0),
        (QoE, "penalty", [0, 1], 1.01),
        (QoE, "penalty", [0.5], -0.1),
        (QoE, "ttft", [0, 0.5], -0.1),
    ],
)
def test_limits_of_what_a_user_is(model, field, inside, outside):
    more = {"version": "v1"} if model is QoE else {"f": "share"} if field == "l0" else {}
    for value in inside:
        assert getattr(model(**{field: value}, **more), field) == value
    with pytest.raises(ValueError, match=field):
        model(**{field: outside}, **more)
