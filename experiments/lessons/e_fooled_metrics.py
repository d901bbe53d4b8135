"""The metric that fools you: tokens held back, requests abandoned, and what their readers get."""

# mypy: allow-untyped-defs, allow-incomplete-defs
import marimo

app = marimo.App(app_title="The metric that fools you", css_file="lesson.css")

with app.setup:
    from collections.abc import Mapping

    from experiments.lessons import kit, runs
    from experiments.lessons.fooling import (
        BOUND,
        GAPS,
        GOODPUT,
        SMOOTH_GOODPUT,
        WINDOW,
        draw_holding,
        draw_pair,
        dropping,
        held,
        held_values,
        most_stalled,
        served,
        values,
    )
    from experiments.timeline.reader import Reader, plot_reader
    from simulator.delivery import deliver
    from simulator.metrics import User, summary_values

    OVERLOAD = 10  # requests/s: more than the server can do


@app.function
def draw_reader(ax, rate: float, gap: int) -> None:
    """The answer of the run that stalls most, from its submission on."""
    log, request = held(rate, gap), most_stalled(served(rate))
    plot_reader(ax, log, Reader(request))
    ax.set_ylabel("tokens of one answer")
    ax.set_xlabel("time (s)")


@app.function
def draw_dropped(goodput, attained, wait, smooth, before, after) -> None:
    """Four metrics, as served and with everybody abandoned who has missed the bound."""
    names = "served", "dropping"
    share = "slo_attainment_completed"
    draw_pair(goodput, before[GOODPUT], after[GOODPUT], "Goodput", "requests/s", names)
    draw_pair(attained, 100 * before[share], 100 * after[share], "Attainment\nof the finished", "%", names)
    wait_name = "idle_latency_mean"
    draw_pair(wait, before[wait_name], after[wait_name], "A reader waits,\non average", "s", names)
    draw_pair(smooth, before[SMOOTH_GOODPUT], after[SMOOTH_GOODPUT], "Smooth goodput", "tokens/s", names)


@app.function
def scoreboard() -> str:
    """The metrics of one overloaded run, as served and three times treated, as a Markdown table; bold: better."""
    columns = {
        "goodput (requests/s)": (GOODPUT, "{:.3f}", 1),
        "P99 TBT (s)": ("tbt_p99", "{:.2f}", -1),
        "mean QoE": ("qoe_mean", "{:.2f}", 1),
        "smooth goodput (tokens/s)": (SMOOTH_GOODPUT, "{:.0f}", 1),
        "a reader waits (s)": ("idle_latency_mean", "{:.1f}", -1),
    }
    plain = values(OVERLOAD, "fcfs")
    lines = ["| | " + " | ".join(columns) + " |", "|---|" + "---:|" * len(columns)]
    for name, found in fooled().items():
        cells = []
        for metric, form, sign in columns.values():
            better = sign * (found[metric] - plain[metric]) > 0.01 * abs(plain[metric])
            cells.append(("**{}** ↑" if better else "{}").format(form.format(found[metric])))
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


@app.function
def fooled() -> dict[str, Mapping[str, float]]:
    """Every metric of the overloaded run, by what was done to it."""
    return {
        "as served": values(OVERLOAD, "fcfs"),
        "tokens held for 100 ms": held_values(OVERLOAD, 100),
        "whoever missed is dropped": values(OVERLOAD, dropping(BOUND)),
        "last token withheld, 10 min": values(OVERLOAD, "fcfs@hold_last:wait=600"),
    }


@app.cell
def _():
    kit.opening(
        "fooled-metrics",
        """
        A service makes a promise, its **SLO**: the first token within 1 s, and no gap above 100 ms. Requests that
        keep it count, the others count nothing. **Goodput** is how many of them it serves a second, and servers are
        compared by it. What is compared will be optimised. Let us do that.

        Beside it stands **smooth goodput**. Each token received counts 1, and each second that a reader of
        5 tokens/s had to wait for a token costs 2.5, at the worst moment of the answer (arXiv 2410.14257).
        """,
    )
    return


@app.cell
def _():
    rises = kit.options("It falls", "It stays the same", "It rises tenfold or more")
    kit.question(
        "At 5 requests/s, the server now **holds every token back** until 100 ms after the one before. No token comes "
        "earlier, most come later. **What happens to goodput?**",
        rises,
    )
    return (rises,)


@app.cell
def _(rises):
    def _because() -> str:
        before, after = held_values(5, 0), held_values(5, 100)
        return (
            f"From {before[GOODPUT]:.2f} to {after[GOODPUT]:.2f} requests/s: {after[GOODPUT] / before[GOODPUT]:.0f} "
            "times as much. When others are prefilled, an answer stalls for a moment, and one gap above 100 ms makes "
            "it worth nothing. Held tokens are a stock: during the stall the server hands them out, one every 100 ms, "
            f"and no gap is too long. Answers end {after['e2e_mean'] - before['e2e_mean']:.0f} s later on average, "
            "which the promise does not mention."
        )

    kit.reveal(rises, "It rises tenfold or more", _because)
    return


@app.cell
def _():
    rate = kit.slider("load (requests/s)", [1, 2, 3, 4, 5, 6, 7], 5)
    gap = kit.slider("each token is held until … after the one before (ms)", GAPS, 50)
    kit.controls(rate, gap)
    return gap, rate


@app.cell
def _(gap, rate):
    _found = held_values(rate.value, gap.value)
    kit.together(
        kit.stats(
            goodput=f"{_found[GOODPUT]:.2f} requests/s",
            promise_kept=f"{100 * _found['slo_attainment']:.0f} %",
            last_token_after=f"{_found['e2e_mean']:.1f} s",
            a_reader_waits=f"{_found['idle_latency_mean']:.2f} s",
            smooth_goodput=f"{_found[SMOOTH_GOODPUT]:.0f} tokens/s",
        ),
        kit.picture(
            lambda goodput, smooth: draw_holding(goodput, smooth, rate.value, gap.value),
            f"Goodput and smooth goodput by how long tokens are held, now {gap.value} ms",
            height=2.7,
            columns=(1.0, 1.0),
        ),
        kit.picture(
            lambda ax: draw_reader(ax, rate.value, gap.value),
            f"The answer that stalls most, generated, held for {gap.value} ms a token, and read",
            height=2.9,
        ),
    )
    return


@app.cell
def _():
    kit.text(
        """
        Goodput climbs until tokens are held for as long as the bound allows, and drops to nothing right behind it.
        Smooth goodput does not care until 200 ms, for a reader of 5 tokens/s takes one token in 200 ms: nothing is
        gained before that, and from there on every reader waits. Below is the answer that stalls most. Holding its
        tokens turns the steps into a slope, and moves nothing to the left.

        ## Whom it pays to drop

        An answer with one gap above the bound is worth nothing any more, whatever comes after. Its tokens still
        take time on the GPU.
        """
    )
    return


@app.cell
def _():
    best = kit.options("Finish it all the same", "Finish it last", "Drop it at once")
    kit.question(
        "An answer of 300 tokens had one gap of 120 ms at its 40th token. Its reader did not notice. "
        "**What should the server do with it, if goodput is all that counts?**",
        best,
    )
    return (best,)


@app.cell
def _(best):
    def _because() -> str:
        before, after = values(5, "fcfs"), values(5, dropping(BOUND))
        return (
            f"At 5 requests/s that abandons {after['num_dropped']:.0f} of {after['num_requests']:.0f} readers in the "
            f"middle of their answers, and goodput rises from {before[GOODPUT]:.2f} to {after[GOODPUT]:.2f} "
            f"requests/s. Of the answers that finish, {100 * after['slo_attainment_completed']:.0f} % keep the "
            f"promise; before, it was {100 * before['slo_attainment_completed']:.0f} %. A report that shows only those "
            "looks splendid."
        )

    kit.reveal(best, "Drop it at once", _because)
    return


@app.cell
def _():
    dropping_rate = kit.slider("load (requests/s)", [1, 2, 3, 5, 8, 10, 12], 5)
    bound = kit.slider("whoever had a gap above … is dropped (ms)", [50, 75, 100, 150, 200, 300, 500, 1000], 150)
    patience = kit.slider("a dropped reader waits until … after asking (s)", [1, 5, 10, 20, 40, 60, 120], 60)
    kit.controls(dropping_rate, bound, patience)
    return bound, dropping_rate, patience


@app.cell
def _(bound, dropping_rate, patience):
    _user, _bound = User(patience=patience.value), bound.value / 1e3
    _before = values(dropping_rate.value, "fcfs", _bound, _user)
    _after = values(dropping_rate.value, dropping(_bound), _bound, _user)
    kit.together(
        kit.stats(
            dropped=f"{100 * _after['num_dropped'] / _after['num_requests']:.0f} %",
            goodput=f"{_before[GOODPUT]:.2f} → {_after[GOODPUT]:.2f}",
            smooth_goodput=f"{_before[SMOOTH_GOODPUT]:.0f} → {_after[SMOOTH_GOODPUT]:.0f}",
            QoE=f"{_before['qoe_mean']:.2f} → {_after['qoe_mean']:.2f}",
        ),
        kit.picture(
            lambda goodput, kept, wait, smooth: draw_dropped(goodput, kept, wait, smooth, _before, _after),
            "Goodput, attainment of the finished, wait of a reader and smooth goodput, as served and with dropping",
            height=3.0,
            columns=(1, 1, 1, 1),
        ),
    )
    return


@app.cell
def _():
    survives = kit.options("P99 TBT", "Mean QoE", "Smooth goodput", "Each is improved by one")
    kit.question(
        "A third trick: withhold the **last token** of every answer for ten minutes. QoE compares how late a reader "
        "is with how long the whole answer took, so a very late end makes the rest look punctual. "
        "**Which of these does none of the three tricks improve?**",
        survives,
    )
    return (survives,)


@app.cell
def _(survives):
    kit.reveal(
        survives,
        "Smooth goodput",
        f"The same {OVERLOAD} requests/s, four times. Bold with an arrow is what looks better than as served.",
        lambda: kit.text(scoreboard()),
    )
    return


@app.cell
def _():
    _turn_away = "drop_on_miss:variant=before_first_token_only:ttft=1"
    _printed = User(abandonment="ignore")
    _before, _after = (values(16, policy, BOUND, _printed)[SMOOTH_GOODPUT] for policy in ("fcfs", _turn_away))
    _patient = values(16, _turn_away)[SMOOTH_GOODPUT]
    kit.text(
        f"""
        No metric is safe, though. As printed in the paper, smooth goodput counts 0 for a reader who is turned away
        before the first token. At 16 requests/s, turning away whoever has waited for 1 s raises it from
        {_before:.0f} to {_after:.0f} tokens/s. Here a reader who is turned away waits on for 60 s, which counts, and
        makes {_patient:.0f} of it: less than serving everybody late. Ask of every metric **what it pays for, and who
        is left out of it**.
        """
    )
    return


@app.cell
def _():
    longest = kit.number_field("ms", 0, 1000, 1)
    kit.exercise(
        """
        **Exercise.** The readers of another service take in **8 tokens/s**. Goodput may be polished by holding
        tokens, but nobody is to wait a moment longer for it. **Up to how many ms after the one before may every
        token be held?**
        """,
        longest,
    )
    return (longest,)


@app.cell
def _(longest):
    def _waits(gap_ms: float) -> float:
        log = deliver(runs.run(runs.poisson(5, window=WINDOW)), f"hold_tokens:gap={gap_ms / 1e3:g}")
        return summary_values(log, user=User(speed=8))["idle_latency_mean"]

    longest_hold = 1000 / 8  # ms
    kit.verdict(
        longest,
        lambda ms: abs(ms - longest_hold) <= 1,
        f"A reader of 8 tokens/s takes one in {longest_hold:g} ms. Held for that long, the mean wait is "
        f"{_waits(longest_hold):.3f} s, as it is without ({_waits(1):.3f} s); held for {longest_hold + 15:g} ms it is "
        f"{_waits(longest_hold + 15):.1f} s, for now each token comes later than its reader.",
        lambda ms: (
            f"Held for {ms:g} ms, readers wait for {_waits(max(ms, 1)):.3f} s on average, and without it for "
            f"{_waits(1):.3f} s. How long does a reader of 8 tokens/s take for one token?"
        ),
    )
    return (longest_hold,)


@app.cell
def _():
    kit.closing(
        "fooled-metrics",
        "Have two groups tune the same server, one for goodput and one for the readers, and let each present its "
        "table. Then swap the tables. `smoothserve demo all` has the same tricks with ten paired runs and a verdict "
        "for each.",
    )
    return


if __name__ == "__main__":
    app.run()
