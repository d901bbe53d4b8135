"""What is wrong with a trace is said in one line: file, line and value."""

import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from simulator.workload import TraceError, read_trace
from simulator.workload.csv_table import _read_by_arrow as csv_by_arrow
from simulator.workload.csv_table import _read_by_line as csv_by_line
from simulator.workload.jsonl_table import _read_by_arrow as jsonl_by_arrow
from simulator.workload.jsonl_table import _read_by_line as jsonl_by_line
from simulator.workload.trace_table import Column, TraceFile

AZURE = "TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:15:46.6805900,374,44\n"
VIDUR = "arrived_at,num_prefill_tokens,num_decode_tokens\n0.5,10,20\n"
BURST = "Timestamp,Model,Request tokens,Response tokens,Total tokens,Log Type\n5,ChatGPT,472,18,490,x\n"
MOON = '{"timestamp": 0, "input_length": 10, "output_length": 20, "hash_ids": [1]}\n'
BAILIAN = '{"chat_id": 1, "timestamp": 1.5, "input_length": 2, "output_length": 2, "type": "text"}\n'

CASES = [
    # content, line (0: none), what is said
    (b"", 0, "the file is empty"),
    (b"\xef\xbb\xbf \r\n\n", 0, "the file is empty"),
    ("TIMESTAMP,ContextTokens,GeneratedTokens\n", 0, "no request in 1 lines (0 dropped)"),
    (BURST.replace("472", "0"), 0, "no request in 2 lines (1 dropped)"),
    ("a,b,c\n1,2,3\n", 1, "no known trace format (azure, mooncake, vidur, burstgpt, bailian): 'a,b,c'"),
    ('{"a": 1}\n', 1, "no known trace format"),
    ("\x00\x01\x02", 1, "no known trace format"),
    (AZURE.encode() + b"2023-11-16 18:15:47,\xff,3\n", 3, "byte 0xff is not UTF-8"),
    (AZURE.encode("utf-16"), 1, "byte 0xff is not UTF-8"),
    (AZURE.replace("GeneratedTokens", "Output"), 1, "column GeneratedTokens is missing"),
    (AZURE.replace("GeneratedTokens", "ContextTokens"), 1, "column 'ContextTokens' comes twice"),
    (AZURE + "2023-11-16 18:15:47\n", 3, "1 fields where the header has 3: '2023-11-16 18:15:47'"),
    (AZURE + "2023-11-16 18:15:47,1,2,3\n", 3, "4 fields where the header has 3"),
    (AZURE + "2023-11-16 18:15:47,,3\n", 3, "ContextTokens '' is not a whole number"),
    (AZURE + "2023-11-16 18:15:47,12.5,3\n", 3, "ContextTokens '12.5' is not a whole number"),
    (AZURE + "2023-11-16 18:15:47,1_000,3\n", 3, "ContextTokens '1_000' is not a whole number"),
    (AZURE + "2023-11-16 18:15:47,0x10,3\n", 3, "ContextTokens '0x10' is not a whole number"),
    (AZURE + "2023-11-16 18:15:47,nan,3\n", 3, "ContextTokens 'nan' is not a whole number"),
    (AZURE + "2023-11-16 18:15:47,many,3\n", 3, "ContextTokens 'many' is not a whole number"),
    (AZURE + f"2023-11-16 18:15:47,{'9' * 5000},3\n", 3, "9999… is too large"),
    (AZURE + "2023-11-16 18:15:47,9999999999,3\n", 3, "ContextTokens 9999999999 must be ≤ 2147483647"),
    (AZURE + "2023-11-16 18:15:47,0,3\n", 3, "ContextTokens 0 must be ≥ 1"),
    (AZURE + "2023-11-16 18:15:47,5,-3\n", 3, "GeneratedTokens -3 must be ≥ 1"),
    (AZURE + "yesterday,5,3\n", 3, "TIMESTAMP 'yesterday' is not a date and time"),
    (AZURE + "2023-13-16 18:15:47,5,3\n", 3, "TIMESTAMP '2023-13-16 18:15:47'"),
    (AZURE + "1969-12-31 23:59:59,5,3\n", 3, "TIMESTAMP 1969-12-31T23:59:59.000000000 must be 1970 or later"),
    (AZURE + "9999-01-01 00:00:00,5,3\n", 3, "is a year that 64-bit nanoseconds do not reach"),
    (AZURE + "2023-11-16 18:15:47+00:00,5,3\n", 3, "has a time zone, unlike the rows above"),
    (AZURE.replace("5900", "59Z") + "2023-11-16 18:15:47,5,3\n", 3, "has no time zone, unlike"),
    (AZURE + '"2023-11-16 18:15:47,5,3\n', 3, "not a row of comma-separated values"),
    (VIDUR + "nan,1,1\n", 3, "arrived_at nan must be finite"),
    (VIDUR + "inf,1,1\n", 3, "arrived_at inf must be finite"),
    (VIDUR + "1e999,1,1\n", 3, "arrived_at inf must be finite"),
    (VIDUR + "soon,1,1\n", 3, "arrived_at 'soon' is not a number"),
    (BURST + "6,GPT-4,-1,0,0,x\n", 3, "Request tokens -1 must be ≥ 0"),
    (MOON + "not json\n", 2, "not JSON (Expecting value at column 1): 'not json'"),
    ("{oops}\n", 1, "not JSON"),
    (MOON + MOON.strip() * 2 + "\n", 2, "not JSON (Extra data"),
    (MOON.replace(", ", ",\n"), 1, "not JSON"),
    (MOON + "[1, 2]\n", 2, "not a JSON object: [1, 2]"),
    ("[" + MOON.strip() + "]", 1, "not a JSON object"),
    (MOON + "[" * 100_000 + "\n", 2, "not JSON"),
    (MOON + '{"timestamp": 1, "input_length": 2}\n', 2, "output_length is missing"),
    (MOON + MOON.replace("10", "null"), 2, "input_length None is not a whole number"),
    (MOON + MOON.replace("10", '"10"'), 2, "input_length '10' is not a whole number"),
    (MOON + MOON.replace("10", "10.5"), 2, "input_length 10.5 is not a whole number"),
    (MOON + MOON.replace("10", "true"), 2, "input_length True is not a whole number"),
    (MOON + MOON.replace("10", "-10"), 2, "input_length -10 must be ≥ 1"),
    (MOON + MOON.replace("20", "0"), 2, "output_length 0 must be ≥ 1"),
    (MOON + MOON.replace("10", "1" * 30), 2, "is too large"),
    (MOON + MOON.replace("10", "1" * 9000), 2, "not JSON"),
    (MOON + MOON.replace("0,", "NaN,", 1), 2, "timestamp nan must be finite"),
    (MOON + MOON.replace("0,", "1e999,", 1), 2, "timestamp inf must be finite"),
    (MOON + MOON.replace("[1]", "7"), 2, "hash_ids 7 is not a list"),
    (MOON + '{"timestamp": 1, "timestamp": 2}\n', 2, "key 'timestamp' comes twice"),
    (BAILIAN + BAILIAN.replace('"text"', "3"), 2, "type 3 is not a text"),
    (BAILIAN + BAILIAN.replace('"text"', "null"), 2, "type None is not a text"),
]


@pytest.mark.parametrize(("content", "line", "message"), CASES, ids=[message for *_, message in CASES])
def test_a_bad_trace_is_refused_by_file_line_and_value(content, line, message, tmp_path):
    path = tmp_path / "bad"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(TraceError) as error:
        read_trace(path)
    said = str(error.value)
    assert said.startswith(f"{path}:{line}: " if line else f"{path}: ")
    assert message in said
    assert "\n" not in said
    assert len(said) < len(str(path)) + 250


def test_a_format_given_by_name_is_what_the_file_must_have(tmp_path):
    path = tmp_path / "trace.csv"
    path.write_text(AZURE)
    with pytest.raises(TraceError, match="column num_prefill_tokens is missing"):
        read_trace(path, format="vidur")
    with pytest.raises(TraceError, match=":1: not JSON"):
        read_trace(path, format="mooncake")


def test_a_missing_file_or_a_folder_is_refused(tmp_path):
    with pytest.raises(TraceError, match=r"gone\.csv: No such file or directory"):
        read_trace(tmp_path / "gone.csv")
    with pytest.raises(TraceError, match="Is a directory"):
        read_trace(tmp_path)
    with pytest.raises(TraceError, match="null"):
        read_trace("a\0b")


cells = st.one_of(
    st.sampled_from(["", "-1", "7", " 7 ", "007", "+7", "1e3", ".5", "5.", "inf", "-nan", "0x1", '"3"', "²", "1,2"]),
    st.integers().map(str),
    st.floats().map(str),
    st.text("0123456789.eE+-_ ", max_size=6),
)


@given(st.lists(st.tuples(cells, cells), min_size=1, max_size=4))
def test_the_fast_csv_reader_accepts_only_what_the_slow_one_does(rows):
    text = "a,b\n" + "".join(f"{a},{b}\n" for a, b in rows)
    file = TraceFile("trace", text.encode())
    columns = [Column("a", "count"), Column("b", "number")]
    agree(csv_by_arrow(file, ["a", "b"], columns), lambda: csv_by_line(file, ["a", "b"], columns))


dates = st.builds(
    "{}-{:02}-{:02}{}{}".format,
    st.sampled_from([1600, 1678, 1970, 2023, 2024, 2261, 2400, 20233]),
    st.integers(1, 13),
    st.sampled_from([1, 28, 29, 31, 32]),
    st.sampled_from(["", " 00", "T07", " 23:59", "T24:00", " 12:30:59", "T12:30:60", " 12:30:01.", " 1:30:01"])
    | st.from_regex(r"[ T]23:5[0-9]:00\.[0-9]{1,10}", fullmatch=True),
    st.sampled_from(["", "", "Z", "z", "+00:00", "-05:30", "+0530", "+05", "+24:00", "-12:60"]),
)


@given(st.lists(dates, min_size=1, max_size=3))
@example(["2023-11-16 18:00Z", "2023-11-16 18:00+05"])  # PostgreSQL writes zones without minutes
def test_the_fast_reader_accepts_only_dates_that_the_slow_one_does(rows):
    file = TraceFile("trace", "\n".join(["a", *rows]).encode())
    columns = [Column("a", "datetime")]
    agree(csv_by_arrow(file, ["a"], columns), lambda: csv_by_line(file, ["a"], columns))


numbers = st.integers(-5, 5) | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
anything = st.none() | st.booleans() | numbers | st.text(max_size=3) | st.lists(st.integers(), max_size=2)
records = st.fixed_dictionaries(
    {"a": st.integers(-9, 9) | numbers, "b": numbers | anything, "c": st.text(max_size=3) | anything},
    optional={"d": anything, "e": anything},
)


@given(st.lists(records, min_size=1, max_size=3))
def test_the_fast_jsonl_reader_accepts_only_what_the_slow_one_does(records):
    file = TraceFile("trace", "".join(json.dumps(record) + "\n" for record in records).encode())
    columns = [Column("a", "count"), Column("b", "number"), Column("c", "text"), Column("d", "list", required=False)]
    agree(jsonl_by_arrow(file, columns), lambda: jsonl_by_line(file, columns))


def agree(fast, read_slowly):
    if fast is None:
        return
    slow = read_slowly()
    assert slow.line.tolist() == fast.line.tolist()
    for name, column in slow.columns.items():
        assert repr(fast[name].tolist()) == repr(column.tolist())
