"""Batching: the weights are read once for all, until arithmetic or memory ends it."""

# mypy: allow-untyped-defs, allow-incomplete-defs
import marimo

app = marimo.App(app_title="Batching", css_file="lesson.css")

with app.setup:
    import math

    import numpy as np

    from experiments.lessons import kit, runs
    from experiments.timeline.levels import running_level
    from experiments.timeline.plots import plot_kv, plot_queue
    from simulator import EngineLimits, TokenLog
    from simulator.latency import Batch
    from simulator.metrics import summary_values

    SEATS = (1, 2, 4, 8, 16, 32, 64, 128, 256)
    COLOURS = {"weights": "#0072B2", "the engine's CPU work": "#bdbdbd", "arithmetic": "#E69F00", "KV cache": "#009E73"}


@app.function
def step(seats: int, context: int) -> float:
    """Seconds of a decode step of `seats` answers, each with `context` tokens before it."""
    batch = Batch(num_decodes=seats, kv_tokens=seats * context, num_requests=seats)
    return runs.profile().latency.step_time(batch)


@app.function
def parts(seats, context: int) -> dict[str, np.ndarray]:
    """What a decode step spends on each thing, seconds; `seats` is an array."""
    c = runs.profile().coefficients.latency()
    arithmetic = c.s_lo * np.minimum(seats, c.n_ridge) + c.s_hi * np.maximum(seats - c.n_ridge, 0)
    return {
        "weights": np.full(len(seats), c.t0),
        "the engine's CPU work": c.q0 + c.q1 * seats,
        "arithmetic": arithmetic,
        "KV cache": c.k * seats * context,
    }


@app.function
def draw_step(time, speed, seats: int, context: int) -> None:
    """What a decode step is made of, and how many tokens a second come of it, by the size of the batch."""
    at, ridge = np.arange(1, 257), runs.profile().coefficients.latency().n_ridge
    pieces = parts(at, context)
    time.stackplot(at, *(1e3 * piece for piece in pieces.values()), labels=[*pieces], colors=[*COLOURS.values()])
    time.set_title("One decode step", pad=42)
    time.set_ylabel("ms")
    total = np.sum([*pieces.values()], axis=0)
    speed.plot(at, at / total, color="#222222")
    speed.plot(at, at / total[0], color="#666666", linewidth=1.2, linestyle=(0, (1, 1.5)), label="if more cost nothing")
    speed.set_ylim(0, 1.25 * max(at / total))
    speed.set_title("Tokens a second, of all", pad=42)
    for ax, mark in ((time, 1e3 * step(seats, context)), (speed, seats / step(seats, context))):
        ax.axvline(ridge, color="#666666", linewidth=1.0, linestyle=(0, (4, 3)), label="ridge" if ax is speed else None)
        ax.plot(
            seats, mark, marker="o", color="#D55E00", markeredgecolor="white", markersize=9, zorder=5, clip_on=False
        )
        ax.set_xlim(1, 256)
        ax.set_xlabel("answers in the batch")
        ax.legend(loc="lower left", bbox_to_anchor=(-0.02, 1.0), ncols=2, fontsize="small", borderaxespad=0.1)


@app.function
def chats(seats: int) -> dict[str, float]:
    """The metrics of 300 chats that are all there at once, `seats` of them served together."""
    return summary_values(runs.run(runs.poisson(math.inf, num_requests=300), max_num_seqs=seats))


@app.function
def draw_trade(ax, seats: int) -> None:
    """Throughput against the time between tokens, a point for each number of seats."""
    points = [(chats(n)["throughput_tokens_per_s"], 1e3 * chats(n)["tbt_mean"]) for n in SEATS]
    ax.plot(*zip(*points, strict=True), color="#222222", marker="o", markersize=5, linewidth=1.4)
    for n, point in zip(SEATS, points, strict=True):
        ax.annotate(f"{n}", point, (-4, 5), textcoords="offset points", ha="right", color="#666666")
    ax.plot(*points[SEATS.index(seats)], marker="o", color="#D55E00", markeredgecolor="white", markersize=11, zorder=5)
    ax.axhline(200, color="#666666", linewidth=1.0, linestyle=(0, (4, 3)))
    ax.annotate("a reader of 5 tokens/s", (0, 200), (4, 4), textcoords="offset points", color="#666666")
    ax.set_xlim(0, None)
    ax.set_ylim(0, 230)
    ax.set_xlabel("throughput (tokens/s, all together)")
    ax.set_ylabel("mean time between tokens (ms)")


@app.function
def long_chats(prompt: int, answer: int, seats: int = 256, number: int = 256) -> TokenLog:
    """The log of `number` equal chats that are all there at once."""
    return runs.run(runs.poisson(math.inf, (prompt, answer), num_requests=number), max_num_seqs=seats)


@app.function
def draw_wall(kv, queue, log: TokenLog) -> None:
    """The KV cache as it fills, and who runs and waits."""
    end = float(np.nanmax(log.end))
    plot_kv(kv, log, 0.0, end)
    kv.set_xlabel("")
    plot_queue(queue, log, 0.0, end)


@app.cell
def _():
    kit.opening(
        "batching",
        f"""
        In lesson a one reader had a whole A100. It gave {1 / step(1, 4000):.0f} tokens a second to somebody who reads
        5. A GPU costs some dollars an hour; nobody can pay that for one reader.

        A decode step reads **all the weights** of the model, 16 GB, to make one token. But once a weight has been
        read it can serve every answer that is being written. So servers put many requests into one **batch**, and
        let each iteration give a token to all of them.
        """,
    )
    return


@app.cell
def _():
    longer = kit.options("About 64 times as long", "About 10 times as long", "Less than twice as long")
    kit.question(
        "64 answers are written together instead of one, each after 500 tokens of context. "
        "**How much longer does a decode step take?**",
        longer,
    )
    return (longer,)


@app.cell
def _(longer):
    _one, _many = step(1, 500), step(64, 500)
    kit.reveal(
        longer,
        "Less than twice as long",
        f"{1e3 * _one:.1f} → {1e3 * _many:.1f} ms, {_many / _one:.1f} times as long, for 64 times the tokens: "
        f"{1 / _one:.0f} → {64 / _many:.0f} tokens/s. Each reader still gets {1 / _many:.0f} a second.",
    )
    return


@app.cell
def _():
    kit.text(
        """
        ## What a step is made of

        The picture takes the step apart, as the simulator's latency model has it, fitted to measured iterations.
        Reading the **weights** is a fixed price. **Arithmetic** grows with the batch, slowly up to the **ridge**, where
        computing takes as long as reading, and more steeply from there: this is the *roofline*. Each answer also has
        its own **KV cache** to be read, which is shared with nobody. The rest is the engine's own work on the CPU.
        """
    )
    return


@app.cell
def _():
    batch = kit.slider("answers in the batch", [1, 2, 4, 8, 16, 32, 64, 96, 128, 160, 192, 256], 64)
    context = kit.slider("context of each (tokens)", [100, 250, 500, 1000, 2000, 4000], 500)
    kit.controls(batch, context)
    return batch, context


@app.cell
def _(batch, context):
    _step = step(batch.value, context.value)
    _parts = parts(np.array([batch.value]), context.value)
    kit.together(
        kit.stats(
            a_step=f"{1e3 * _step:.1f} ms",
            all_together=f"{batch.value / _step:.0f} tokens/s",
            each_reader=f"{1 / _step:.0f} tokens/s",
            a_reader_alone=f"{1 / step(1, context.value):.0f} tokens/s",
            weights_are=f"{100 * _parts['weights'][0] / _step:.0f} % of it",
        ),
        kit.picture(
            lambda time, speed: draw_step(time, speed, batch.value, context.value),
            f"Parts of a decode step and tokens per second by batch size; the batch of {batch.value} is marked",
            height=3.7,
            columns=(1, 1),
        ),
    )
    return


@app.cell
def _():
    dearer = kit.options("The weights", "The arithmetic", "The KV cache")
    kit.question(
        "Now the contexts are long: 4000 tokens each, and 128 answers are in the batch. "
        "**What takes most of the step?** Guess, then move both sliders there.",
        dearer,
    )
    return (dearer,)


@app.cell
def _(dearer):
    _share = {name: part[0] / step(128, 4000) for name, part in parts(np.array([128]), 4000).items()}
    kit.reveal(
        dearer,
        "The KV cache",
        f"It takes {100 * _share['KV cache']:.0f} % of the step, the weights {100 * _share['weights']:.0f} %, "
        f"arithmetic {100 * _share['arithmetic']:.0f} %. Long contexts are never shared, so batching helps them least.",
    )
    return


@app.cell
def _():
    kit.text(
        """
        ## The dial: seats

        A server bounds its batch by `max_num_seqs`, the number of **seats**. Below, 300 chats with the lengths of a
        real conversation service are all there at once. Few seats: every reader is fast, and the others wait at the
        door. Many: the GPU makes more of itself, and every reader gets slower. Each point is one run.
        """
    )
    return


@app.cell
def _():
    seats = kit.slider("seats (max_num_seqs)", SEATS, 8)
    kit.controls(seats)
    return (seats,)


@app.cell
def _(seats):
    _found = chats(seats.value)
    kit.together(
        kit.stats(
            all_together=f"{_found['throughput_tokens_per_s']:.0f} tokens/s",
            mean_TBT=f"{1e3 * _found['tbt_mean']:.0f} ms",
            TBT_P99=f"{1e3 * _found['tbt_p99']:.0f} ms",
            first_token_after=f"{_found['ttft_mean']:.0f} s",
            all_done_after=f"{_found['span']:.0f} s",
        ),
        kit.picture(
            lambda ax: draw_trade(ax, seats.value),
            f"Throughput against time between tokens for 1 to 256 seats; {seats.value} is marked",
            height=3.6,
        ),
    )
    return


@app.cell
def _():
    kit.text(
        """
        Throughput and latency trade, and the trade gets worse and worse: the first doublings of the seats nearly
        double the throughput, the last ones mostly add waiting between tokens. Prompts have their share in that,
        since they stop everybody's tokens while they are prefilled: lesson c.

        ## The KV wall

        Seats are not all. Each token of context takes room in GPU memory, in **blocks** of 16 tokens. Blocks are given
        out as the answers grow. When none is left somebody has to go: the server **preempts** a request, throws its
        cache away, and later does its prefill again. Below, 256 equal chats come at once, and there are 256 seats.
        """
    )
    return


@app.cell
def _():
    wall = kit.options("256, there are seats enough", "About 100", "About 50")
    kit.question(
        f"The memory holds {runs.profile().kv_capacity_tokens:,} tokens. Each chat has a prompt of 4000 tokens and an "
        "answer of 500. **About how many run at once?**",
        wall,
    )
    return (wall,)


@app.cell
def _(wall):
    kit.reveal(
        wall,
        "About 100",
        lambda: (
            f"At most {running_level(long_chats(4000, 500)).values.max()} run together: memory is full long before the "
            "seats are. More seats would change nothing."
        ),
    )
    return


@app.cell
def _():
    prompt = kit.slider("prompt of each chat (tokens)", [100, 500, 1000, 2000, 4000, 8000, 16000], 1000)
    answer = kit.slider("answer of each chat (tokens)", [50, 100, 200, 500, 1000, 2000], 1000)
    kit.controls(prompt, answer)
    return answer, prompt


@app.cell
def _(answer, prompt):
    _log = long_chats(prompt.value, answer.value)
    _found = summary_values(_log)
    kit.together(
        kit.stats(
            run_at_once=f"{running_level(_log).values.max()} of 256",
            memory_held=f"{100 * _found['peak_kv']:.0f} %",
            preemptions=f"{_found['num_preemptions']:.0f}",
            all_together=f"{_found['throughput_tokens_per_s']:.0f} tokens/s",
        ),
        kit.picture(
            lambda kv, queue: draw_wall(kv, queue, _log),
            f"KV blocks held, and requests running and waiting: prompts {prompt.value}, answers {answer.value} tokens",
            height=3.6,
            rows=(0.8, 1),
            share_x=True,
        ),
    )
    return


@app.cell
def _():
    side_by_side = kit.number_field("chats side by side", 1, 1000)
    kit.exercise(
        f"""
        **Exercise.** You want no preemption at all: set the seats so that everybody who is let in can finish. The
        memory holds {runs.profile().kv_capacity_tokens:,} tokens, and each chat grows to 3000 prompt and 1000 answer
        tokens. All are of one age, so all are longest at the same time. **How many seats?** One either way is close
        enough.
        """,
        side_by_side,
    )
    return (side_by_side,)


@app.cell
def _(side_by_side):
    _size = EngineLimits().block_size
    _blocks = runs.profile().kv_capacity_tokens // _size
    most_seats = _blocks // math.ceil(4000 / _size)

    def _preempted(number: int) -> float:
        return summary_values(long_chats(3000, 1000, seats=number, number=number))["num_preemptions"]

    kit.verdict(
        side_by_side,
        lambda number: abs(number - most_seats) <= 1,
        lambda: (
            f"{_blocks:,} blocks of {_size} tokens, {math.ceil(4000 / _size)} for each chat: {most_seats}. The "
            f"simulator agrees: {most_seats} chats give {_preempted(most_seats):.0f} preemptions, {most_seats + 2} "
            f"give {_preempted(most_seats + 2):.0f}."
        ),
        lambda number: (
            "That many would not fit when all are at their longest: somebody is preempted."
            if number > most_seats
            else "More would fit. How long is a chat at its end, and how often does that go into the memory?"
        ),
    )
    return (most_seats,)


@app.cell
def _():
    kit.closing(
        "batching",
        "Let the room bid for a bound on the time between tokens, read the throughput off the curve, and divide the "
        "price of a GPU hour by it. Then ask who would pay for 20 ms. On the KV wall, set prompts to 100 and answers "
        "to 2000: everybody fits at first, and nobody at the end.",
    )
    return


if __name__ == "__main__":
    app.run()
