"""The experiments of the page, in its order; this is the only place where one is registered."""

from __future__ import annotations

from pathlib import Path

from experiments.paper import alpha, andes, chunk_size, ranking, sarathi, slo_definitions, smooth_goodput
from experiments.paper.experiment import Experiment
from simulator.unknown_name import unknown_name

HOME = Path(__file__).parent

EXPERIMENTS: tuple[Experiment, ...] = (
    smooth_goodput.V2,
    smooth_goodput.V1,
    alpha.ALPHA,
    chunk_size.CHUNK_SIZE,
    slo_definitions.SLO_DEFINITIONS,
    andes.ANDES_QOE,
    sarathi.SARATHI,
    ranking.RANKING,
)


def experiment(name: str) -> Experiment:
    """The experiment of that name. Raises ValueError naming the nearest ones, and all of them."""
    by_name = {each.name: each for each in EXPERIMENTS}
    if name not in by_name:
        raise ValueError(unknown_name("experiment", name, by_name))
    return by_name[name]
