"""Andes: a reader's quality of experience, a surge, and who is preempted for whom."""

# mypy: allow-untyped-defs, allow-incomplete-defs
import marimo

app = marimo.App(app_title="Andes", css_file="lesson.css")

with app.setup:
    import numpy as np

    from experiments.demos.hand import Answer
    from experiments.lessons import kit, runs
    from experiments.lessons.surge import (
        draw_qoe,
        draw_surge,
        each,
        log,
        noticed,
        preempted,
        preempted_readers,
        qoe_curves,
        values,
        workload,
    )
    from experiments.timeline.plots import plot_requests
    from experiments.timeline.reader import Reader, plot_reader
    from simulator.metrics import QoE, User, summary_values
    from simulator.token_log import TokenLog

    RATE, HEIGHT = 7, 2  # the surge that the lesson talks about: mean requests/s, times the mean


@app.function
def qoe_of(*tokens: float) -> float:
    """The QoE of tokens at these times, seconds, for a reader of 5 tokens/s who expects the first after 1 s."""
    user = User(speed=5, qoe=QoE(ttft=1.0))
    return summary_values(Answer(title="", generated=tokens).log(), user=user)["qoe_mean"]


@app.function
def behind(ahead: int) -> TokenLog:
    """A chat of 100 answer tokens that comes right behind `ahead` prompts of 3000 tokens."""
    return runs.run(runs.requests(*[(0.0, 3000, 100)] * ahead, (0.0, 500, 100)))


@app.function
def draw_reader(row, text, rate: float, height: float, request: int) -> None:
    """What the server did for a request under andes, and what its reader had of it."""
    run, speed = log(rate, height, "andes"), float(workload(rate, height).speed[request])
    start = float(run.arrival[request])
    _, read, _ = qoe_curves(run, request, speed)
    end = max(start + float(read[-1]), float(run.end[request])) + 0.5
    plot_requests(row, run, [request], start, end)
    row.set_yticks([])
    row.set_ylabel("")
    row.set_xlabel("")
    shown = [(mark, name) for mark, name in zip(*row.get_legend_handles_labels(), strict=True) if name != "dropped"]
    place = {"loc": "lower right", "bbox_to_anchor": (1, 1), "ncols": len(shown)}
    row.legend(*zip(*shown, strict=True), fontsize="small", handlelength=1.2, columnspacing=1.0, **place)
    plot_reader(text, run, Reader(request, speed), start, end)


@app.cell
def _():
    kit.opening(
        "andes",
        """
        A reader expects the first word after a second or so, and from then on text as fast as they read. If that is
        what comes, it is a perfect answer, and nothing could make it better. **QoE**, quality of experience, is 1
        for it; whoever falls behind has less. Andes (arXiv 2404.16283) is a scheduler that maximises it.
        """,
    )
    return


@app.cell
def _():
    better = kit.options("The one with all of it at once", "The one at reading speed", "Both alike")
    kit.question(
        "Two readers of 5 tokens/s get 100 tokens each, the first token after 1 s. One gets **all of them at once**, "
        "the other **one every 200 ms**. **Whose answer has the higher QoE?**",
        better,
    )
    return (better,)


@app.cell
def _(better):
    def _because() -> str:
        at_once, paced = qoe_of(*[1.0] * 100), qoe_of(*(1 + i / 5 for i in range(100)))
        return (
            f"{at_once:.2f} and {paced:.2f}. The server spent 20 s on the second and nobody was worse off. That is "
            "room to play with: while the first one reads, somebody else can be served."
        )

    kit.reveal(better, "Both alike", _because)
    return


@app.cell
def _():
    ahead = kit.slider("requests that came just before (3000 prompt tokens each)", [0, 5, 10, 20, 30, 40, 60, 80], 30)
    speed = kit.slider("reading speed (tokens/s)", [2, 3, 4, 5, 8, 12, 20], 5)
    kit.controls(ahead, speed)
    return ahead, speed


@app.cell
def _(ahead, speed):
    _log = behind(ahead.value)
    _delivered, _read, _expected = qoe_curves(_log, ahead.value, speed.value)
    _late, _whole = (_read - _expected).sum(), (_read[-1] - _expected).sum()
    kit.together(
        kit.stats(
            TTFT=f"{_delivered[0]:.1f} s",
            seconds_behind_at_the_end=f"{_read[-1] - _expected[-1]:.1f} s",
            QoE=f"1 − {_late:.0f}/{_whole:.0f} = {1 - _late / _whole:.2f}",
        ),
        kit.picture(
            lambda ax: draw_qoe(ax, _log, ahead.value, speed.value),
            f"Tokens delivered, read and expected, with {ahead.value} requests ahead: QoE is a ratio of areas",
            height=3.2,
        ),
    )
    return


@app.cell
def _():
    kit.text(
        """
        Each token that is read later than expected adds its delay to the orange area. QoE is one minus that area,
        divided by everything that is shaded: the same with every token read only at the very end.

        ## A surge

        Three minutes of chats on one GPU, with an older 7B model that needs much memory for each token. In the middle
        third more of them come than it can take: its KV cache is full, and with **fcfs**, first come, first served,
        the latest have to wait. **Andes** asks every 50 iterations whose QoE would gain most from the next 10 s for
        the memory that they hold, and serves those. Others are **preempted**: their cache is moved to host memory, or
        dropped and computed again later.
        """
    )
    return


@app.cell
def _():
    victim = kit.options(
        "Those who came last", "Those whose readers have most left to read", "Those who have waited longest"
    )
    kit.question("**Whom does Andes preempt, to make room for a newcomer?**", victim)
    return (victim,)


@app.cell
def _(victim):
    def _because() -> str:
        buffers = {policy: preempted(RATE, HEIGHT, policy).buffer for policy in ("fcfs", "andes")}
        middle = {policy: float(np.median(buffer)) for policy, buffer in buffers.items()}
        return (
            f"{len(buffers['andes'])} times it stops an answer in its midst, and half of these readers have text for "
            f"{middle['andes']:.0f} s or more on the screen. It looks 10 s ahead: whoever has text for that long gains "
            f"nothing from being served now. fcfs preempts too when memory runs out, {len(buffers['fcfs'])} times: "
            f"whoever came last, half of them with text for less than {middle['fcfs']:.1f} s. Of those "
            f"whom Andes preempts, {100 - 100 * noticed(RATE, HEIGHT, 'andes'):.0f} % "
            "never wait for a word by half a second or more."
        )

    kit.reveal(victim, "Those whose readers have most left to read", _because)
    return


@app.cell
def _():
    rate = kit.slider("mean load (requests/s)", [5, 5.5, 6, 6.5, 7, 7.5, 8], RATE)
    height = kit.slider("load in the surge, times the mean", [1, 1.5, 2, 2.5], HEIGHT)
    kit.controls(rate, height)
    return height, rate


@app.cell
def _(height, rate):
    _both = [values(rate.value, height.value, policy) for policy in ("fcfs", "andes")]

    def _change(metric: str, form: str) -> str:
        return " → ".join(form.format(found[metric]) for found in _both)

    kit.together(
        kit.stats(
            QoE=_change("qoe_mean", "{:.2f}"),
            mean_TTFT=_change("ttft_mean", "{:.1f}") + " s",
            P99_TTFT=_change("ttft_p99", "{:.1f}") + " s",
            throughput=_change("throughput_tokens_per_s", "{:.0f}"),
            preemptions=_change("num_preemptions", "{:.0f}"),
        ),
        kit.picture(
            lambda first, queue: draw_surge(first, queue, rate.value, height.value),
            "Time to first token by arrival, and requests waiting, under fcfs and andes",
            height=4.6,
            rows=(1.5, 1.0),
            share_x=True,
        ),
    )
    return


@app.cell
def _():
    kit.text(
        """
        Each mark is a request; numbers are fcfs → Andes. The same GPU makes about as many tokens, only for others.

        ## What a preempted reader sees

        Here are those whom Andes preempts most often in that surge.
        """
    )
    return


@app.cell
def _():
    place = kit.slider("which of them: the most often preempted (1), the second (2), …", [*range(1, 13)], 1)
    kit.controls(place)
    return (place,)


@app.cell
def _(place):
    _request = preempted_readers(RATE, HEIGHT)[place.value - 1]
    _row = each(RATE, HEIGHT, "andes").loc[_request]
    kit.together(
        kit.stats(
            preempted=f"{_row.num_preemptions:.0f} times",
            TTFT=f"{_row.ttft:.2f} s",
            longest_gap=f"{_row.tbt_max:.1f} s",
            reads=f"{_row.reading_speed:.1f} tokens/s",
            QoE=f"{_row.qoe:.2f}",
        ),
        kit.picture(
            lambda row, text: draw_reader(row, text, RATE, HEIGHT, _request),
            f"Phases of request {_request} under andes, and its tokens delivered and read",
            height=3.6,
            rows=(0.22, 1.0),
            share_x=True,
        ),
    )
    return


@app.cell
def _():
    price = kit.options("Nothing at all", "The longest waits", "The tokens per second, by half")
    kit.question("Now the surge grows: 8 requests/s, 2.5 times as many in the middle. **What does Andes pay?**", price)
    return (price,)


@app.cell
def _(price):
    def _because() -> str:
        fcfs, andes = (values(8, 2.5, policy) for policy in ("fcfs", "andes"))
        return (
            f"Mean QoE rises from {fcfs['qoe_mean']:.2f} to {andes['qoe_mean']:.2f}, and the mean wait for the first "
            f"token falls from {fcfs['ttft_mean']:.0f} to {andes['ttft_mean']:.0f} s. But one in a hundred waits for "
            f"{andes['ttft_p99']:.0f} s or more, where with fcfs it was {fcfs['ttft_p99']:.0f} s. The mean has little "
            "to gain from those who are late already, so they stay behind those who are not. Preempting "
            f"costs {100 * (1 - andes['throughput_tokens_per_s'] / fcfs['throughput_tokens_per_s']):.0f} % of the "
            "throughput."
        )

    kit.reveal(price, "The longest waits", _because)
    return


@app.cell
def _():
    by_hand = kit.number_field("QoE", 0, 1, 0.01)
    kit.exercise(
        """
        **Exercise.** A reader of 5 tokens/s expects the first token after 1 s and the rest at reading speed. All
        **10 tokens come at once, after 3 s**. So token i is expected at 1 + (i − 1)/5 s and read at 3 + (i − 1)/5 s.
        **What is the QoE?** One minus the sum of the delays, divided by the sum with every token read at the end.
        Two digits will do.
        """,
        by_hand,
    )
    return (by_hand,)


@app.cell
def _(by_hand):
    qoe_by_hand = round(qoe_of(*[3.0] * 10), 2)
    kit.verdict(
        by_hand,
        lambda value: abs(value - qoe_by_hand) <= 0.011,
        "Ten tokens, each 2 s late: 20. The last one is read at 4.8 s; from the expected times, 1.0 to 2.8 s, to there "
        f"it is 3.8 + 3.6 + … + 2.0 = 29. 1 − 20/29 = {qoe_of(*[3.0] * 10):.3f}, as the metric has it.",
        "How late is each of the ten tokens? That is the upper sum. When is the last one read? From each token's "
        "expected time up to there: that is the lower sum.",
    )
    return (qoe_by_hand,)


@app.cell
def _():
    kit.closing(
        "andes",
        "Andes needs to know how fast people read, and for whom the server speaks: a program reads as fast as it can. "
        "Ask what it would do with one such client among readers. The paper's long surges, with ten paired seeds: "
        "`smoothserve compare --arrivals burst --window 1200 --seeds 10 --speed age --policies fcfs,andes`.",
    )
    return


if __name__ == "__main__":
    app.run()
