"""The two basic schedulers once more, token by token: lists and loops, whole ticks, nothing of the simulator.

Written from the papers' description (Orca, vLLM §4.3 and §4.5; Sarathi-Serve §4) and the project's rules of them. Time
is counted in ticks, whole numbers, so there is nothing to round. What an iteration takes depends on all that it does.
"""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Rules:
    """What a server allows, and what each part of an iteration takes."""

    max_num_seqs: int
    max_num_batched_tokens: int
    num_blocks: int
    block_size: int
    watermark_blocks: int
    token_budget: int
    base: int
    per_token: int
    per_cached: int
    per_request: int
    """Ticks: of every iteration, a token that is computed, a token that a decode reads, and a request."""


@dataclass
class Job:
    """A request: what it asks, what of it is in the cache, and the ticks at which its tokens came."""

    id: int
    arrival: int
    prompt: int
    output: int
    cached: int = 0
    prefilled: bool = False
    times: list[int] = field(default_factory=list)
    preempted: bool = False

    def known(self) -> int:
        return self.prompt + len(self.times)


class NaiveServer:
    """Iterations one after the other; a scheduler says in `next_batch` who is in each."""

    def __init__(self, rules: Rules, jobs: list[Job]) -> None:
        self.rules = rules
        self.now = 0
        self.to_come = list(jobs)
        self.waiting: list[Job] = []
        self.running: list[Job] = []
        self.events: list[tuple[int, int, str]] = []
        self.waited_for_blocks = False

    def run(self) -> None:
        while self.to_come or self.waiting or self.running:
            if not (self.waiting or self.running):
                self.now = max(self.now, self.to_come[0].arrival)
            while self.to_come and self.to_come[0].arrival <= self.now:
                self.waiting.append(self.to_come.pop(0))
            chunks, decodes = self.next_batch()
            if chunks or decodes:
                self.iterate(chunks, decodes)

    def next_batch(self) -> tuple[list[tuple[Job, int]], list[Job]]:
        raise NotImplementedError

    def iterate(self, chunks: list[tuple[Job, int]], decodes: list[Job]) -> None:
        rules = self.rules
        self.now += rules.base
        for _, tokens in chunks:
            self.now += rules.per_token * tokens + rules.per_request
        for job in decodes:
            self.now += rules.per_token + rules.per_cached * (job.cached + 1) + rules.per_request
        for job in decodes:
            job.cached += 1
            job.times.append(self.now)
        for job, tokens in chunks:
            job.cached += tokens
            if job.cached == job.known():
                job.prefilled = True
                job.times.append(self.now)
        assert self.free() >= 0
        self.running = [job for job in self.running if len(job.times) < job.output]

    def blocks(self, tokens: int) -> int:
        full, rest = divmod(tokens, self.rules.block_size)
        return full + 1 if rest else full

    def free(self) -> int:
        free = self.rules.num_blocks
        for job in self.running:
            free -= self.blocks(job.cached)
        return free

    def decoding(self) -> list[Job]:
        return [job for job in self.running if job.prefilled]

    def new_blocks(self, decodes: list[Job]) -> int:
        new = 0
        for job in decodes:
            new += self.blocks(job.cached + 1) - self.blocks(job.cached)
        return new

    def admit(self, job: Job) -> None:
        self.waiting.remove(job)
        self.running.append(job)
        self.events.append((self.now, job.id, "resume" if job.preempted else "admit"))

    def make_room(self) -> bool:
        """Preempt the latest arrivals until all others can decode; whether that took any."""
        victims = 0
        while self.new_blocks(self.decoding()) > self.free():
            victim = self.victim()
            self.running.remove(victim)
            victim.cached, victim.prefilled, victim.preempted = 0, False, True
            self.waiting.insert(0, victim)
            self.events.append((self.now, victim.id, "preempt"))
            victims += 1
        return victims > 0

    def victim(self) -> Job:
        latest = self.running[0]
        for job in self.running:
            if (job.arrival, job.id) > (latest.arrival, latest.id):
                latest = job
        return latest

    def first_of_queue(self) -> Job:
        return self.waiting[0]

    def reserve(self) -> int:
        return self.rules.watermark_blocks


class NaiveFcfs(NaiveServer):
    """Whole prompts by themselves if the first in the queue fits, else all decode."""

    def next_batch(self) -> tuple[list[tuple[Job, int]], list[Job]]:
        chunks: list[tuple[Job, int]] = []
        tokens, free = 0, self.free() - self.reserve()
        while self.waiting and len(self.running) < self.rules.max_num_seqs:
            job = self.first_of_queue()
            if self.blocks(job.known()) > free:
                self.waited_for_blocks = True
                break
            if chunks and tokens + job.known() > self.rules.max_num_batched_tokens:
                break
            free -= self.blocks(job.known())
            tokens += job.known()
            chunks.append((job, job.known()))
            self.admit(job)
        if chunks:
            return chunks, []
        self.make_room()
        return [], self.decoding()


class NaiveChunkedPrefill(NaiveServer):
    """All decode, then whoever is partly prefilled goes on, then new ones, until the tokens are spent."""

    def next_batch(self) -> tuple[list[tuple[Job, int]], list[Job]]:
        if self.make_room():
            return [], self.decoding()
        decodes = self.decoding()
        left = min(self.rules.token_budget, self.rules.max_num_batched_tokens) - len(decodes)
        free = self.free() - self.new_blocks(decodes)
        chunks: list[tuple[Job, int]] = []
        for job in self.running:
            if job.prefilled:
                continue
            tokens = 0
            while tokens < left and job.cached + tokens < job.known():
                new = self.blocks(job.cached + tokens + 1) - self.blocks(job.cached + tokens)
                if new > free:
                    break
                free -= new
                tokens += 1
            if tokens == 0:
                return chunks, decodes
            chunks.append((job, tokens))
            left -= tokens
        free -= self.reserve()
        while self.waiting and left > 0 and len(self.running) < self.rules.max_num_seqs:
            job = self.first_of_queue()
            if self.blocks(job.known()) > free:
                self.waited_for_blocks = True
                break
            free -= self.blocks(job.known())
            tokens = min(job.known(), left)
            left -= tokens
            chunks.append((job, tokens))
            self.admit(job)
        return chunks, decodes
