"""Prefill first against chunked prefill: who stalls whom, and the size of the chunk."""

# mypy: allow-untyped-defs, allow-incomplete-defs
import marimo

app = marimo.App(app_title="Chunked prefill", css_file="lesson.css")

with app.setup:
    import math

    import numpy as np

    from experiments.lessons import kit, runs
    from experiments.style import policy_styles
    from experiments.timeline.iterations import iterations as iterations_of
    from experiments.timeline.plots import plot_gpu, plot_requests
    from simulator import TokenLog
    from simulator.latency import Batch
    from simulator.metrics import summary_values

    READERS, COMES = 6, 0.6  # how many read, and when the newcomer comes, s
    BUDGETS = (128, 192, 256, 512, 1024, 2048, 4096, 8192)
    LOOKS = policy_styles(["fcfs", "chunked_prefill"])


@app.function
def chunked(budget: int) -> str:
    """The name of the policy with that token budget."""
    return f"chunked_prefill:token_budget={budget}"


@app.function
def newcomer(prompt: int, policy: str, readers: int = READERS) -> TokenLog:
    """Readers in the midst of their answers, and the last request, which comes to them with a long prompt."""
    reading = [(0.0, 50, 250)] * readers
    return runs.run(runs.requests(*reading, (COMES, prompt, 30)), policy)


@app.function
def longest_gap(log: TokenLog, request: int = 0) -> float:
    """The longest time between two tokens of a request, seconds."""
    return float(np.diff(log.token_times(request, request + 1).times).max())


@app.function
def wait(log: TokenLog) -> float:
    """The time to first token of the last request, seconds."""
    last = log.num_requests - 1
    return float(log.token_times(last, last + 1).times[0] - log.arrival[last])


@app.function
def draw_stall(gpu, rows, gpu_chunked, rows_chunked, prompt: int, budget: int) -> None:
    """GPU and requests as the newcomer comes: prefill first above, in chunks below."""
    logs = newcomer(prompt, "fcfs"), newcomer(prompt, chunked(budget))
    end = COMES + 1.25 * max(wait(log) for log in logs) + 0.15
    names = "fcfs: prompts first, whole", f"chunked_prefill: {budget} tokens an iteration, answers first"
    for lane, requests, log, name in zip((gpu, gpu_chunked), (rows, rows_chunked), logs, names, strict=True):
        plot_gpu(lane, log, COMES - 0.25, end)
        lane.set_title(name)
        plot_requests(requests, log, range(READERS + 1), COMES - 0.25, end, marked=READERS)
        requests.set_yticks(range(READERS + 1), [*(f"reader {i + 1}" for i in range(READERS)), "newcomer"])
        requests.set_ylabel("")
        lane.set_xlabel("")
    rows.set_xlabel("")


@app.function
def traffic(rate: float, policy: str) -> TokenLog:
    """A minute of chats, with lengths of a real service, at `rate` requests/s."""
    return runs.run(runs.poisson(rate, window=60.0, seed=1), policy)


@app.function
def gaps(log: TokenLog):
    """All times between tokens, seconds, ascending."""
    times, offsets = log.token_times()
    starts = offsets[1:-1]
    return np.sort(np.delete(np.diff(times), starts[(starts > 0) & (starts < len(times))] - 1))


@app.function
def draw_gaps(ax, rate: float, budget: int) -> None:
    """The share of gaps that are longer than x, under either policy."""
    for policy, name in (("fcfs", "fcfs"), (chunked(budget), f"chunked_prefill, {budget} tokens")):
        values = 1e3 * gaps(traffic(rate, policy))
        look = LOOKS[policy.partition(":")[0]]
        share = 1 - np.arange(len(values)) / len(values)
        ax.step(values, 100 * share, where="post", color=look.colour, linestyle=look.dash, label=name)
    ax.set_xscale("log")
    ax.set_yscale("log")
    ax.set_xlim(10, 1100)
    ax.set_ylim(0.01, 150)
    ax.set_xticks([10, 20, 50, 100, 200, 500, 1000], ["10 ms", "20 ms", "50 ms", "100 ms", "200 ms", "500 ms", "1 s"])
    ax.minorticks_off()
    ax.set_yticks([0.01, 0.1, 1, 10, 100], ["0.01 %", "0.1 %", "1 %", "10 %", "100 %"])
    ax.set_xlabel("time between tokens")
    ax.set_ylabel("gaps that take longer")
    ax.legend(loc="upper right")


@app.function
def draw_dial(between, first, rate: float, budget: int) -> None:
    """What the budget does to the gaps and to the first token; prefill first for comparison."""
    look, plain = LOOKS["chunked_prefill"], LOOKS["fcfs"]
    for ax, key, name in (
        (between, "tbt_p99", "P99 time between tokens"),
        (first, "ttft_mean", "mean time to first token"),
    ):
        values = [1e3 * summary_values(traffic(rate, chunked(b)))[key] for b in BUDGETS]
        whole = 1e3 * summary_values(traffic(rate, "fcfs"))[key]
        ax.axhline(whole, color=plain.colour, label="fcfs")
        ax.plot(BUDGETS, values, color=look.colour, marker=look.marker, linestyle=look.dash, label="chunked_prefill")
        ax.plot(
            budget, values[BUDGETS.index(budget)], marker="o", color="#D55E00", markeredgecolor="white", markersize=11
        )
        ax.set_xscale("log")
        ax.set_yscale("log")
        ax.set_xticks(BUDGETS[::2], [f"{b}" for b in BUDGETS[::2]])
        ticks = [20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000, 20_000]
        ax.set_yticks(ticks, [f"{t} ms" if t < 1000 else f"{t // 1000} s" for t in ticks])
        ax.minorticks_off()
        ax.set_ylim(0.7 * min(*values, whole), 1.5 * max(*values, whole))
        ax.set_title(name)
        ax.set_xlabel("token budget of an iteration")
    between.legend(loc="best", fontsize="small")


@app.function
def prefill_time(prompt: int, chunk: int) -> float:
    """Seconds that the GPU takes for a prompt by itself, `chunk` tokens an iteration."""
    step_time, total = runs.profile().latency.step_time, 0.0
    for done in range(0, prompt, chunk):
        size = min(chunk, prompt - done)
        total += step_time(Batch(size, done, size * done + size * (size + 1) // 2, num_requests=1))
    return total


@app.cell
def _():
    kit.opening(
        "chunked-prefill",
        """
        A GPU that serves many does two kinds of work. **Prefill** of a prompt is heavy arithmetic: thousands of tokens
        in one iteration. **Decode** is light, and every reader needs it again and again. What should go first when
        someone new comes?

        The first servers put prompts first: `fcfs`, *first come, first served*. Each prompt gets an iteration of its
        own, as soon as there is room. Nobody waits long for the first token. But somebody does wait.
        """,
    )
    return


@app.cell
def _():
    who = kit.options("The newcomer", f"The {READERS} readers", "All alike")
    kit.question(
        f"{READERS} answers are being written. A newcomer sends a prompt of 8000 tokens, and prompts go first. "
        "**Who waits because of the other?**",
        who,
    )
    return (who,)


@app.cell
def _(who):
    _log = newcomer(8000, "fcfs")
    kit.reveal(
        who,
        f"The {READERS} readers",
        f"Each of them has a gap of {1e3 * longest_gap(_log):.0f} ms instead of "
        f"{1e3 * longest_gap(newcomer(1, 'fcfs')):.0f} ms at most without the prompt. The newcomer has the GPU to "
        f"itself and gets the first token after {1e3 * wait(_log):.0f} ms.",
    )
    return


@app.cell
def _():
    kit.text(
        """
        ## Cut it up

        **Chunked prefill** gives every iteration a **token budget**. The running answers take one token each out of it,
        and what is left goes to a piece, a *chunk*, of the prompt. So every iteration gives every reader a token, and
        no iteration is long. Dark is prefill, light is decode; a block of both does both. A black line is an answer
        that stands still.
        """
    )
    return


@app.cell
def _():
    prompt = kit.slider("the newcomer's prompt (tokens)", [500, 1000, 2000, 4000, 8000, 16000], 8000)
    chunk = kit.slider("token budget (tokens an iteration)", [64, *BUDGETS], 512)
    kit.controls(prompt, chunk)
    return chunk, prompt


@app.cell
def _(chunk, prompt):
    _whole, _cut = newcomer(prompt.value, "fcfs"), newcomer(prompt.value, chunked(chunk.value))
    kit.together(
        kit.stats(
            longest_gap_prompts_first=f"{1e3 * longest_gap(_whole):.0f} ms",
            longest_gap_in_chunks=f"{1e3 * longest_gap(_cut):.0f} ms",
            newcomer_waits_prompts_first=f"{1e3 * wait(_whole):.0f} ms",
            newcomer_waits_in_chunks=f"{1e3 * wait(_cut):.0f} ms",
        ),
        kit.picture(
            lambda a, b, c, d: draw_stall(a, b, c, d, prompt.value, chunk.value),
            f"GPU and requests: a prompt of {prompt.value} tokens at once, and in chunks of a budget of {chunk.value}",
            height=5.6,
            rows=(0.3, 1, 0.3, 1),
            share_x=True,
        ),
    )
    return


@app.cell
def _():
    pays = kit.options("Nobody", "The newcomer", "The readers")
    kit.question(
        "The budget goes down from 2048 to 128 tokens, and the gaps with it. **Who pays for that?**",
        pays,
    )
    return (pays,)


@app.cell
def _(pays):
    def _because() -> str:
        coarse, fine = newcomer(8000, chunked(2048)), newcomer(8000, chunked(128))
        return (
            f"The first token comes after {wait(coarse):.2f} → {wait(fine):.2f} s. Every iteration reads all the "
            "weights again, and a small chunk gives them little to do: for a prompt of 8000 tokens alone, the GPU "
            f"works {prefill_time(8000, 8000):.2f} s in one piece and {prefill_time(8000, 128):.2f} s in pieces of "
            "128. So small chunks also take capacity away from everybody, as soon as the server is busy."
        )

    kit.reveal(pays, "The newcomer", _because)
    return


@app.cell
def _():
    kit.text(
        """
        ## A minute of traffic

        Now chats come at random, with the lengths of a real conversation service. The picture shows how many of all
        gaps between tokens are longer than what you read on the axis below. The same requests at the same moments go
        to both policies.
        """
    )
    return


@app.cell
def _():
    rate = kit.slider("arrival rate (requests/s)", [1, 2, 3, 4, 5, 6, 7], 4)
    budget = kit.slider("chunk dial: token budget", BUDGETS, 512)
    kit.controls(rate, budget)
    return budget, rate


@app.cell
def _(budget, rate):
    _whole = summary_values(traffic(rate.value, "fcfs"))
    _cut = summary_values(traffic(rate.value, chunked(budget.value)))
    kit.together(
        kit.stats(
            P99_TBT_fcfs=f"{1e3 * _whole['tbt_p99']:.0f} ms",
            P99_TBT_chunked=f"{1e3 * _cut['tbt_p99']:.0f} ms",
            mean_TTFT_fcfs=f"{1e3 * _whole['ttft_mean']:.0f} ms",
            mean_TTFT_chunked=f"{1e3 * _cut['ttft_mean']:.0f} ms",
        ),
        kit.picture(
            lambda ax: draw_gaps(ax, rate.value, budget.value),
            f"Share of gaps longer than a time, at {rate.value} requests/s, budget {budget.value}",
            height=3.2,
        ),
        kit.picture(
            lambda between, first: draw_dial(between, first, rate.value, budget.value),
            f"P99 time between tokens and mean time to first token by token budget, at {rate.value} requests/s",
            height=3.0,
            columns=(1, 1),
        ),
    )
    return


@app.cell
def _():
    kit.text(
        """
        The dial has no right place of its own. A program that reads along, or a voice, needs short gaps; a person who
        reads 5 tokens/s has a buffer (lesson a) and does not see a gap of 300 ms. For that person the first token
        matters, and `fcfs` gives it sooner. Lesson e asks what that means for the metric.
        """
    )
    return


@app.cell
def _():
    pieces = kit.number_field("iterations", 1, 1000)
    kit.exercise(
        """
        **Exercise.** 32 answers are being written, and go on. A prompt of 8000 tokens comes; the token budget is 512.
        **In how many iterations is it prefilled?** The number must be exact: what is in the budget besides the chunk?
        """,
        pieces,
    )
    return (pieces,)


@app.cell
def _(pieces):
    _log = newcomer(8000, chunked(512), readers=32)
    iterations = int((iterations_of(_log, COMES, COMES + wait(_log)).prefill_tokens > 0).sum())
    kit.verdict(
        pieces,
        lambda number: number == iterations,
        f"512 − 32 = 480 tokens are left for the chunk, and 8000/480 is {8000 / 480:.1f}: {iterations} iterations, as "
        f"in the simulator. The newcomer waited {wait(_log):.2f} s for the first token.",
        lambda number: (
            "That would be so if the chunk had the whole budget. The 32 answers need their share of it."
            if number == math.ceil(8000 / 512)
            else "An iteration has 512 tokens. Each of the 32 answers takes one of them. How often does what is left "
            "go into 8000? The last piece may be small."
        ),
    )
    return (iterations,)


@app.cell
def _():
    kit.closing(
        "chunked-prefill",
        "Give half of the room the P99 of the time between tokens as their only aim, and the other half the mean time "
        "to first token. Let both set the dial at 4 requests/s, then at 7, where the smallest budget cannot keep up. "
        "Who is right?",
    )
    return


if __name__ == "__main__":
    app.run()
