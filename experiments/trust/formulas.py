"""What queueing theory says of queues that the engine can be set to be: means in the unit of the service time.

Poisson arrivals throughout. s: mean service time of a request alone; rho: the load, below 1 where it is one server's.
Source of the closed forms: Kleinrock, Queueing Systems, volumes 1 (1975) and 2 (1976).
"""

from __future__ import annotations

from collections.abc import Callable
from math import factorial

import numpy as np

_NEGLIGIBLE = 1e-14
_RARE, _MOST = 1e-10, 2048


def pollaczek_khinchine(s: float, rho: float, second_moment: float) -> float:
    """Mean sojourn in M/G/1, first come first served: s + λ·E[S²] / (2·(1 − ρ)), with E[S²] as given."""
    return s + rho / s * second_moment / (2 * (1 - rho))


def processor_sharing(s: float, rho: float) -> float:
    """Mean sojourn in M/G/1-PS, whatever the distribution of the service: s / (1 − ρ)."""
    return s / (1 - rho)


def limited_sharing_wait(s: float, rho: float, seats: int) -> float:
    """Mean time before a seat, where `seats` share one processor: ρ^c · s / (1 − ρ) for exponential services.

    The number in system is that of M/M/1; E[(N − c)⁺] = ρ^(c + 1) / (1 − ρ), and Little's law makes a time of it.
    """
    return rho**seats * s / (1 - rho)


def erlang_c(s: float, rho: float, servers: int) -> float:
    """Mean sojourn in M/M/c: s + C(c, a)·s / (c·(1 − ρ)), a = c·ρ, with Erlang's probability C of having to wait."""
    a = servers * rho
    all_busy = a**servers / factorial(servers) / (1 - rho)
    waits = all_busy / (sum(a**n / factorial(n) for n in range(servers)) + all_busy)
    return s + waits * s / (servers * (1 - rho))


def birth_death(arrival_rate: float, departure_rate: Callable[[int], float]) -> float:
    """Mean sojourn where n in the system leave at departure_rate(n) in all: p_n = p_(n−1) · λ / μ_n, then Little.

    Needs departure rates that stay above the arrival rate from some n on.
    """
    weights = [1.0]
    while weights[-1] > _NEGLIGIBLE * max(weights):
        weights.append(weights[-1] * arrival_rate / departure_rate(len(weights)))
    weight = np.array(weights)
    number = np.arange(len(weight)) @ weight / weight.sum()
    return float(number) / arrival_rate


def step_chain(arrival_rate: float, step_time: Callable[[int], float], seats: int, mean_output: float) -> float:
    """Mean sojourn where all changes wait for the end of a step, which is what an engine does: no approximation.

    Of n in the system b = min(n, seats) are in the batch; each leaves after the step with probability
    1/mean_output, and Poisson arrivals join after it, or at once if nobody is there. The number at boundaries is a
    Markov chain; its stationary distribution and the time integral of the number during a step give the mean.
    Raises ValueError where more than a thousand in the system are not rare.
    """
    size = 64
    while size <= _MOST:
        mean, full = _step_chain(arrival_rate, step_time, seats, mean_output, size)
        if full < _RARE:
            return mean
        size *= 2
    raise ValueError(f"{arrival_rate} requests/s are too many for {seats} seats: the queue is over {_MOST}")


def _step_chain(
    arrival_rate: float, step_time: Callable[[int], float], seats: int, mean_output: float, size: int
) -> tuple[float, float]:
    """The mean sojourn if the number stays below `size`, and the share of steps that begin with size − 1."""
    from scipy.stats import binom, poisson

    numbers = np.arange(size)
    moves = np.zeros((size, size))
    moves[0, 1] = 1.0
    times, integrals = np.full(size, 1 / arrival_rate), np.zeros(size)
    for n in range(1, size):
        batch = min(n, seats)
        times[n] = tau = step_time(batch)
        integrals[n] = n * tau + arrival_rate * tau**2 / 2
        stay = binom.pmf(np.arange(batch + 1), batch, 1 - 1 / mean_output)
        after = np.convolve(stay, poisson.pmf(numbers, arrival_rate * tau))
        moves[n, n - batch :] = after[: size - n + batch]
        moves[n, -1] += 1 - moves[n].sum()
    balance = moves.T - np.eye(size)
    balance[-1] = 1.0
    share = np.linalg.solve(balance, np.eye(size)[-1])
    return float(share @ integrals / (share @ times) / arrival_rate), float(share[-1])
