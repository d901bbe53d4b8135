"""Overload and queues: utilisation, Little's law, and what a measurement under overload is worth."""

# mypy: allow-untyped-defs, allow-incomplete-defs
import marimo

app = marimo.App(app_title="Overload and queues", css_file="lesson.css")

with app.setup:
    import math

    import numpy as np

    from experiments.lessons import counter, kit, runs
    from experiments.timeline.levels import waiting_level
    from simulator import TokenLog
    from simulator.metrics import summary_values

    SEATS = 64
    WINDOWS = (30, 60, 120, 240, 480)  # s
    BLUE, RED, GREY = "#0072B2", "#D55E00", "#666666"


@app.function
def draw_counter(curve, queue, utilisation: float) -> None:
    """The closed form with the simulated wait on it, and how many are at the counter for 200 s of a run."""
    at = np.linspace(0, 0.96, 200)
    found = counter.simulated_wait(utilisation)
    curve.plot(100 * at, [counter.exact_wait(rho) for rho in at], color="#222222", label="closed form, M/D/1")
    curve.errorbar(
        100 * utilisation,
        found.mean,
        found.half_width,
        color=RED,
        marker="o",
        markersize=9,
        markeredgecolor="white",
        capsize=4,
        zorder=5,
        label="simulated, 95 %",
    )
    curve.set_xlim(0, 100)
    curve.set_ylim(0, 12)
    curve.set_xlabel("utilisation (%)")
    curve.set_ylabel("mean wait (service times)")
    curve.legend(loc="upper left")
    log = counter.serve(utilisation, 0)
    start = float(log.arrival[counter.NUM_REQUESTS // 2])
    times = np.arange(start, start + 200, 0.1)
    number = np.searchsorted(log.arrival, times, side="right") - np.searchsorted(log.end, times, side="right")
    queue.fill_between(times - start, number, step="post", color=BLUE, alpha=0.35, linewidth=0)
    queue.step(times - start, number, where="post", color=BLUE, linewidth=1.0)
    queue.set_xlim(0, 200)
    queue.set_ylim(0, max(8, 1.1 * number.max()))
    queue.set_xlabel("time (service times)")
    queue.set_ylabel("at the counter")


@app.function
def chats(rate: float, window: float = 60.0) -> TokenLog:
    """Chats for `window` seconds at `rate` requests/s, on a server of 64 seats that goes on until all are done."""
    return runs.run(runs.poisson(rate, window=window, seed=3), max_num_seqs=SEATS)


@app.function
def little(log: TokenLog) -> tuple[float, float, float, float]:
    """Arrival rate, mean time in the system, their product, and the mean number that the engine itself counted."""
    span = float(log.end.max() - log.arrival[0])
    rate, stay = log.num_requests / span, float((log.end - log.arrival).mean())
    return rate, stay, rate * stay, log.counters["number_in_system_integral"] / span


@app.function
def draw_little(ax, log: TokenLog) -> None:
    """Arrivals and departures, counted; between them lie those who are in the system."""
    start, end, ends = float(log.arrival[0]), float(log.end.max()), np.sort(log.end)
    times = np.unique(np.concatenate((log.arrival, ends)))
    came, left = (np.searchsorted(events, times, side="right") for events in (log.arrival, ends))
    ax.fill_between(times - start, left, came, step="post", color=BLUE, alpha=0.2, linewidth=0, label="in the system")
    ax.step(times - start, came, where="post", color=BLUE, label="came")
    ax.step(times - start, left, where="post", color="#E69F00", label="left")
    ax.set_xlim(0, end - start)
    ax.set_ylim(0, None)
    ax.set_xlabel("time (s)")
    ax.set_ylabel("requests, counted")
    ax.legend(loc="upper left")


@app.function
def capacity() -> float:
    """Requests/s that the server completes with everybody there from the start, without the last ones' tail."""
    log = runs.run(runs.poisson(math.inf, num_requests=1500), max_num_seqs=SEATS)
    return 1200 / float(np.sort(log.end)[1199])


@app.function
def under_load(load: float, window: float) -> TokenLog:
    """The log of chats for `window` seconds, at `load` times what the server can do."""
    return chats(round(load * capacity(), 3), window)


@app.function
def draw_overload(backlog, first, load: float, window: float) -> None:
    """Who waits over time, and the mean time to first token by the length of the measurement."""
    times, values = waiting_level(under_load(load, window))
    backlog.fill_between(times, values, step="post", color=BLUE, alpha=0.35, linewidth=0)
    backlog.step(times, values, where="post", color=BLUE, linewidth=1.0)
    backlog.set_xlim(0, None)
    backlog.set_ylim(0, max(10, 1.3 * values.max()))
    backlog.axvline(window, color=GREY, linewidth=1.0, linestyle=(0, (4, 3)))
    backlog.text(0.98 * window, 0.97 * backlog.get_ylim()[1], "arrivals end", va="top", ha="right", color=GREY)
    backlog.set_xlabel("time (s)")
    backlog.set_ylabel("requests waiting")
    waits = [summary_values(under_load(load, each))["ttft_mean"] for each in WINDOWS]
    bars = first.bar(range(len(WINDOWS)), waits, width=0.6, color=[RED if w == window else "#bdbdbd" for w in WINDOWS])
    first.bar_label(bars, [f"{w:.1f}" if w < 10 else f"{w:.0f}" for w in waits], padding=3, color="#333333")
    first.set_xticks(range(len(WINDOWS)), [f"{w}" for w in WINDOWS])
    first.set_ylim(0, max(1.0, 1.2 * max(waits)))
    first.grid(visible=False, axis="x")
    first.set_xlabel("length of the measurement (s)")
    first.set_ylabel("mean TTFT (s)")


@app.cell
def _():
    kit.opening(
        "queues",
        """
        A server that is busy half of the time sounds wasteful. Why not 95 %? Because requests come at random, and
        what comes together has to wait together.

        Start with the simplest server there is: a counter. It serves **one at a time, and everyone takes 1 s**. The
        simulator can be set to be just that: one seat, answers of one token, an iteration of 1 s. Requests come at
        random (Poisson). **Utilisation** is the share of time in which the counter is busy.
        """,
    )
    return


@app.cell
def _():
    worse = kit.options("It nearly doubles", "It grows ninefold", "It stays, for below 100 % there is room")
    kit.question("Utilisation goes from 50 % to 90 %. **What does the mean wait do?**", worse)
    return (worse,)


@app.cell
def _(worse):
    def _because() -> str:
        half, most = counter.simulated_wait(0.5), counter.simulated_wait(0.9)
        return (
            f"The simulator: {half.mean:.2f} ± {half.half_width:.2f} → {most.mean:.1f} ± {most.half_width:.1f} s. "
            "Theory, without a simulation: ρ / (2·(1 − ρ)), so "
            f"{counter.exact_wait(0.5):.3g} → {counter.exact_wait(0.9):.3g} s. "
            "All the trouble is in 1 − ρ, what is left of the server: it shrinks to a fifth."
        )

    kit.reveal(worse, "It grows ninefold", _because)
    return


@app.cell
def _():
    utilisation = kit.slider("utilisation (%)", [10, 20, 30, 40, 50, 60, 70, 80, 85, 90, 95], 60)
    kit.controls(utilisation)
    return (utilisation,)


@app.cell
def _(utilisation):
    _rho = utilisation.value / 100
    _found = counter.simulated_wait(_rho)
    kit.together(
        kit.stats(
            simulated_wait=f"{_found.mean:.2f} s",
            give_or_take=f"± {_found.half_width:.2f} s",
            closed_form=f"{counter.exact_wait(_rho):.2f} s",
            counter_idle=f"{100 - utilisation.value} %",
        ),
        kit.picture(
            lambda curve, queue: draw_counter(curve, queue, _rho),
            f"Mean wait by utilisation, closed form and simulation; number at the counter at {utilisation.value} %",
            height=3.4,
            columns=(1, 1.2),
        ),
    )
    return


@app.cell
def _():
    kit.text(
        f"""
        The simulated mean comes from {counter.NUM_SEEDS} runs of {counter.NUM_REQUESTS} requests, and its 95 %
        interval grows with utilisation, too: near 100 % one unlucky hour decides. One such interval in twenty misses
        the truth; can you find one? That a simulator agrees with a closed form where there is one is the reason to
        believe it where there is none.

        ## Little's law

        For the real server there is no such formula. But one law holds for everything in which things come, stay and
        leave: **mean number inside = arrival rate × mean time inside**. Below are chats for one minute on an A100 with
        {SEATS} seats. The blue line counts who came, the orange one who left; the area between them is what everybody
        spent inside, added up row by row (one row a request) or column by column (one column a moment).
        """
    )
    return


@app.cell
def _():
    rate = kit.slider("arrival rate (requests/s)", [0.5, 1, 2, 3, 4, 5, 6, 8], 3)
    kit.controls(rate)
    return (rate,)


@app.cell
def _(rate):
    _log = chats(rate.value)
    _rate, _stay, _product, _counted = little(_log)
    kit.together(
        kit.stats(
            came=f"{_rate:.3f} /s",
            time_inside=f"{_stay:.3f} s",
            product=f"{_product:.3f}",
            inside_as_the_engine_counts=f"{_counted:.3f}",
        ),
        kit.picture(
            lambda ax: draw_little(ax, _log),
            f"Requests that came and left over time, at {rate.value} requests/s",
            height=3.2,
        ),
    )
    return


@app.cell
def _():
    kit.text(
        """
        The product is computed from the log of the requests; the last number is added up by the engine as time passes,
        without looking at any request's stay. They agree, up to rounding, in every run: this is how one notices
        a simulator, or a measurement, that loses requests.

        ## Over the top

        **Load** is the arrival rate over the **capacity**: what the server completes if everybody is there from the
        start. Above 1, more come than leave.
        """
    )
    return


@app.cell
def _():
    longer = kit.options("It stays as it is", "It becomes a little more exact", "It grows with the measurement")
    kit.question(
        "At a load of 1.2 you measure the mean TTFT for two minutes. Your colleague measures for eight. "
        "**How does the result differ?**",
        longer,
    )
    return (longer,)


@app.cell
def _(longer):
    def _because() -> str:
        short, long = (summary_values(under_load(1.2, seconds))["ttft_mean"] for seconds in (120, 480))
        return (
            f"{short:.1f} s and {long:.1f} s. The backlog grows as long as requests come, so the mean says how long "
            "you measured. A latency under overload is no property of the server; whoever prints one must print the "
            "length of the measurement beside it."
        )

    kit.reveal(longer, "It grows with the measurement", _because)
    return


@app.cell
def _():
    load = kit.slider("load (arrival rate / capacity)", [0.5, 0.7, 0.8, 0.9, 1.0, 1.1, 1.2, 1.4], 1.2)
    window = kit.slider("length of the measurement (s)", WINDOWS, 120)
    kit.controls(load, window)
    return load, window


@app.cell
def _(load, window):
    _log = under_load(load.value, window.value)
    _found = summary_values(_log)
    kit.together(
        kit.stats(
            capacity=f"{capacity():.2f} /s",
            arrivals=f"{load.value * capacity():.2f} /s",
            mean_TTFT=f"{_found['ttft_mean']:.2f} s",
            most_waiting=f"{_log.waiting_over_time()[1].max()}",
            busy_after_closing=f"{_found['span'] - window.value:.0f} s",
        ),
        kit.picture(
            lambda backlog, first: draw_overload(backlog, first, load.value, window.value),
            f"Requests waiting over time, and mean TTFT by length of the measurement, at a load of {load.value}",
            height=3.3,
            columns=(1.25, 1),
        ),
    )
    return


@app.cell
def _():
    highest = kit.number_field("utilisation in %", 1, 99)
    kit.exercise(
        """
        **Exercise.** You run the counter of the first picture, and promised that the mean wait is no longer than **two
        service times**. **To what utilisation may you sell it, in %?** Two per cent either way is close enough. The
        formula ρ / (2·(1 − ρ)) can be solved by hand, or the slider can be asked.
        """,
        highest,
    )
    return (highest,)


@app.cell
def _(highest):
    highest_utilisation = 100 * (2 * 2) / (1 + 2 * 2)  # w = ρ / (2·(1 − ρ)), so ρ = 2w / (1 + 2w)

    def _right() -> str:
        found = counter.simulated_wait(highest_utilisation / 100)
        return (
            f"ρ = 2w / (1 + 2w) with w = 2: {highest_utilisation:.0f} %. The simulator has {found.mean:.2f} ± "
            f"{found.half_width:.2f} service times there. The last fifth of the server cannot be sold at that promise."
        )

    kit.verdict(
        highest,
        lambda percent: abs(percent - highest_utilisation) <= 2,
        _right,
        lambda percent: (
            f"At {percent:g} % the mean wait is {counter.exact_wait(percent / 100):.2f} service times: "
            f"{'too long.' if percent > highest_utilisation else 'there is still room.'}"
        ),
    )
    return (highest_utilisation,)


@app.cell
def _():
    kit.closing(
        "queues",
        "Have everyone draw the curve of waiting against utilisation before the first picture is shown; most draw a "
        "straight line. For Little's law, ask for the number of people in the cafeteria, given who enters a minute and "
        "how long they stay. For the overload, find a paper that reports a latency beyond saturation.",
    )
    return


if __name__ == "__main__":
    app.run()
