"""One request: prefill and decode, TTFT, TBT and TPOT, and the reader's buffer."""

# mypy: allow-untyped-defs, allow-incomplete-defs
import marimo

app = marimo.App(app_title="One request", css_file="lesson.css")

with app.setup:
    from experiments.lessons import kit, runs
    from experiments.timeline.plots import plot_gpu
    from experiments.timeline.reader import Reader, plot_reader, progress_of
    from simulator.metrics import summary_values
    from simulator.token_log import TokenLog

    NEIGHBOUR = 2.0  # s: when the other prompt arrives


@app.function
def draw_tokens(gpu, tokens, log: TokenLog) -> None:
    """What the GPU does for one request, and the tokens that come of it."""
    times = log.token_times().times
    until = 1.04 * float(times[-1])
    plot_gpu(gpu, log, 0.0, until)
    gpu.set_title("Prefill (dark) reads the prompt; each decode step (light) gives one token")
    gpu.set_xlabel("")
    tokens.step([0.0, *times, until], [*range(len(times) + 1), len(times)], where="post", color="#0072B2")
    tokens.axvline(times[0], color="#666666", linewidth=1.0, linestyle=(0, (4, 3)))
    late = times[0] > until / 2
    tokens.annotate(
        f"TTFT {times[0]:.2f} s",
        (times[0], 0.96),
        (-6 if late else 6, 0),
        xycoords=tokens.get_xaxis_transform(),
        textcoords="offset points",
        va="top",
        ha="right" if late else "left",
        color="#333333",
    )
    tokens.set_ylim(0, None)
    tokens.set_xlabel("time since submission (s)")
    tokens.set_ylabel("tokens")


@app.function
def two_requests(neighbour: int, answer: int = 300) -> TokenLog:
    """A chat of 500 prompt tokens, and 2 s later a prompt of `neighbour` tokens on the same GPU (none if 0)."""
    other = [(NEIGHBOUR, neighbour, 1)] if neighbour else []
    return runs.run(runs.requests((0.0, 500, answer), *other), "fcfs")


@app.cell
def _():
    kit.opening(
        "one-request",
        """
        You type a question, the answer appears word by word. Behind it, one GPU works in **iterations**. It first
        reads your whole prompt: the **prefill**, which ends with the first token. Then it makes one token per
        iteration: the **decode**. A token is a piece of a word; 100 tokens are about 75 English words.

        Below is one A100 with an 8B model, all for you. Nothing is recorded: each slider runs the simulator again.
        """,
    )
    return


@app.cell
def _():
    grows = kit.options("The wait for the first token", "The time between tokens", "Both, alike")
    kit.question("**Before you move anything:** the prompt gets ten times as long. What grows with it?", grows)
    return (grows,)


@app.cell
def _(grows):
    def _both(prompt: int) -> tuple[float, float]:
        found = summary_values(runs.run(runs.requests((0.0, prompt, 100))))
        return found["ttft_mean"], found["tbt_mean"]

    (_first, _between), (_first_long, _between_long) = _both(800), _both(8000)
    kit.reveal(
        grows,
        "The wait for the first token",
        f"From 800 to 8000 prompt tokens the first token takes {_first:.2f} → {_first_long:.2f} s. A decode step takes "
        f"{1e3 * _between:.1f} → {1e3 * _between_long:.1f} ms: it reads all the weights of the model whatever you "
        "asked, and the longer context is little on top of that.",
    )
    return


@app.cell
def _():
    prompt = kit.slider("prompt (tokens)", [100, 200, 500, 1000, 2000, 4000, 8000, 16000, 32000], 4000)
    answer = kit.slider("answer (tokens)", [10, 20, 50, 100, 200, 400], 50)
    kit.controls(prompt, answer)
    return answer, prompt


@app.cell
def _(answer, prompt):
    _log = runs.run(runs.requests((0.0, prompt.value, answer.value)))
    _found = summary_values(_log)
    kit.together(
        kit.stats(
            TTFT=f"{_found['ttft_mean']:.3f} s",
            TBT=f"{1e3 * _found['tbt_mean']:.1f} ms",
            TPOT=f"{1e3 * _found['tpot_mean']:.1f} ms",
            end_to_end=f"{_found['e2e_mean']:.2f} s",
            speed=f"{1 / _found['tpot_mean']:.0f} tokens/s",
        ),
        kit.picture(
            lambda gpu, tokens: draw_tokens(gpu, tokens, _log),
            f"GPU and tokens of one request with {prompt.value} prompt and {answer.value} answer tokens",
            height=3.4,
            rows=(0.35, 1.0),
            share_x=True,
        ),
    )
    return


@app.cell
def _():
    kit.text(
        """
        Three numbers have names that you will meet everywhere:

        - **TTFT**, time to first token: from submission to the first token. Waiting and prefill.
        - **TBT**, time between tokens: each single gap. A hundred tokens have 99 of them.
        - **TPOT**, time per output token: the mean gap of one answer, (last − first token) / (tokens − 1).

        ## A reader is slow

        People read about 5 tokens a second. The server makes more than 70. So nearly all of the answer lies in a
        **buffer** on the screen, there but not yet read. Now somebody else sends a long prompt to the same GPU,
        2 s after you. While it is prefilled, your tokens stop.
        """
    )
    return


@app.cell
def _():
    notices = kit.options("They wait 3 s", "They wait a moment", "They notice nothing")
    kit.question(
        "A prompt of 30,000 tokens stops your tokens for almost 3 s. **What does a reader of 5 tokens/s notice?**",
        notices,
    )
    return (notices,)


@app.cell
def _(notices):
    _log = two_requests(30_000)
    _found = progress_of(_log, Reader(0))
    _had = int((_found.delivered <= NEIGHBOUR).sum())
    kit.reveal(
        notices,
        "They notice nothing",
        f"When the tokens stop, {_had} have come, and the reader is at the {int(5 * NEIGHBOUR)}th. What lies in the "
        f"buffer lasts for another {_had / 5 - NEIGHBOUR:.0f} s. The largest TBT says that the answer stalled; "
        "TPOT hides it in a mean; the reader decides.",
    )
    return


@app.cell
def _():
    speed = kit.slider("reading speed (tokens/s)", [2, 3, 4, 5, 8, 12, 20, 30, 50, 70], 5)
    neighbour = kit.slider(
        "the neighbour's prompt (tokens)", [0, 5_000, 10_000, 20_000, 30_000, 60_000, 100_000], 30_000
    )
    kit.controls(speed, neighbour)
    return neighbour, speed


@app.cell
def _(neighbour, speed):
    _log = two_requests(neighbour.value)
    _reader = Reader(0, speed.value)
    _read = progress_of(_log, _reader)
    _gaps = _read.delivered[1:] - _read.delivered[:-1]
    kit.together(
        kit.stats(
            largest_TBT=f"{_gaps.max():.2f} s",
            TPOT=f"{1e3 * _gaps.mean():.1f} ms",
            the_reader_waits=f"{max(_read.read[-1] - _read.due[-1], 0):.2f} s",
            tokens_in_the_buffer_at_the_end=f"{len(_read.read) - (_read.read <= _read.delivered[-1]).sum()}",
        ),
        kit.picture(
            lambda ax: plot_reader(ax, _log, _reader, 0.0, max(12.0, float(_read.delivered[-1]) + 1)),
            f"Tokens generated, read at {speed.value} tokens/s and due, over time",
            height=3.6,
        ),
    )
    return


@app.cell
def _():
    stall = kit.number_field("seconds", 0, 100, 0.1)
    kit.exercise(
        """
        **Exercise.** The reader takes 5 tokens/s, and token i is due i/5 s after submission. When the neighbour
        comes, 2 s after submission, everything stops. **How long may the stall last before the reader has to wait?**
        A tenth either way is close enough. You need one number from above: how many tokens had come by then.
        """,
        stall,
    )
    return (stall,)


@app.cell
def _(stall):
    _had = int((two_requests(0).token_times().times <= NEIGHBOUR).sum())
    longest_stall = (_had + 1) / 5 - NEIGHBOUR  # the next token is due then
    kit.verdict(
        stall,
        lambda seconds: abs(seconds - longest_stall) <= 0.1 * longest_stall,
        f"{_had} tokens had come; the next is due at {(_had + 1) / 5:.1f} s, and the stall began at {NEIGHBOUR:g} s. "
        "The buffer forgives a great deal, if the tokens come early enough.",
        "How many tokens have come after 2 s, at more than 70 a second? How long does a reader of 5 tokens/s take "
        "for as many, and how much of that time has passed already?",
    )
    return (longest_stall,)


@app.cell
def _():
    kit.closing(
        "one-request",
        "Ask who would complain about a TBT of 3 s, and who would not. Set the reading speed to 70 (a program, not a "
        "person), then to 3 (someone listening): the same tokens, other users.",
    )
    return


if __name__ == "__main__":
    app.run()
