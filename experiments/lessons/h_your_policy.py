"""Your own policy: typed into the page, checked, and raced against the others.

What is typed runs on the machine of whoever typed it, with their rights: the lessons are served to that machine alone.
"""

# mypy: allow-untyped-defs, allow-incomplete-defs
import marimo

app = marimo.App(app_title="Your own policy", css_file="lesson.css")

with app.setup:
    from html import escape

    import marimo as mo
    import numpy as np

    from experiments.lessons import kit
    from experiments.lessons.race import (
        AGEING,
        MEAN_SHARE,
        OTHERS,
        RATE,
        SHORTEST,
        TAIL_SHARE,
        YOURS,
        draw_waits,
        reaches_target,
        result,
        result_of_text,
        shares,
        table,
    )
    from experiments.lessons.typed_policy import run_typed


@app.cell
def _():
    kit.opening(
        "your-policy",
        """
        A scheduler is a small thing. At each iteration it is shown who waits and who runs, and says whose prompt is
        prefilled next and who decodes. It is not shown how long an answer will be: nobody knows that. All else, the
        batches, the cache, the time that passes, is the simulator's.
        """,
    )
    return


@app.cell
def _():
    order = kit.options("In order of arrival", "The latest first", "The shortest prompt first", "The longest first")
    kit.question(
        f"For two minutes, {RATE:g} chats a second come to a GPU: more than it can take for long. Whoever is in the "
        "queue waits for the first token. **In which order is the mean wait the shortest?**",
        order,
    )
    return (order,)


@app.cell
def _(order):
    def _orders() -> mo.Html:
        ranks = {
            "in order of arrival": "request.arrival",
            "the latest first": "-request.arrival",
            "the shortest prompt first": "request.prompt_length",
            "the longest first": "-request.prompt_length",
        }
        found = {
            name: result_of_text(SHORTEST.replace("return request.prompt_length", f"return {rank}")).values
            for name, rank in ranks.items()
        }
        return kit.text(table(found))

    kit.reveal(
        order,
        "The shortest prompt first",
        "A short prompt that goes first delays the others by little, and waits for little itself. But look at the P99: "
        "one in a hundred waits much longer than in order of arrival. Whoever has a long prompt is overtaken by all.",
        _orders,
    )
    return


@app.cell
def _():
    load = kit.slider("load (requests/s)", [7, 8, 9, 9.5, 10, 10.5, 11, 12], 9)
    kit.controls(load)
    return (load,)


@app.cell
def _(load):
    _fcfs, _short = result("fcfs", load.value), result_of_text(SHORTEST, load.value)
    _chunked = result("chunked_prefill", load.value)
    kit.together(
        kit.stats(
            **{
                "mean TTFT, fcfs": f"{_fcfs.values['ttft_mean']:.2f} s",
                "mean TTFT, shortest first": f"{_short.values['ttft_mean']:.2f} s",
                "P99 TTFT, fcfs": f"{_fcfs.values['ttft_p99']:.1f} s",
                "P99 TTFT, shortest first": f"{_short.values['ttft_p99']:.1f} s",
            }
        ),
        kit.picture(
            lambda ax: draw_waits(
                ax,
                {"fcfs": _fcfs.ttft, "chunked_prefill": _chunked.ttft, "shortest prompt first": _short.ttft},
            ),
            f"Share of requests that wait longer than so many seconds, at {load.value} requests/s, for three policies",
            height=3.2,
        ),
    )
    return


@app.cell
def _():
    kit.text(
        f"""
        ## Write one

        Below is shortest prompt first, as a whole policy. `PrefillFirst` does what fcfs does, in the order of `rank`:
        change what it returns, and press *Run*. The policy is checked first, on small cases: plans that cannot be,
        plans that change something, and plans that depend on what nobody can know are refused. Then it serves the
        same {RATE:g} requests/s as {", ".join(OTHERS)}.
        """
    )
    return


@app.cell
def _():
    editor = mo.ui.code_editor(value=SHORTEST, language="python", min_height=210).form(
        submit_button_label="Run", bordered=False
    )
    kit.exercise(
        f"""
        **Exercise.** Make the mean TTFT at most **{100 * MEAN_SHARE:.0f} %** of that of fcfs. But forget nobody: the
        P99 TTFT may be at most **{TAIL_SHARE:g} times** that of fcfs. What is there fails in the second part. *Hint:*
        let the rank depend on the prompt and on the arrival.
        """,
        editor,
    )
    return (editor,)


@app.cell
def _(editor):
    typed = None if editor.value is None else run_typed(editor.value, RATE)
    return (typed,)


@app.cell
def _(editor, typed):
    ageing = AGEING  # a text that reaches the target

    def _judge() -> mo.Html:
        if typed is None:
            return kit.text("*Press Run, and it is checked and raced.*")
        if typed.mistake is not None:
            return kit.verdict(editor, lambda _: False, "", escape(typed.mistake))
        mean, tail = shares(typed.values)
        found = f"The mean TTFT is {100 * mean:.0f} % of that of fcfs, the P99 {tail:.1f} times that of fcfs."
        return kit.verdict(
            editor,
            lambda _: reaches_target(typed.values),
            f"{found} The mean QoE is {typed.values['qoe_mean']:.2f}. With the shortest prompt first it is "
            f"{result_of_text(SHORTEST).values['qoe_mean']:.2f}, and one in a hundred forgotten.",
            f"{found} Whose wait is too long, that of the many or that of the few?",
        )

    _judge()
    return (ageing,)


@app.cell
def _(typed):
    _others = {name: result(name) for name in OTHERS}
    _waits = {name: found.ttft for name, found in _others.items()}
    _values = {name: found.values for name, found in _others.items()}
    if typed is not None and typed.mistake is None:
        _waits[YOURS], _values[YOURS] = np.array(typed.ttft), typed.values
    _parts = [
        kit.text(table(_values)),
        kit.picture(
            lambda ax: draw_waits(ax, _waits),
            f"Share of requests that wait longer than so many seconds, for {', '.join(_waits)}",
            height=3.4,
        ),
    ]
    if typed is not None and typed.printed:
        _parts.append(kit.text(f"It printed:\n\n```\n{typed.printed}\n```"))
    kit.together(*_parts)
    return


@app.cell
def _():
    kit.text(
        """
        Further: extend `SchedulerPolicy` and write `plan(self, view)` yourself. `view.waiting` and `view.running` are
        the requests by id, `view.kv` the cache; the answer is a `StepPlan(prefill={id: tokens}, decode=ALL)`. The page
        on policies shows a whole one, and how it becomes a contender of `smoothserve compare`.
        """
    )
    return


@app.cell
def _():
    kit.closing(
        "your-policy",
        "Collect the solutions of the group, register them as the page on policies says, and let `smoothserve compare` "
        "race them at several loads with ten seeds: which of the differences remain, and is the best one at this load "
        "the best at another?",
    )
    return


if __name__ == "__main__":
    app.run()
