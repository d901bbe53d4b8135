"""Capacity and cost: which promise, which GPU, and how many of them."""

# mypy: allow-untyped-defs, allow-incomplete-defs
import marimo

app = marimo.App(app_title="Capacity and cost", css_file="lesson.css")

with app.setup:
    from math import ceil

    from experiments.lessons import kit
    from experiments.lessons.promises import (
        CONTENT,
        GPUS,
        POLICIES,
        capacity,
        draw_fleets,
        draw_promise,
        fleet,
        strict,
    )

    FCFS, CHUNKED = POLICIES
    PRICES = {"L40S": 0.9, "A100": 1.8, "H100": 3.0}  # USD a GPU-hour: examples, and the reader's to set
    SITE = 100  # requests/s of the exercise


@app.function
def per_second(rate: float) -> str:
    """A capacity for people."""
    return f"{rate:.2f} requests/s" if rate < 1 else f"{rate:.1f} requests/s"


@app.cell
def _():
    kit.opening(
        "capacity",
        """
        "How many requests a second does this GPU do?" has no answer. It has one for each **promise**: the
        **capacity** is the highest rate at which the promise still holds. The simulator looks for it by bisection:
        serve 90 s of chats at some rate, look whether the promise was kept, go up or down.
        """,
    )
    return


@app.cell
def _():
    strictness = kit.options("About as many", "About half as many", "Almost none")
    kit.question(
        "One A100 with an 8B model, first come, first served (**fcfs**). Let the promise be a **mean QoE of 0.9**, "
        "which says that readers are content. Now another promise: **90 % of the requests have the first token within "
        "1 s and no gap above 100 ms**. **How many requests a second are left?**",
        strictness,
    )
    return (strictness,)


@app.cell
def _(strictness):
    def _because() -> str:
        content, narrow = (capacity("A100", FCFS, promise) for promise in (CONTENT, strict()))
        chunked = capacity("A100", CHUNKED, strict())
        return (
            f"{per_second(content)} keep the first promise, {per_second(narrow)} the second. A reader of 5 tokens/s "
            "does not notice a gap of 100 ms, but each prefill of somebody else causes one. Another scheduler mends "
            "that: with **chunked prefill**, 512 tokens an iteration, it is "
            f"{per_second(chunked)} under the strict one."
        )

    kit.reveal(strictness, "Almost none", _because)
    return


@app.cell
def _():
    bound = kit.slider("no gap above … (ms)", [25, 50, 75, 100, 150, 200, 300, 500, 1000], 200)
    share = kit.slider("for … of the requests (%)", [50, 75, 90, 95, 99], 90)
    kit.controls(bound, share)
    return bound, share


@app.cell
def _(bound, share):
    _promise = strict(bound.value / 1e3, share.value / 100)
    kit.together(
        kit.stats(
            fcfs=per_second(capacity("A100", FCFS, _promise)),
            chunked_prefill=per_second(capacity("A100", CHUNKED, _promise)),
        ),
        kit.picture(
            lambda ax: draw_promise(ax, "A100", _promise, "requests that keep\nthe promise (%)"),
            f"Share of requests without a gap above {bound.value} ms by load, for fcfs and chunked prefill",
            height=3.2,
        ),
    )
    return


@app.cell
def _():
    kit.text(
        """
        Each mark is a run of the simulator; the crosses are the capacities. A scheduler is worth as much as hardware,
        under one promise and not under another: a lax bound lets fcfs come back, and at 25 ms no chunk is small
        enough. A rate at which the queue grows and grows counts as broken, whatever the metric says.

        ## Which GPU, and how many

        A service is a number of GPUs that share the requests, each of them below its capacity. Chunked prefill from
        now on, and the promise of the two sliders above. The prices are examples: set your own.
        """
    )
    return


@app.cell
def _():
    cheaper = kit.options("The A100s", "The H100s", "Both cost the same")
    kit.question(
        f"An A100 costs {PRICES['A100']:.2f} USD an hour, an H100 {PRICES['H100']:.2f}, "
        f"{PRICES['H100'] / PRICES['A100']:.1f} times as much. **With which does a large service get its tokens "
        "cheaper**, if no gap may be above 100 ms for 90 %?",
        cheaper,
    )
    return (cheaper,)


@app.cell
def _(cheaper):
    def _because() -> str:
        a100, h100 = (capacity(gpu, CHUNKED, strict()) for gpu in ("A100", "H100"))
        tight = [capacity(gpu, CHUNKED, strict(0.05)) for gpu in ("A100", "H100")]
        return (
            f"An H100 serves {h100:.1f} requests/s where an A100 serves {a100:.1f}: {h100 / a100:.1f} times as many. "
            f"The stricter the promise, the more a fast GPU is worth: with 50 ms it is {tight[1]:.1f} against "
            f"{tight[0]:.1f}, {tight[1] / tight[0]:.1f} times. "
            "Yet GPUs come in whole numbers, and a small service may not fill one of the large ones."
        )

    kit.reveal(cheaper, "The H100s", _because)
    return


@app.cell
def _():
    demand = kit.slider("demand (requests/s)", [1, 2, 5, 10, 20, 50, 100, 200, 500], 20)
    l40s, a100, h100 = (
        kit.slider(f"{gpu} (USD an hour)", [round(0.3 + 0.3 * i, 1) for i in range(20)], price)
        for gpu, price in PRICES.items()
    )
    kit.controls(demand, l40s, a100, h100)
    return a100, demand, h100, l40s


@app.cell
def _(a100, bound, demand, h100, l40s, share):
    _promise = strict(bound.value / 1e3, share.value / 100)
    _prices = dict(zip(GPUS, (l40s.value, a100.value, h100.value), strict=True))
    _fleets = {gpu: fleet(gpu, CHUNKED, _promise, demand.value, price) for gpu, price in _prices.items()}
    kit.together(
        kit.stats(
            **{
                f"{gpu}s_at_{capacity(gpu, CHUNKED, _promise):.1f}_requests/s": (
                    "none will do" if found is None else f"{found.gpus} for {found.per_hour:.1f} USD/h"
                )
                for gpu, found in _fleets.items()
            }
        ),
        kit.picture(
            lambda number, cost: draw_fleets(number, cost, _fleets),
            f"How many L40S, A100 and H100 serve {demand.value} requests/s, and what a million tokens cost",
            height=2.3,
            columns=(1, 1),
        ),
    )
    return


@app.cell
def _():
    number = kit.number_field("A100s", 0, 1000, 1)
    kit.exercise(
        f"""
        **Exercise.** Your service has {SITE} requests/s at its busiest. The promise is the first token within 1 s and
        no gap above 100 ms, for 90 % of the requests, with chunked prefill. **How many A100s do you rent, if the
        promise is to hold while any one of them is broken?**
        """,
        number,
    )
    return (number,)


@app.cell
def _(number):
    _each = capacity("A100", CHUNKED, strict())
    num_rented = ceil(SITE / _each) + 1
    kit.verdict(
        number,
        lambda count: count == num_rented,
        f"Each keeps the promise for up to {_each:.2f} requests/s, so {SITE} take {num_rented - 1}, and one may fail.",
        lambda count: (
            "That keeps the promise as long as nothing breaks. And when one does?"
            if count == num_rented - 1
            else "Set the two promises' sliders to 100 ms and 90 %, and read the capacity of an A100 with chunked "
            "prefill. How many times does it go into the demand, rounded up? And what if one is broken?"
        ),
    )
    return (num_rented,)


@app.cell
def _():
    kit.closing(
        "capacity",
        "Let the group first agree on a promise, then on a price that they would pay for it: most want to loosen the "
        "promise once they see the bill. These are runs of one seed; `smoothserve capacity` gives the same numbers "
        "with intervals over seeds, for any profile, condition and price.",
    )
    return


if __name__ == "__main__":
    app.run()
