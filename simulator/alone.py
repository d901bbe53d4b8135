"""What hardware could do at best: every request alone on it, and the most tokens that it makes in a second."""

from __future__ import annotations

import numpy as np

from simulator.latency import Batch, RunLatencyModel
from simulator.token_log import TokenTimes
from simulator.workload.workload import Workload


def alone_times(workload: Workload, latency: RunLatencyModel, first: int = 0, last: int | None = None) -> TokenTimes:
    """Token times of requests first … last − 1 since their submission, seconds, if each had the hardware to itself.

    The prompt is prefilled in one piece, then decode steps follow without a pause. No schedule gives a token
    earlier where an iteration of more work takes no less and a prompt in chunks takes no less than in one
    piece; not so with speculative decoding, nor, by some ms, with chunks on a profile whose t0 is below
    n_ridge·(s_hi − s_lo).
    """
    prompt, output = workload.prompt_length[first:last], workload.output_length[first:last]
    lengths, which = np.unique(prompt, return_inverse=True)
    prefill = np.array([latency.step_time(Batch(n, 0, n * (n + 1) // 2, 0, 0, 1)) for n in lengths.tolist()])
    step, growth = latency.decode_run(1, 1)
    offsets = np.concatenate(([0], np.cumsum(output)))
    j = (np.arange(offsets[-1]) - np.repeat(offsets[:-1], output)).astype(np.float64)  # decode steps before the token
    first_step = np.repeat(step + growth * prompt, output)
    return TokenTimes(np.repeat(prefill[which], output) + j * first_step + growth * (j * (j - 1.0) / 2.0), offsets)


def token_throughput_limit(workload: Workload, latency: RunLatencyModel, max_num_seqs: int) -> float:
    """The most output tokens that an iteration of at most `max_num_seqs` requests can make in a second, tokens/s.

    Each token takes at least a decode behind the shortest prompt of the workload; prefills cost nothing here.
    0 for a workload without requests.
    """
    if not len(workload):
        return 0.0
    context = int(workload.prompt_length.min()) + 1
    return max(n / latency.decode_run(n, n * context).first for n in range(1, max_num_seqs + 1))
