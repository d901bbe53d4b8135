"""Length tables: the quantiles, means and rank correlations of the data that they stand for."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from scipy import stats

from simulator.workload import (
    FixedLengths,
    GeometricLengths,
    LengthTable,
    length_table_names,
    load_length_table,
)

SOURCES = {
    "azure-conv": "azure2023_conv",
    "azure-code": "azure2023_code",
    "sharegpt": "sharegpt_val10k",
    "sharegpt-multiturn": "sharegpt_8k_multiturn",
    "arxiv-summarization": "arxiv_summarization",
    "lmsys": "apex_lmsys",
}
NUM_DRAWS = 60_000


@pytest.fixture(scope="module")
def fits(shared):
    return json.loads((shared / "traces" / "length_fits.json").read_text())


def test_every_table_has_a_source():
    assert length_table_names() == tuple(sorted(SOURCES))
    for name in length_table_names():
        table = load_length_table(name)
        assert "@" in table.source
        assert table.licence in {"MIT", "Apache-2.0", "CC-BY-4.0"}


@pytest.mark.parametrize("name", sorted(SOURCES))
def test_a_table_is_the_one_that_was_counted(name, fits):
    table, fit = load_length_table(name), fits[SOURCES[name]]
    assert table.num_samples == fit["n"]
    assert table.spearman == pytest.approx(fit["spearman"], abs=1e-6)
    assert table.copula_rho == pytest.approx(fit["gaussian_copula_rho"], abs=1e-6)
    for side in ("prompt", "output"):
        marginal, expected = getattr(table, side), fit[side]
        assert marginal.mean == pytest.approx(expected["mean"], abs=1e-4)
        assert marginal.quantiles == pytest.approx(tuple(expected["quantiles"].values()), abs=1e-3)
        assert table.probabilities == pytest.approx([float(p) / 100 for p in expected["quantiles"]])


@pytest.mark.parametrize("name", sorted(SOURCES))
def test_draws_have_the_mean_the_quantiles_and_the_rank_correlation_of_the_data(name):
    table = load_length_table(name)
    prompt, output = table.draw(NUM_DRAWS, seed=1)
    for marginal, drawn in ((table.prompt, prompt), (table.output, output)):
        assert drawn.mean() == pytest.approx(marginal.mean, rel=0.04)
        assert marginal.quantiles[0] <= drawn.min()
        assert drawn.max() <= marginal.quantiles[-1]
        for p, knot in zip(table.probabilities[1:-1], marginal.quantiles[1:-1], strict=True):
            five_sigma = 5 * np.sqrt(p * (1 - p) / NUM_DRAWS)
            assert (drawn < knot - 1).mean() <= p + five_sigma
            assert (drawn <= knot + 1).mean() >= p - five_sigma
    assert stats.spearmanr(prompt, output).statistic == pytest.approx(
        table.spearman, abs=4 / np.sqrt(NUM_DRAWS) + 0.005
    )


@given(st.integers(0, 2**32), st.integers(1, 60), st.integers(1, 60))
def test_lengths_belong_to_the_request(seed, a, b):
    short, long = sorted((a, b))
    table = load_length_table("lmsys", max_total=300)
    for few, many in zip(table.draw(short, seed), table.draw(long, seed), strict=True):
        assert np.array_equal(many[:short], few)
        assert (few >= 1).all()


def test_max_total_redraws_only_the_requests_above_it():
    free, bounded = load_length_table("azure-conv"), load_length_table("azure-conv", max_total=2048)
    prompt, output = free.draw(5000, seed=2)
    short = prompt + output <= 2048
    bounded_prompt, bounded_output = bounded.draw(5000, seed=2)
    assert (bounded_prompt + bounded_output <= 2048).all()
    assert np.array_equal(bounded_prompt[short], prompt[short])
    assert np.array_equal(bounded_output[short], output[short])
    replaced = bounded_prompt[~short] + bounded_output[~short]
    kept = (prompt + output)[short]
    assert stats.ks_2samp(replaced, kept).pvalue > 0.001


def test_a_max_total_that_no_draw_meets_is_refused():
    with pytest.raises(ValueError, match=r"length table sharegpt: 100 draws of request 0 .* max_total 3 tokens"):
        load_length_table("sharegpt", max_total=3).draw(1)


def test_an_unknown_table_is_refused_with_the_near_matches_and_the_list():
    with pytest.raises(
        ValueError, match="unknown length table 'azure-con'; did you mean azure-conv or azure-code"
    ) as error:
        load_length_table("azure-con")
    assert all(name in str(error.value) for name in length_table_names())
    with pytest.raises(ValueError, match=r"unknown length table 'zzz' \(there are: arxiv"):
        load_length_table("zzz")


@pytest.mark.parametrize(
    "change",
    [
        {"probabilities": (0.0, 0.5, 0.9)},
        {"probabilities": (0.0, 1.0, 1.0)},
        {"prompt": {"mean": 2, "quantiles": (1, 2)}},
        {"output": {"mean": 2, "quantiles": (3, 2, 4)}},
        {"output": {"mean": 2, "quantiles": (0, 2, 4)}},
        {"spearman": 1.5},
        {"max_total": 1},
    ],
)
def test_a_table_that_is_no_distribution_is_refused(change):
    good = {
        "name": "mine",
        "description": "by hand",
        "num_samples": 3,
        "spearman": 0.0,
        "probabilities": (0.0, 0.5, 1.0),
        "prompt": {"mean": 2, "quantiles": (1, 2, 3)},
        "output": {"mean": 2, "quantiles": (1, 2, 3)},
        "source": "this test",
        "licence": "MIT",
    }
    LengthTable(**good)
    with pytest.raises(ValidationError):
        LengthTable(**{**good, **change})


def test_geometric_outputs_have_their_distribution():
    prompt, output = GeometricLengths(1, 20.0).draw(50_000, seed=1)
    assert set(prompt) == {1}
    assert output.min() == 1
    assert output.mean() == pytest.approx(20.0, rel=0.02)
    assert output.var() == pytest.approx((1 - 1 / 20) * 20**2, rel=0.05)
    assert (output == 1).mean() == pytest.approx(1 / 20, rel=0.1)
    assert set(GeometricLengths(1, 1.0).draw(100)[1]) == {1}


@pytest.mark.parametrize(
    "make",
    [
        lambda: FixedLengths(0, 1),
        lambda: FixedLengths(1, -3),
        lambda: GeometricLengths(0, 2.0),
        lambda: GeometricLengths(1, 0.5),
        lambda: GeometricLengths(1, float("nan")),
        lambda: GeometricLengths(1, float("inf")),
    ],
)
def test_lengths_below_one_token_are_refused(make):
    with pytest.raises(ValueError, match="≥ 1 token"):
        make()
