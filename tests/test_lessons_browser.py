"""Every lesson in a real browser: it loads, answers a slider, a question and an exercise, and asks nobody else."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from experiments.lessons.browser import Page, browser, lesson_server, missing
from experiments.lessons.registry import LESSONS
from tests.lesson_cases import CASES
from tests.lesson_scripts import answer_of

pytestmark = [pytest.mark.slow, pytest.mark.skipif(missing() is not None, reason=missing() or "")]

SCREENSHOTS = Path(__file__).parents[1] / "results" / "lessons"


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with lesson_server() as where:
        yield where


@pytest.fixture
def driver() -> Iterator[Any]:
    with browser() as chromium:
        yield chromium


@pytest.mark.parametrize("slug", [lesson.slug for lesson in LESSONS])
def test_a_lesson_works_as_its_reader_uses_it(slug: str, address: str, driver: Any) -> None:
    case = CASES[slug]
    page = Page(driver, address, slug)

    questions = page.count(".lesson-question")
    assert questions > 0
    assert page.count(".lesson-reveal") == 0
    for question in range(questions):
        page.choose(question, 0)
        page.wait_for(lambda shown=question + 1: page.count(".lesson-reveal") == shown, "reveal")  # type: ignore[misc]

    pictures, numbers = page.pictures(), page.numbers()
    page.move(case.slider)
    page.wait_for(lambda: page.pictures() != pictures, "other picture")
    page.wait_for(lambda: page.numbers() != numbers, "other number")

    hand_in = case.hand_in or (lambda here, value: here.type_number(value))
    assert page.verdict() == ""
    hand_in(page, case.wrong)
    page.wait_for(lambda: page.verdict().startswith("Not yet."), "refusal of a wrong answer")
    hand_in(page, answer_of(slug))
    page.wait_for(lambda: page.verdict().startswith("Right."), "praise of the right answer")

    page.photograph(SCREENSHOTS / f"{slug}.png")
    assert page.errors() == []
    assert page.requests_elsewhere() == []


def test_the_index_leads_to_every_lesson(address: str, driver: Any) -> None:
    driver.get(f"{address}/")
    links = driver.execute_script("return [...document.querySelectorAll('li a')].map(a => a.href)")
    assert links == [f"{address}/{lesson.slug}/" for lesson in LESSONS]
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    driver.save_screenshot(str(SCREENSHOTS / "index.png"))
    assert [entry for entry in driver.get_log("browser") if entry["level"] == "SEVERE"] == []
