"""Trace readers: every format by a small file, told apart by content, with the traps that each is known for."""

import itertools

import numpy as np
import pytest

from simulator.workload import FORMATS, PoissonArrivals, read_trace
from simulator.workload.quantised import quantum

AZURE_2023 = """TIMESTAMP,ContextTokens,GeneratedTokens
2023-11-16 18:15:46.6805900,374,44
2023-11-16 18:15:50.9951690,396,109
2023-11-16 18:15:51.2224671,879,55
"""
AZURE_2024 = """TIMESTAMP,ContextTokens,GeneratedTokens
2024-05-10 00:00:00.009930+00:00,2162,5
2024-05-10 00:00:00.017335+00:00,2399,6
2024-05-10 00:00:01+00:00,76,15
"""
AZURE_2025 = """TIMESTAMP,NumImages,ContextTokens,GeneratedTokens
2025-01-31T23:59:59.500Z,0,100,10
2025-02-01T00:00:01Z,3,4100,20
"""
MOONCAKE = """{"timestamp": 27482, "input_length": 6955, "output_length": 52, "hash_ids": [46, 47, 2353]}
{"timestamp": 30535, "input_length": 6472, "output_length": 26, "hash_ids": []}
{"timestamp": 30535, "input_length": 1, "output_length": 1}
"""
VIDUR = """arrived_at,num_prefill_tokens,num_decode_tokens
0.25,10,20
1.5e0,30,40
"""
VIDUR_LENGTHS = """num_prefill_tokens,num_decode_tokens,num_total_tokens,pd_ratio
3742,284,4026,13.17
18,243,261,0.07
"""
BURSTGPT_1 = """Timestamp,Model,Request tokens,Response tokens,Total tokens,Log Type
5,ChatGPT,472,18,490,Conversation log
45,GPT-4,1087,0,1087,API log
118,GPT-4,417,276,693,API log
120.5,GPT-4,0,0,0,API log
121,ChatGPT,9,9,18,Conversation log
"""
BURSTGPT_3 = """Timestamp,Session ID,Elapsed time,Model,Request tokens,Response tokens,Total tokens,Log Type
0,NA,1.5,GPT-4,100,10,110,API log
2,"s,1",1.5,ChatGPT,200,20,220,Conversation log
"""
BAILIAN = (
    '{"chat_id": 1, "parent_chat_id": -1, "timestamp": 61.114, "input_length": 25, "output_length": 201,'
    ' "type": "text", "turn": 1, "hash_ids": [1, 2]}\n'
    '{"chat_id": 2, "parent_chat_id": 1, "timestamp": 62.5, "input_length": 3100, "output_length": 7,'
    ' "type": "search", "turn": 2, "hash_ids": [1, 2, 3]}\n'
)

# format, content, arrivals, prompts, outputs, first timestamp
FILES = {
    "azure 2023": (
        "azure",
        AZURE_2023,
        [0, 4.314579, 4.5418771],
        [374, 396, 879],
        [44, 109, 55],
        "2023-11-16T18:15:46.680590000",
    ),
    "azure 2024": (
        "azure",
        AZURE_2024,
        [0, 0.007405, 0.99007],
        [2162, 2399, 76],
        [5, 6, 15],
        "2024-05-10T00:00:00.009930000",
    ),
    "azure 2025": ("azure", AZURE_2025, [0, 1.5], [100, 4100], [10, 20], "2025-01-31T23:59:59.500000000"),
    "mooncake": ("mooncake", MOONCAKE, [0, 3.053, 3.053], [6955, 6472, 1], [52, 26, 1], 27.482),
    "vidur": ("vidur", VIDUR, [0, 1.25], [10, 30], [20, 40], 0.25),
    "burstgpt": ("burstgpt", BURSTGPT_1, [0, 113, 116], [472, 417, 9], [18, 276, 9], 5.0),
    "burstgpt v3": ("burstgpt", BURSTGPT_3, [0, 2], [100, 200], [10, 20], 0.0),
    "bailian": ("bailian", BAILIAN, [0, 1.386], [25, 3100], [201, 7], 61.114),
}


@pytest.fixture
def write(tmp_path):
    counter = itertools.count()

    def _write(content):
        path = tmp_path / f"trace{next(counter)}"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return _write


@pytest.mark.parametrize("case", FILES)
def test_a_trace_is_told_from_its_content_and_read(case, write):
    name, content, arrivals, prompts, outputs, first = FILES[case]
    workload = read_trace(write(content))
    assert workload.origin["format"] == name
    assert workload.origin["first_timestamp"] == first
    assert workload.origin["rows_out_of_order"] == 0
    assert workload.arrival == pytest.approx(arrivals, abs=1e-9)
    assert workload.prompt_length.tolist() == prompts
    assert workload.output_length.tolist() == outputs


@pytest.mark.parametrize("case", FILES)
@pytest.mark.parametrize(
    "change",
    [
        lambda text: text.replace("\n", "\r\n"),
        lambda text: text.rstrip("\n"),
        lambda text: "\ufeff" + text,
    ],
    ids=["CRLF", "no last newline", "byte order mark"],
)
def test_line_ends_and_byte_order_marks_change_nothing(case, change, write):
    _, content, *_ = FILES[case]
    plain, changed = read_trace(write(content)), read_trace(write(change(content)))
    for column in ("arrival", "prompt_length", "output_length", "request_class", "source_row"):
        assert np.array_equal(getattr(plain, column), getattr(changed, column))
    assert plain.class_names == changed.class_names


@pytest.mark.parametrize("case", FILES)
def test_blank_lines_shift_only_the_line_numbers(case, write):
    _, content, *_ = FILES[case]
    first, rest = content.split("\n", 1)
    plain, shifted = read_trace(write(content)), read_trace(write(f"{first}\n\n{rest}\n"))
    assert np.array_equal(plain.arrival, shifted.arrival)
    assert np.array_equal(plain.prompt_length, shifted.prompt_length)
    assert (shifted.source_row == plain.source_row + (plain.source_row > 1)).all()


def test_source_rows_are_lines_of_the_file(write):
    assert read_trace(write(AZURE_2023)).source_row.tolist() == [2, 3, 4]
    assert read_trace(write(MOONCAKE)).source_row.tolist() == [1, 2, 3]
    assert read_trace(write(BURSTGPT_1)).source_row.tolist() == [2, 4, 6]


def test_rows_out_of_order_are_sorted_stably_and_counted(write):
    rows = "arrived_at,num_prefill_tokens,num_decode_tokens\n5,1,1\n3,2,1\n5,3,1\n3,4,1\n"
    workload = read_trace(write(rows))
    assert workload.arrival.tolist() == [0.0, 0.0, 2.0, 2.0]
    assert workload.prompt_length.tolist() == [2, 4, 1, 3]
    assert workload.source_row.tolist() == [3, 5, 2, 4]
    assert workload.origin["rows_out_of_order"] == 2
    assert workload.origin["first_timestamp"] == 3.0


def test_burstgpt_rows_of_zero_tokens_are_left_out_and_counted(write):
    workload = read_trace(write(BURSTGPT_1))
    assert workload.origin["rows_dropped"] == 2
    assert workload.class_names == ("API log", "Conversation log")
    assert workload.request_class.tolist() == [1, 0, 1]


def test_burstgpt_without_log_type_has_the_model_as_class(write):
    rows = "Timestamp,Model,Request tokens,Response tokens\n1,GPT-4,5,5\n"
    assert read_trace(write(rows)).class_names == ("GPT-4",)
    assert read_trace(write(rows.replace("Model", "Engine"))).class_names == ("default",)


def test_bailian_types_are_request_classes(write):
    workload = read_trace(write(BAILIAN))
    assert [workload[i].request_class for i in range(2)] == ["text", "search"]


def test_time_zones_are_taken_into_account(write):
    rows = (
        "TIMESTAMP,ContextTokens,GeneratedTokens\n2024-05-10T02:00:00+02,1,1\n2024-05-10 00:00:01Z,2,1\n"
        "2024-05-09 18:30:02.5-0530,3,1\n2024-05-10 03:00:03+03:00,4,1\n"
    )
    assert read_trace(write(rows)).arrival.tolist() == [0.0, 1.0, 2.5, 3.0]


def test_a_file_of_lengths_needs_arrivals(write):
    path = write(VIDUR_LENGTHS)
    with pytest.raises(ValueError, match="lengths but no arrival times"):
        read_trace(path)
    workload = read_trace(path, arrivals=PoissonArrivals(2.0), seed=4)
    assert workload.prompt_length.tolist() == [3742, 18]
    assert np.array_equal(workload.arrival, PoissonArrivals(2.0).arrival_times(num_requests=2, seed=4))
    assert workload.origin["arrivals"] == "PoissonArrivals(rate=2.0)"


def test_arrivals_may_replace_those_of_any_trace(write):
    workload = read_trace(write(AZURE_2023), arrivals=PoissonArrivals(float("inf")))
    assert workload.arrival.tolist() == [0.0, 0.0, 0.0]
    assert workload.source_row.tolist() == [2, 3, 4]


def test_limit_keeps_the_first_requests(write):
    workload = read_trace(write(AZURE_2023), limit=2)
    assert len(workload) == 2
    assert workload.origin["limited_from"] == 3


def quantised_file(num_ticks=60, per_tick=4, tick_ms=3000):
    """A log whose clock ticks every 3 s, up to 2 ms early or late, with one tick missing."""
    ticks = (tick_ms * i + (-1) ** i * (i % 3) for i in range(num_ticks) if i != 7)
    row = '{{"timestamp": {}, "input_length": 5, "output_length": 5}}\n'
    return "".join(row.format(max(t, 0)) for t in ticks for _ in range(per_tick))


def test_quantised_timestamps_are_spread_over_their_tick(write):
    path = write(quantised_file())
    raw, spread = read_trace(path, spread=0), read_trace(path)
    assert raw.origin["spread"] == 0
    assert spread.origin["spread"] == 3.0
    assert len(np.unique(raw.arrival)) == 59
    assert len(np.unique(spread.arrival)) == len(spread) == 236
    by_row = spread.arrival[np.argsort(spread.source_row)] - raw.arrival
    assert np.ptp(by_row) < 3.0
    assert np.array_equal(read_trace(path).arrival, spread.arrival)
    assert not np.array_equal(read_trace(path, seed=1).arrival, spread.arrival)


def test_the_width_of_the_spread_may_be_given(write):
    spread = read_trace(write(quantised_file()), spread=0.5)
    assert spread.origin["spread"] == 0.5
    assert ((spread.arrival + 0.51) % 3 < 1.02).all()


@pytest.mark.parametrize(
    ("times", "expected"),
    [
        (np.repeat(np.arange(50), 2) * 1.0, 1.0),
        (np.repeat(np.arange(50), 2) * 2.5, 2.5),
        (np.repeat(np.arange(50), 2) * 0.5, 0.0),  # finer than a second
        (np.arange(100) * 1.0, 0.0),  # no two alike
        (np.zeros(100), 0.0),  # a backlog
        (np.repeat(np.arange(49), 2) * 1.0, 0.0),  # too few
        (np.repeat(np.cumsum(np.linspace(1, 2, 50)), 2), 0.0),  # no common tick
    ],
)
def test_a_tick_is_only_seen_where_there_is_one(times, expected):
    assert quantum(times) == expected


@pytest.mark.parametrize("spread", [-1.0, float("nan"), float("inf")])
def test_a_bad_spread_is_refused(spread, write):
    with pytest.raises(ValueError, match=f"finite and ≥ 0 s, not {spread} s"):
        read_trace(write(MOONCAKE), spread=spread)


def test_an_unknown_format_is_refused_with_the_near_matches_and_the_list(write):
    with pytest.raises(ValueError, match=r"'azur'; did you mean azure\? \(there are: azure, mooncake") as error:
        read_trace(write(MOONCAKE), format="azur")
    assert all(name in str(error.value) for name in FORMATS)


def test_the_azure_traces_as_they_are(shared):
    folder = shared / "traces" / "azure2023"
    conversation = read_trace(folder / "AzureLLMInferenceTrace_conv.csv")
    assert len(conversation) == 19_366
    assert conversation.arrival[-1] == pytest.approx(3501.721937)
    assert conversation.prompt_length.mean() == pytest.approx(1154.6974, abs=1e-4)
    assert conversation.output_length.mean() == pytest.approx(211.1259, abs=1e-4)
    code = read_trace(folder / "AzureLLMInferenceTrace_code.csv")
    assert len(code) == 8_819
    assert np.diff(code.arrival).std() / np.diff(code.arrival).mean() == pytest.approx(13.15, abs=0.01)
    assert conversation.origin["spread"] == code.origin["spread"] == 0.0


def test_the_mooncake_conversation_trace_as_it_is(shared):
    workload = read_trace(shared / "traces" / "mooncake" / "conversation_trace.jsonl")
    assert len(workload) == 12_031
    assert workload.origin["spread"] == 3.0
    gaps = np.diff(workload.arrival)
    assert gaps.std() / gaps.mean() == pytest.approx(1.0, abs=0.03)
