"""The lessons, in the order in which they are meant to be taken."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from simulator.unknown_name import unknown_name


class Lesson(BaseModel):
    """A notebook in this folder, and how it is announced."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    module: str = Field(pattern="^[a-z]_[a-z_]+$", description="name of its file: letter and slug")
    title: str
    sentence: str = Field(description="what one knows after it")

    @property
    def letter(self) -> str:
        """Its place in the order."""
        return self.module[0]

    @property
    def slug(self) -> str:
        """What its address ends in."""
        return self.module[2:].replace("_", "-")

    @property
    def file(self) -> Path:
        """The notebook."""
        return Path(__file__).with_name(f"{self.module}.py")


LESSONS = (
    Lesson(
        module="a_one_request",
        title="One request",
        sentence="What a server does for one answer, what TTFT, TBT and TPOT see of it, and what its reader sees.",
    ),
    Lesson(
        module="b_batching",
        title="Batching",
        sentence="Why serving many at once is nearly free up to a point, and what ends it: arithmetic, or memory.",
    ),
    Lesson(
        module="c_chunked_prefill",
        title="Chunked prefill",
        sentence="Who stalls whom when prompts and answers share a GPU, and what cutting prompts into chunks costs.",
    ),
    Lesson(
        module="d_queues",
        title="Overload and queues",
        sentence="Why waiting explodes before the server is full, and what theory knows without a simulation.",
    ),
    Lesson(
        module="e_fooled_metrics",
        title="The metric that fools you",
        sentence="How goodput rises while nobody is served better, and which metric notices.",
    ),
    Lesson(
        module="f_andes",
        title="Andes",
        sentence="How a scheduler that knows reading speeds serves a surge, and who pays for it.",
    ),
    Lesson(
        module="g_capacity",
        title="Capacity and cost",
        sentence="How many requests a GPU serves well enough, and what a thousand good answers cost.",
    ),
    Lesson(
        module="h_your_policy",
        title="Your own policy",
        sentence="How a scheduler is written, and how yours does against the others.",
    ),
)


def lesson(name: str) -> Lesson:
    """The lesson of that letter or slug. Raises ValueError, with near matches, where there is none."""
    for each in LESSONS:
        if name in (each.letter, each.slug):
            return each
    raise ValueError(unknown_name("lesson", name, [each.slug for each in LESSONS]))


def after(current: Lesson) -> Lesson | None:
    """The lesson that follows, or None behind the last one."""
    place = LESSONS.index(current) + 1
    return LESSONS[place] if place < len(LESSONS) else None
