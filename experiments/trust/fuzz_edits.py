"""Damage to a file: small edits, each a pure function of the bytes and of four numbers, and the values that hurt."""

from __future__ import annotations

import re
from collections.abc import Sequence
from random import Random
from typing import NamedTuple

NUMBERS = (
    *(b"0", b"-0.0", b"-1", b"0.5", b"30.0", b"1e308", b"-1e308", b"1e999", b"1e-320", b"NaN", b"nan", b".nan"),
    *(b"Infinity", b"-Infinity", b"inf", b".inf", b"0x10", b"1_000", b"0o7", b"1:30", b"100000000", b"1000000000000"),
    *(str(number).encode() for number in (2**31 - 1, 2**31, 2**53 + 1, 2**63 - 1, 2**63, -(2**63) - 1, 10**400)),
    b"9" * 5000,
)
VALUES = (
    *(b"null", b"~", b"true", b"[]", b"{}", b'""', b'"2"', b'"x"', b"[[1]]", b'{"a": 1}', b"[1, [2, [3]]]"),
    *(b'"\\ud800"', b'"\\u0000"', b'"' + b"x" * 20_000 + b'"', b"../../x", b"/dev/null", b"a b", b"y", b"=", b"<<"),
    *(b"2001-99-99", b"2001-01-01", b"9999-12-31 23:59:59", b"0000-00-00", b"12:30", b'"a\\nb"', b'"\xe2\x80\xa8"'),
)
YAML = (
    *(b'!!int ""', b"!!int x", b"!!float x", b"!!bool x", b"!!timestamp x", b"!!binary x", b"!!set {a}", b"!x y"),
    *(b"!!omap [a]", b"!!pairs [a]", b"? [a]\n: b", b"<<: 3", b"<<: [3]", b"*a", b"&a [*a]", b"&a {a: *a}", b"%YAML 9"),
    *(b"!!python/object/apply:os.getcwd []", b"!!python/name:os.getcwd", b"--- 1\n--- 2", b"- &b b\n- *b", b"|", b">-"),
)
LAUGHS = b"[&l0 [a], %s]" % b", ".join(b"&l%d [%s]" % (i, b", ".join([b"*l%d" % (i - 1)] * 9)) for i in range(1, 12))
"""The billion laughs, 9^11 of them, as a value of YAML."""
SPLINTERS = (
    *(b"\0", b"\xff", b"\xef\xbb\xbf", b"\xc3", b"\xed\xa0\x80", b"\n", b"\r", b"\r\n", b"\t", b"\x1b[2J", b"\x85"),
    *(b",", b":", b": ", b'"', b"'", b"{", b"}", b"[", b"]", b"#", b"- ", b"+table", b"+", b"=", b"@", b"\\", b"\n\n"),
)
FRAGMENTS = (*NUMBERS, *VALUES, *YAML, LAUGHS, *SPLINTERS)
DEPTHS = (2, 40, 150, 1_100, 30_000)
_SCALAR = re.compile(rb'"[^"\n]*"|-?[\w.+-]+')
_WHOLE = (b"", b"\n", b"\0" * 64, b"PAR1", b"\x1f\x8b\x08", b"\xff\xfe", b"[", b"{", b"- ", b"a", b"x" * 100_000)


class Edit(NamedTuple):
    """One piece of damage. kind: of `KINDS`; at: where in the file, 0 to 1; width: bytes or times; pick: any number."""

    kind: str
    at: float
    width: int
    pick: int


def _flip(data: bytes, i: int, edit: Edit) -> bytes:
    return data[:i] + bytes([data[i] ^ (1 << edit.pick % 8)]) + data[i + 1 :] if i < len(data) else data


def _cut(data: bytes, i: int, edit: Edit) -> bytes:
    return data[:i]


def _remove(data: bytes, i: int, edit: Edit) -> bytes:
    return data[:i] + data[i + edit.width :]


def _insert(data: bytes, i: int, edit: Edit) -> bytes:
    return data[:i] + FRAGMENTS[edit.pick % len(FRAGMENTS)] + data[i:]


def _replace(data: bytes, i: int, edit: Edit) -> bytes:
    """The next number, word or text becomes another one."""
    match = _SCALAR.search(data, i) or _SCALAR.search(data)
    if match is None:
        return _insert(data, i, edit)
    return data[: match.start()] + FRAGMENTS[edit.pick % len(FRAGMENTS)] + data[match.end() :]


def _repeat(data: bytes, i: int, edit: Edit) -> bytes:
    return data[:i] + data[i : i + edit.width] * (2 + edit.pick % 30) + data[i + edit.width :]


def _repeat_line(data: bytes, i: int, edit: Edit) -> bytes:
    start, end = data.rfind(b"\n", 0, i) + 1, data.find(b"\n", i) + 1 or len(data)
    return data[:end] + data[start:end] * (1 + edit.pick % 3) + data[end:]


def _swap(data: bytes, i: int, edit: Edit) -> bytes:
    """Two neighbouring lines change places."""
    lines = data.split(b"\n")
    line = data.count(b"\n", 0, i)
    lines[line : line + 2] = lines[line : line + 2][::-1]
    return b"\n".join(lines)


def _nest(data: bytes, i: int, edit: Edit) -> bytes:
    opening, closing = ((b"[", b"]"), (b'{"a":', b"}"), (b"- ", b""))[edit.pick % 3]
    depth = DEPTHS[edit.width % len(DEPTHS)]
    return data[:i] + opening * depth + (b"1" + closing * depth) * (edit.pick % 2) + data[i:]


def _recode(data: bytes, i: int, edit: Edit) -> bytes:
    """The same text in another encoding, or behind a byte order mark."""
    text = data.decode("latin-1")
    codings = ("utf-16", "utf-16-be", "utf-32", "utf-7", "cp037")
    return (b"\xef\xbb\xbf" + data, *(text.encode(coding, "replace") for coding in codings))[edit.pick % 6]


def _whole(data: bytes, i: int, edit: Edit) -> bytes:
    return _WHOLE[edit.pick % len(_WHOLE)]


_EDITS = {
    "flip": _flip,
    "cut": _cut,
    "remove": _remove,
    "insert": _insert,
    "replace": _replace,
    "repeat": _repeat,
    "repeat_line": _repeat_line,
    "swap": _swap,
    "nest": _nest,
    "recode": _recode,
    "whole": _whole,
}
KINDS = tuple(_EDITS)
_COMMON = (*KINDS[:-2], "replace", "replace", "replace", "replace", "insert", "flip", "remove")
"""What is drawn mostly: the last two leave little of a file."""


def damaged(data: bytes, edits: Sequence[Edit]) -> bytes:
    """The bytes after all the edits, one behind the other."""
    for edit in edits:
        data = _EDITS[edit.kind](data, int(edit.at * len(data)), edit)
    return data


def draw_edits(random: Random) -> list[Edit]:
    """One to four edits."""
    return [_drawn(random) for _ in range(random.choice((1, 1, 2, 3, 4)))]


def _drawn(random: Random) -> Edit:
    kind = random.choice(_COMMON if random.random() < 0.97 else KINDS)
    return Edit(kind, random.random(), random.choice((1, 2, 4, 9, 30)), random.randrange(2**16))
