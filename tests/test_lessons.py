"""The lessons without a browser: each runs as a script, says what is right, and is served to this machine alone."""

from __future__ import annotations

import asyncio
import json
import re
from html import unescape
from typing import Any, NamedTuple

import pytest

pytest.importorskip("marimo", reason="needs marimo")

import marimo as mo

from experiments.cli import main
from experiments.lessons import counter, kit
from experiments.lessons.registry import LESSONS, after, lesson
from experiments.lessons.server import index_page, lesson_app
from tests.lesson_cases import CASES
from tests.lesson_scripts import answer_of, run_lesson

SLUGS = [each.slug for each in LESSONS]


class Given(NamedTuple):
    """What somebody chose or handed in."""

    value: Any
    options: tuple[str, ...] = ()


@pytest.mark.parametrize("slug", SLUGS)
def test_a_lesson_runs_as_a_script_and_shows_what_a_lesson_has(slug: str) -> None:
    html = "".join(output.text for output in run_lesson(slug).outputs if output is not None)
    for part in ("opening", "question", "waiting", "controls", "stats", "picture", "exercise", "closing"):
        assert f'class="lesson-{part}"' in html, part
    assert "lesson-reveal" not in html
    assert "nan" not in re.sub(r"<[^>]+>", " ", html).lower().split()
    assert not re.search(r"""(src|href)=["'](https?:)?//""", html)
    assert all(re.findall(r'<img class="lesson-picture" alt="([^"]*)"', html))


@pytest.mark.parametrize("slug", SLUGS)
def test_a_lesson_has_the_slider_and_the_answer_that_its_case_names(slug: str) -> None:
    html = "".join(output.text for output in run_lesson(slug).outputs if output is not None)
    labels = [json.loads(unescape(label)) for label in re.findall(r"<marimo-slider [^>]*?data-label='([^']*)'", html)]
    assert CASES[slug].slider in [re.sub(r"<[^>]+>", "", label) for label in labels]
    assert CASES[slug].answer in run_lesson(slug).variables


@pytest.mark.parametrize("slug", [slug for slug, case in CASES.items() if case.hand_in is None])
def test_the_right_answer_is_accepted_and_a_wrong_one_is_not(slug: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever answer is handed in, the lesson's own cells judge it: each number field gives that answer."""
    assert _verdict(slug, answer_of(slug), monkeypatch).startswith("Right.")
    assert _verdict(slug, CASES[slug].wrong, monkeypatch).startswith("Not yet.")


def _verdict(slug: str, answer: Any, monkeypatch: pytest.MonkeyPatch) -> str:
    """What the first exercise of a lesson says of an answer."""
    said: list[str] = []
    judge = kit.verdict

    def handed_in(_: Any, *rest: Any) -> mo.Html:
        html = judge(Given(answer), *rest)
        said.append(re.sub(r"<[^>]+>", "", html.text).strip())
        return html

    with monkeypatch.context() as patch:
        patch.setattr(kit, "verdict", handed_in)
        run_lesson.__wrapped__(slug)
    return said[0]


@pytest.mark.parametrize("slug", SLUGS)
def test_every_reveal_says_why_whichever_option_is_chosen(slug: str, monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[str] = []
    reveal = kit.reveal

    def chosen(guess: Any, right: str, *rest: Any) -> mo.Html:
        options = tuple(guess.options)
        assert right in options
        for option in options:
            html = reveal(Given(option, options), right, *rest).text  # type: ignore[arg-type]
            assert ("Yes." in html) == (option == right)
            shown.append(html)
        return reveal(guess, right, *rest)

    with monkeypatch.context() as patch:
        patch.setattr(kit, "reveal", chosen)
        run_lesson.__wrapped__(slug)
    assert len(shown) >= 2
    assert not any(re.search(r"\bnan\b", re.sub(r"<[^>]+>", " ", html)) for html in shown)


def test_a_right_answer_that_is_no_option_is_an_error() -> None:
    with pytest.raises(ValueError, match="'c' is none of a, b"):
        kit.reveal(kit.options("a", "b"), "c", "because")


def test_nothing_is_worked_out_before_somebody_has_answered() -> None:
    def never(*_: Any) -> Any:
        raise AssertionError("too early")

    assert "Choose first" in kit.reveal(kit.options("a", "b"), "a", never, never).text
    assert "Hand in" in kit.verdict(Given(None), never, never, never).text


def test_what_is_written_by_hand_is_escaped() -> None:
    assert "<b>x" not in kit.stats(a="<b>x").text
    assert "<i>" not in kit.picture(lambda ax: ax.plot([0, 1]), '"<i>').text


def test_lessons_are_found_by_letter_and_by_slug_and_follow_each_other() -> None:
    assert [each.letter for each in LESSONS] == list("abcdefgh")
    assert lesson("a") is lesson("one-request") is LESSONS[0]
    assert [after(each) for each in LESSONS] == [*LESSONS[1:], None]
    assert set(CASES) == set(SLUGS)
    assert all(each.file.is_file() for each in LESSONS)
    with pytest.raises(ValueError, match="one-request"):
        lesson("one-reqest")


def test_the_command_lists_the_lessons(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(["learn", "--list"])
    assert end.value.code == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[:2] for line in lines] == [[each.letter, each.slug] for each in LESSONS]


def test_a_lesson_that_does_not_exist_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(["learn", "batchin", "--headless"])
    assert end.value.code == 2
    assert "batching" in capsys.readouterr().err


def test_the_index_names_every_lesson() -> None:
    page = index_page()
    for each in LESSONS:
        assert f'href="/{each.slug}/"' in page
        assert each.title in page
    assert "http:" not in page.replace("http://127.0.0.1", "")
    assert "https:" not in page


def _ask(path: str, *, host: str = "127.0.0.1", origin: str | None = None, kind: str = "http") -> dict[str, Any]:
    """The first thing that the server answers."""
    headers = [(b"host", host.encode())] + ([(b"origin", origin.encode())] if origin else [])
    scope = {"type": kind, "path": path, "raw_path": path.encode(), "query_string": b"session_id=s", "headers": headers}
    scope |= {"method": "GET", "scheme": "http", "root_path": "", "http_version": "1.1", "server": ("127.0.0.1", 80)}
    answers: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "websocket.connect"} if kind == "websocket" else {"type": "http.request", "body": b""}

    async def send(message: Any) -> None:
        answers.append(message)

    asyncio.run(lesson_app()(scope, receive, send))  # type: ignore[arg-type]
    return answers[0]


@pytest.mark.parametrize("path", ["/", "/one-request/"])
def test_only_this_machine_and_its_own_pages_are_answered(path: str) -> None:
    assert _ask(path)["status"] == 200
    assert _ask(path, host="localhost", origin="http://localhost")["status"] == 200
    assert _ask(path, host="example.org")["status"] == 400
    assert _ask(path, origin="https://example.org")["status"] == 403
    assert _ask(path, origin="null")["status"] == 403


def test_a_page_of_another_site_gets_no_connection_to_a_lesson() -> None:
    refused = _ask("/one-request/ws", origin="https://example.org", kind="websocket")
    assert refused == {"type": "websocket.close", "code": 1008}


@pytest.mark.parametrize("utilisation", [0.2, 0.5, 0.8])
def test_the_counter_is_the_queue_of_the_closed_form(utilisation: float) -> None:
    found = counter.simulated_wait(utilisation)
    assert abs(found.mean - counter.exact_wait(utilisation)) <= 1.5 * found.half_width
