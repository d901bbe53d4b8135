"""Study files and options: what they mean, and what they say about mistakes."""

from pathlib import Path

import pytest
import yaml

from experiments.cells import cells, check_names, pinned
from experiments.study import MixedWorkload, StudySpec, SyntheticWorkload
from experiments.study_files import default_study_fields, load_study, make_study
from experiments.study_options import study_from
from experiments.sweep.grid import check_grid, make_grid
from simulator.workload import BurstCycle, Impatience

SMALL = {
    "workload": {"lengths": "azure-conv"},
    "rates": [1, 2],
    "requests": 10,
    "profile": "a100-80gb/llama-3-8b/tp1",
    "policies": ["fcfs"],
}


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "study.yaml"
    path.write_text(text)
    return path


def test_built_in_study_is_valid_and_compares_two_policies() -> None:
    study = make_study(default_study_fields(), "built-in")
    assert [policy.partition(":")[0] for policy in study.policies] == ["fcfs", "chunked_prefill"]
    assert len(study.rates) >= 5
    assert len(study.seeds) >= 5
    assert study.window is not None


def test_resolved_study_reads_back_equal(tmp_path: Path) -> None:
    study = make_study({**SMALL, "rates": ["inf", 1.5], "slo": {"ttft": 0.1}, "seeds": 3}, "x")
    assert load_study(write(tmp_path, study.to_yaml())) == study


def test_number_of_seeds_stands_for_the_first_seeds() -> None:
    assert make_study({**SMALL, "seeds": 3}, "x").seeds == (0, 1, 2)
    assert make_study({**SMALL, "seeds": [7, 5]}, "x").seeds == (7, 5)


def test_cells_of_one_workload_are_neighbours() -> None:
    study = make_study({**SMALL, "policies": ["fcfs", "chunked_prefill"], "seeds": 2}, "x")
    keys = [(cell.rate, cell.seed, cell.policy) for cell in cells(study)]
    assert keys[:4] == [(1, 0, "fcfs"), (1, 0, "chunked_prefill"), (1, 1, "fcfs"), (1, 1, "chunked_prefill")]
    assert len(keys) == len(set(keys)) == 8


def test_file_names_of_cells_differ() -> None:
    study = make_study({**SMALL, "policies": ["chunked_prefill:token_budget=1", "chunked_prefill"]}, "x")
    assert len({cell.file_name for cell in cells(study)}) == 4


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"polices": ["fcfs"]}, "polices: unknown field, did you mean policies?"),
        ({"rates": [1, 0]}, "rates.1: should be greater than 0, got 0"),
        ({"rates": [float("nan")]}, "rates.0: should be greater than 0, got nan"),
        ({"rates": [1, 1]}, "rates: 1.0 is given twice"),
        ({"rates": []}, "a synthetic workload needs at least one rate"),
        ({"rates": 3}, "rates: should be a list, got 3"),
        ({"requests": None}, "a synthetic workload needs either requests or window"),
        ({"window": 5}, "a synthetic workload needs either requests or window"),
        ({"requests": None, "window": 5, "rates": ["inf"]}, "an infinite rate needs requests, not window"),
        ({"requests": 0}, "requests: should be greater than or equal to 1, got 0"),
        ({"seeds": 0}, "seeds: should be from 1 to 100000, got 0"),
        ({"seeds": 2**63}, "seeds: should be from 1 to 100000, got 9223372036854775808"),
        ({"seeds": [3, 1, 3]}, "seeds: 3 is given twice"),
        ({"seeds": [-1]}, "seeds.0: should be greater than or equal to 0, got -1"),
        ({"policies": []}, "policies: "),
        ({"profile": None}, "profile: should be a valid string, got None"),
        ({"slo": {"ttft": -1}}, "slo.ttft: should be greater than or equal to 0, got -1"),
        ({"slo": {}}, "slo: an SLO needs at least one bound"),
        ({"user": {"speed": 0}}, "user.speed: should be greater than 0, got 0"),
        ({"limits": {"max_num_seqs": 0}}, "limits.max_num_seqs: should be greater than or equal to 1, got 0"),
        ({"oversize": "drop"}, "oversize: should be 'refuse' or 'reject', got 'drop'"),
        ({"workload": {"lengths": "a", "arrivals": "gamma"}}, "workload: gamma arrivals need a cv"),
        ({"workload": {"lengths": "a", "cv": 2}}, "workload: gamma arrivals need a cv"),
        ({"workload": {"lengths": "a", "height": 2}}, "workload: height: of burst arrivals, got poisson"),
        ({"impatience": 0}, "impatience: patience '0' must be positive and finite"),
        ({"impatience": {"mean": 1, "distribution": "normal"}}, "impatience.distribution: should be 'exponential' or"),
        ({"prediction_sigma": -1}, "prediction_sigma: should be greater than or equal to 0, got -1"),
        ({"delivery": 3}, "delivery: should be a valid string, got 3"),
        ({"workload": {"lengths": "a", "limit": 2}}, "workload.limit: unknown field"),
        ({"workload": {"trace": "a", "cv": 2}}, "workload.cv: unknown field"),
        ({"workload": {}}, "workload.lengths: is missing"),
        ({"workload": 3}, "workload: "),
    ],
)
def test_wrong_field_is_named_with_its_value_in_one_line(change: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=r"^my\.yaml") as caught:
        make_study({**SMALL, **change}, "my.yaml")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("rates: [1\npolicies: [fcfs]\n", "study.yaml:2: not YAML"),
        ("- a\n", "a study is a mapping of fields, got list"),
        ("", "a study is a mapping of fields, got NoneType"),
        ("x: !!python/object/apply:os.system ['true']\n", "study.yaml:1: not YAML"),
    ],
)
def test_file_that_is_no_study_is_named(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ValueError, match=r"study\.yaml") as caught:
        load_study(write(tmp_path, text))
    assert message in str(caught.value)


def test_missing_file_is_an_os_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        load_study(tmp_path / "none.yaml")


def test_options_go_over_the_study_file(tmp_path: Path) -> None:
    path = write(tmp_path, yaml.safe_dump(SMALL))
    given = {
        "rate": ["3,4", "inf"],
        "slo": ("ttft:500", "tbt:50"),
        "alpha": 4.5,
        "max_num_seqs": 8,
        "seeds": 2,
        "seed": 5,
        "policies": "chunked_prefill:token_budget=64,fcfs",
        "arrivals": "gamma",
        "cv": 2.0,
    }
    study = study_from(path, given)
    assert study.rates == (3, 4, float("inf"))
    assert study.slo is not None
    assert (study.slo.ttft, study.slo.tbt) == (0.5, 0.05)
    assert (study.user.alpha, study.user.speed) == (4.5, 5.0)
    assert study.limits.max_num_seqs == 8
    assert study.seeds == (5, 6)
    assert study.policies == ("chunked_prefill:token_budget=64", "fcfs")
    assert study.workload.model_dump(exclude_none=True) == {"lengths": "azure-conv", "arrivals": "gamma", "cv": 2.0}


def test_requests_and_window_replace_one_another() -> None:
    drawn = study_from(None, {"requests": 5})
    assert (drawn.requests, drawn.window) == (5, None)
    replay = study_from(None, {"trace": "t.csv", "requests": 5, "window": 9.0})
    assert (replay.requests, replay.window) == (5, 9.0)


def test_trace_replaces_the_built_in_workload_and_is_replayed_once() -> None:
    study = study_from(None, {"trace": "a/t.csv"})
    assert study.is_replay
    assert (study.name, study.seeds, study.window, study.rates) == ("t", (0,), None, ())
    assert study_from(None, {"trace": "a/t.csv", "rate": ["2"]}).rates == (2,)


def test_wrong_option_is_named_instead_of_the_field() -> None:
    with pytest.raises(ValueError, match=r"^--rate: should be greater than 0, got '-1'$"):
        study_from(None, {"rate": ["-1"]})
    with pytest.raises(ValueError, match=r"^--max-num-seqs: should be greater than or equal to 1, got 0$"):
        study_from(None, {"max_num_seqs": 0})


def test_study_pins_its_trace(tmp_path: Path) -> None:
    trace = tmp_path / "t.csv"
    trace.write_text("TIMESTAMP,ContextTokens,GeneratedTokens\n")
    study = StudySpec.model_validate({**SMALL, "rates": [], "requests": None, "workload": {"trace": str(trace)}})
    once = pinned(study)
    assert pinned(once) == once
    trace.write_text("something else\n")
    with pytest.raises(ValueError, match=r"t\.csv: sha256 is .*, the study was made with"):
        pinned(once)


def test_studies_in_the_readme_load(tmp_path: Path) -> None:
    text = (Path(__file__).parents[1] / "experiments" / "README.md").read_text(encoding="utf-8")
    whole, workload, grid = (part.split("```")[0] for part in text.split("```yaml\n")[1:])
    study = load_study(write(tmp_path, whole))
    check_names(study)
    assert study.name == "chat"
    mixed = make_study({**SMALL, **yaml.safe_load(workload), "slo": {"ttft": 1}}, "README")
    check_names(mixed)
    assert isinstance(mixed.workload, MixedWorkload)
    assert [each.name for each in mixed.workload.classes] == ["chat", "code", "summaries"]
    swept = make_grid(yaml.safe_load(grid), "README")
    check_grid(swept)
    assert swept.workloads == ("chat", "documents")


def test_burst_arrivals_take_the_settings_of_a_cycle() -> None:
    fields = {**SMALL, "workload": {"lengths": "azure-conv", "arrivals": "burst", "height": 1.5, "period": 600}}
    workload = make_study(fields, "x").workload
    assert isinstance(workload, SyntheticWorkload)
    assert workload.process(3.0) == BurstCycle(3.0, height=1.5, width=0.35, period=600.0)


def test_options_about_people(tmp_path: Path) -> None:
    given = {
        "speed": "age",
        "impatience": "constant:3",
        "prediction_sigma": 0.5,
        "delivery": "pace",
        "expected_ttft": 2.0,
    }
    study = study_from(write(tmp_path, yaml.safe_dump(SMALL)), given)
    assert (study.user.speed, study.user.qoe.ttft) == ("age", 2.0)
    assert study.impatience == Impatience(mean=3.0, distribution="constant")
    assert (study.prediction_sigma, study.delivery) == (0.5, "pace")
    assert load_study(write(tmp_path, study.to_yaml())) == study
    assert study_from(None, {"speed": "7.5"}).user.speed == 7.5
    with pytest.raises(ValueError, match="--speed: 'fast' is neither a number nor one of age, language"):
        study_from(None, {"speed": "fast"})
