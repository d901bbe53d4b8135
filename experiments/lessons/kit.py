"""What lessons are made of: questions, reveals, exercises, sliders, numbers and pictures, all of one look."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Sequence
from html import escape
from threading import Lock
from typing import Any, cast

import marimo as mo

from experiments.lessons.registry import after, lesson
from experiments.style import FIGURE_STYLE

_WIDTH = 8.6
"""inches of a figure, at 100 pixels each: the width of a lesson's column."""
_DRAWING = Lock()
"""matplotlib's settings are those of the process, and each open lesson is a thread of it."""


def opening(name: str, text: str) -> mo.Html:
    """The head of the lesson: way back, title, what one knows after it, and a first paragraph (Markdown)."""
    this = lesson(name)
    return _block(
        "lesson-opening",
        f'<p class="lesson-way"><a href="/">All lessons</a><span>Lesson {this.letter}</span></p>'
        f"<h1>{escape(this.title)}</h1>"
        f'<p class="lesson-sentence">{escape(this.sentence)}</p>{_markdown(text)}',
    )


def closing(name: str, lecturer: str) -> mo.Html:
    """The foot of the lesson: a line for the lecturer (Markdown), and the way to the next lesson."""
    following = after(lesson(name))
    target, words = ("/", "All lessons") if following is None else (f"/{following.slug}/", following.title)
    return _block(
        "lesson-closing",
        f'<div class="lesson-lecturer"><b>For the lecturer</b>{_markdown(lecturer)}</div>'
        f'<p class="lesson-next"><a href="{target}">{escape(words)} →</a></p>',
    )


def text(words: str) -> mo.Html:
    """Markdown."""
    return _block("lesson-text", _markdown(words))


def slider(label: str, steps: Sequence[float], value: float) -> mo.ui.slider:
    """A slider over `steps`, ascending, that starts at `value`, one of them; the label names the unit."""
    return mo.ui.slider(steps=list(steps), value=value, label=label, show_value=True, full_width=True)


def controls(*elements: Any) -> mo.Html:
    """Sliders one below the other."""
    return _block("lesson-controls", "".join(str(mo.as_html(element).text) for element in elements))


def options(*answers: str) -> mo.ui.radio:
    """Answers to choose from; none is chosen yet."""
    return mo.ui.radio(options=list(answers))


def question(text: str, guess: mo.ui.radio) -> mo.Html:
    """A question (Markdown) that comes before its reveal, and the answers to choose from."""
    return _block("lesson-question", f"{_markdown(text)}{guess.text}")


def reveal(
    guess: mo.ui.radio, right: str, because: str | Callable[[], str], show: Callable[[], mo.Html] | None = None
) -> mo.Html:
    """Nothing but a hint until an answer is chosen; then whether it is `right`, and why (Markdown).

    because: a function is not called before. show: makes what is shown below that; it is not called before either.
    Raises ValueError if `right` is no option.
    """
    if right not in guess.options:
        raise ValueError(f"the right answer {right!r} is none of {', '.join(guess.options)}")
    if guess.value is None:
        return _block("lesson-waiting", "<p>Choose first; then the simulator answers.</p>")
    verdict = "Yes." if guess.value == right else f"No: {escape(right)}."
    words = because if isinstance(because, str) else because()
    shown = "" if show is None else str(show().text)
    return _block(f"lesson-reveal {_mark(guess.value == right)}", f"<p><b>{verdict}</b></p>{_markdown(words)}{shown}")


def number_field(label: str, start: float, stop: float, step: float = 1.0) -> Any:
    """A number to type in and to hand in; its value is None before that."""
    return mo.ui.number(start, stop, step, value=None, label=label).form(submit_button_label="Check", bordered=False)


def exercise(text: str, answer: Any) -> mo.Html:
    """A task (Markdown), and the field for its answer."""
    return _block("lesson-exercise", f"{_markdown(text)}{mo.as_html(answer).text}")


def verdict(
    answer: Any, is_right: Callable[[Any], bool], right: str | Callable[[], str], hint: str | Callable[[Any], str]
) -> mo.Html:
    """Whether the answer that was handed in is right; then `right`, or the `hint` (Markdown), which may depend on it.

    A function `right` is called for a right answer alone.
    """
    if answer.value is None:
        return _block("lesson-waiting", "<p>Hand in a number, and it is checked against the simulator.</p>")
    if is_right(answer.value):
        praise = right if isinstance(right, str) else right()
        return _block("lesson-verdict right", f"<p><b>Right.</b></p>{_markdown(praise)}")
    words = hint if isinstance(hint, str) else hint(answer.value)
    return _block("lesson-verdict wrong", f"<p><b>Not yet.</b></p>{_markdown(words)}")


def stats(**values: str) -> mo.Html:
    """Numbers side by side, each under its name, in which an underscore stands for a space."""
    cells = "".join(
        f"<div><dt>{escape(name.replace('_', ' '))}</dt><dd>{escape(value)}</dd></div>"
        for name, value in values.items()
    )
    return _block("lesson-stats", f"<dl>{cells}</dl>")


def picture(
    draw: Callable[..., object],
    alt: str,
    *,
    height: float = 3.0,
    rows: Sequence[float] = (1.0,),
    columns: Sequence[float] = (1.0,),
    share_x: bool = False,
) -> mo.Html:
    """A figure in the house style. `draw` is handed its axes, row by row: relative heights `rows`, widths `columns`.

    alt: what is seen, for those who do not see it. height: inches; the width is that of the page. share_x: the
    panels of a column have one horizontal axis.
    """
    import matplotlib
    from matplotlib.figure import Figure

    with _DRAWING, matplotlib.rc_context(cast(Any, FIGURE_STYLE)):
        figure = Figure(figsize=(_WIDTH, height))
        grid = figure.subplots(
            len(rows), len(columns), height_ratios=rows, width_ratios=columns, sharex=share_x, squeeze=False
        )
        draw(*grid.flat)
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png", dpi=200)
    data = base64.b64encode(buffer.getvalue()).decode()
    return mo.Html(f'<img class="lesson-picture" alt="{escape(alt)}" src="data:image/png;base64,{data}">')


def together(*parts: mo.Html) -> mo.Html:
    """Parts that one slider changes, below each other."""
    return _block("lesson-together", "".join(part.text for part in parts))


def _markdown(words: str) -> str:
    return str(mo.md(words).text)


def _mark(is_right: bool) -> str:
    return "right" if is_right else "wrong"


def _block(kind: str, content: str) -> mo.Html:
    return mo.Html(f'<div class="{kind}">{content}</div>')
