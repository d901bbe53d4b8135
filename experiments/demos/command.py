"""`smoothserve demo`: show how each metric can be fooled, by hand and under load, and keep what came out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from experiments.reader_options import AsJson

if TYPE_CHECKING:
    from experiments.demos.outcome import Outcome

DEFAULT_OUT = Path("results/demo")
FEWEST_SEEDS = 10


def run_demo(
    name: str = "all",
    out: Path = DEFAULT_OUT,
    *,
    seeds: int = FEWEST_SEEDS,
    window: float | None = None,
    jobs: int | None = None,
    quiet: bool = True,
) -> list[Outcome]:
    """Run the demonstration of that name, or all of them, and write each to a folder of its name in `out`.

    seeds, window, jobs: as of `experiments.demos.outcome.demonstrate`. All folders are checked before anything
    runs; each is replaced when its demonstration is done. Raises ValueError or OSError with one line.
    """
    from experiments.demos.outcome import demonstrate
    from experiments.demos.registry import demos
    from experiments.demos.results import not_ours, write_outcome
    from experiments.folders import check_target, replacing
    from experiments.progress import progress

    chosen, outcomes, done = demos(name), [], 0
    for demo in chosen:
        check_target(out / demo.name, not_ours)
    with progress(seeds * 2 * sum(len(demo.parts) for demo in chosen), quiet) as update:

        def one_more() -> None:
            nonlocal done
            done += 2
            update(done)

        for demo in chosen:
            with replacing(out / demo.name, not_ours) as folder:
                outcomes.append(demonstrate(demo, seeds, window=window, jobs=jobs, on_pair=one_more))
                write_outcome(folder, outcomes[-1])
    return outcomes


def demo(
    name: Annotated[str | None, typer.Argument(metavar="NAME|all", help="Which one; listed if not given.")] = None,
    out: Annotated[Path, typer.Option(metavar="DIR", help="Where results go, a folder each.")] = DEFAULT_OUT,
    seeds: Annotated[int, typer.Option(min=FEWEST_SEEDS, help="Paired runs of each part.")] = FEWEST_SEEDS,
    as_json: AsJson = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress.")] = False,
    jobs: Annotated[int | None, typer.Option(min=1, help="Worker processes; a demonstration needs none.")] = None,
) -> None:
    """Show how a metric can be fooled: on an answer made by hand, and on paired runs under load.

    The verdict is computed from the paired 95 % intervals: reproduced only if all that is claimed holds.
    """
    from experiments.demos.registry import demos
    from experiments.demos.report import print_json, print_list, print_outcome

    if name is None:
        print_list(demos(), as_json)
        return
    outcomes = run_demo(name, out, seeds=seeds, jobs=jobs, quiet=quiet)
    if as_json:
        print_json(outcomes)
        return
    for outcome in outcomes:
        print_outcome(outcome, out / outcome.demo.name)
