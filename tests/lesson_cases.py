"""What the tests do in each lesson: a slider to move, and answers to hand in.

A row is added by the lesson's slug. `slider` is the label of a slider whose move changes a picture and a number of
the lesson. `answer` is the name of the variable that holds the right answer of an exercise: the cell of its verdict
defines and returns it, and every cell that hands in a number with `kit.number_field` has one. `wrong` is a number in
the range of the field that is refused. A lesson whose exercise asks for something else than a number gives
`hand_in(page, right)`, which hands in a right or a wrong answer in the browser (page: an
`experiments.lessons.browser.Page`), and a `wrong` that its own checks mean something by.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from experiments.lessons.race import SHORTEST


def run_policy(page: Any, text: str) -> None:
    """Put `text` into the editor of the exercise, as if pasted over everything, and press Run."""
    from selenium.webdriver.common.keys import Keys

    form = "const form = document.querySelector('.lesson-exercise marimo-form').shadowRoot; "
    find = form + "return form.querySelector('marimo-code-editor').shadowRoot.querySelector('.cm-content')"
    editor = page.driver.execute_script(find)
    editor.send_keys(Keys.CONTROL, "a")
    page.driver.execute_script(
        "arguments[0].focus(); document.execCommand('insertText', false, arguments[1])", editor, text
    )
    page.driver.execute_script(form + "form.querySelector('button[type=submit]').click()")


class Case(NamedTuple):
    """A lesson as the tests take it."""

    slider: str
    answer: str
    wrong: Any
    hand_in: Callable[[Any, Any], None] | None = None
    """Puts an answer (the value of `answer`, or `wrong`) into the page and hands it in; None: types a number."""


CASES: dict[str, Case] = {
    "batching": Case(slider="seats (max_num_seqs)", answer="most_seats", wrong=256),
    "chunked-prefill": Case(slider="chunk dial: token budget", answer="iterations", wrong=16),
    "queues": Case(slider="utilisation (%)", answer="highest_utilisation", wrong=95),
    "one-request": Case(slider="reading speed (tokens/s)", answer="longest_stall", wrong=3.0),
    "fooled-metrics": Case(
        slider="each token is held until … after the one before (ms)", answer="longest_hold", wrong=200
    ),
    "andes": Case(slider="mean load (requests/s)", answer="qoe_by_hand", wrong=0.5),
    "capacity": Case(slider="no gap above … (ms)", answer="num_rented", wrong=15),
    "your-policy": Case(slider="load (requests/s)", answer="ageing", wrong=SHORTEST, hand_in=run_policy),
}
