"""Scheduler of the chat engine: who prefills or decodes how many tokens in the next step.

Pure bookkeeping in integers, no model: ``plan()`` says what to run, ``apply()`` takes what came
out. Rules, in order:

* every running generation decodes one token per step, all in one batch;
* what is left of the batch prefills prompts, FINAL first, and of these the one with the shortest
  rest, but with half of it the one that came first; while others decode, at most
  ``prefill_chunk`` tokens, so that a long prompt never stalls them;
* a prompt starts from the longest prefix that any sequence holds. A call keeps its sequence
  between turns; the prefix shared by many calls (the system prompt) is prefilled once in a
  sequence of its own, and the requests that need it wait for it;
* a request is admitted only when all cells it may need are free or held by idle sequences, so an
  admitted request always finishes. Idle sequences give way in least-recently-used order, but the
  shared prefix used last (older ones may tell another day's date) after all others;
* a request that finds no room is overtaken by those of its priority that do, but not for ever;
* when a FINAL request finds no room, running speculation is dropped, the newest first, if that can
  make it; when the waiting list is full, waiting speculation is dropped first, else the newcomer.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from gateway.engines.llama_kv import KvMirror, common_prefix
from gateway.engines.llama_steps import FINAL, Closed, Counters, Row, SlotRequest, Step

_PREFIX_REQUEST = -1
_MOST_OVERTAKING = 8
"""Requests that may go before one that finds no room: enough not to stop the others with it, and
few enough that it goes soon after the replies that are running."""
_MOST_STUCK = 2
"""Requests without room that others may pass: each is tried again in every step, which costs."""


@dataclass(slots=True)
class _Job:
    request: SlotRequest
    priority: int
    prompt: tuple[int, ...]
    generated: int = 0
    next_token: int | None = None
    prefix_tried: bool = False
    overtaken: int = 0

    @property
    def order(self) -> tuple[int, int]:
        return (self.priority, self.request.id)

    @property
    def most_tokens(self) -> int:
        """Cells the job holds at the very end; the last sampled token is never decoded."""
        return len(self.prompt) + max(self.request.max_tokens - 1, 0)


@dataclass(slots=True)
class _Slot:
    """One sequence: running while it has a job, idle (kept for reuse) otherwise."""

    sequence: int
    call_id: str | None  # None: a shared prefix
    last_used: int
    job: _Job | None = None
    keep: bool = True

    @property
    def guess(self) -> _Job | None:
        """The running job, if it gives way to a FINAL one."""
        job = self.job
        return job if job and job.priority > FINAL and self.call_id is not None else None


@dataclass(slots=True)
class SlotScheduler:
    """Plans steps over one unified KV cache. Not thread-safe: one owner calls it.

    Args:
        cells: KV cache size in tokens.
        sequences: number of sequence ids.
        batch: most rows in one step, >= sequences.
        prefill_chunk: most prefill rows in a step that also decodes, >= 1.
        max_waiting: bound of the waiting list.
    """

    cells: int
    sequences: int
    batch: int
    prefill_chunk: int
    max_waiting: int
    counters: Counters = field(default_factory=Counters)
    _kv: KvMirror = field(init=False)
    _slots: dict[int, _Slot] = field(default_factory=dict, init=False)
    _waiting: dict[int, _Job] = field(default_factory=dict, init=False)
    _closed: list[Closed] = field(default_factory=list, init=False)
    _planned: tuple[Row, ...] = field(default=(), init=False)
    _now: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        if self.batch < self.sequences or self.prefill_chunk < 1:
            raise ValueError(
                f"expected batch >= sequences and prefill_chunk >= 1, got batch {self.batch}, "
                f"sequences {self.sequences}, prefill_chunk {self.prefill_chunk}"
            )
        self._kv = KvMirror(self.cells, self.sequences)

    # ------------------------------------------------------------------ requests

    @property
    def running(self) -> int:
        """Sequences that prefill or decode now."""
        return sum(slot.job is not None for slot in self._slots.values())

    @property
    def waiting(self) -> int:
        """Requests not yet admitted."""
        return len(self._waiting)

    @property
    def oldest_waiting(self) -> int | None:
        """Id of the FINAL request that has waited longest, None when none waits."""
        final = [job.request.id for job in self._waiting.values() if job.priority == FINAL]
        return min(final, default=None)

    def submit(self, request: SlotRequest) -> None:
        """Put a request on the waiting list, or drop one when the list is full.

        Raises:
            ValueError: the request could never be admitted.
        """
        job = _Job(request, request.priority, request.prompt)
        if not request.prompt or job.most_tokens > self.cells:
            raise ValueError(f"expected 1..{self.cells} tokens, got {job.most_tokens}")
        self._waiting[request.id] = job
        if len(self._waiting) > self.max_waiting:
            speculative = [j for j in self._waiting.values() if j.priority > FINAL]
            # The oldest speculation is the likeliest to be outdated; a FINAL newcomer to a list
            # of FINAL requests is refused rather than pushing out one that has waited.
            victim = min(speculative, key=lambda j: j.request.id) if speculative else job
            del self._waiting[victim.request.id]
            self._drop(victim)

    def cancel(self, request_id: int) -> None:
        """Stop a request; it takes no part in the next step. Unknown ids are fine."""
        self._waiting.pop(request_id, None)
        for slot in list(self._slots.values()):
            if slot.job is not None and slot.job.request.id == request_id:
                self._release(slot)

    def promote(self, call_id: str) -> None:
        """Make the call's speculative requests FINAL: its turn is over."""
        running = (slot.job for slot in self._slots.values())
        for job in (*running, *self._waiting.values()):
            if job is not None and job.request.call_id == call_id:
                job.priority = FINAL

    def forget(self, call_id: str) -> None:
        """Free what is kept for a call; a generation still running frees it when it ends."""
        for slot in list(self._slots.values()):
            if slot.call_id == call_id:
                slot.keep = False
                if slot.job is None:
                    self._remove(slot)

    def take_closed(self) -> list[Closed]:
        """Requests that ended since the last call, each exactly once, cancelled ones never."""
        closed, self._closed = self._closed, []
        return closed

    def reset(self) -> None:
        """Forget every request and sequence: the real cache was lost."""
        self._kv = KvMirror(self.cells, self.sequences)
        self._slots.clear()
        self._waiting.clear()
        self._closed.clear()
        self._planned = ()

    # ------------------------------------------------------------------ plan and apply

    def plan(self) -> Step | None:
        """What to run next, or None when there is nothing to do until a request comes."""
        self._now += 1
        self._admit()
        jobs = [(slot, slot.job) for slot in self._slots.values() if slot.job is not None]
        jobs.sort(key=lambda pair: pair[1].order)
        rows = [
            Row(job.next_token, self._kv.length(slot.sequence), slot.sequence, job.request.id)
            for slot, job in jobs
            if job.next_token is not None
        ]
        budget = min(self.prefill_chunk, self.batch - len(rows)) if rows else self.batch
        rows += self._prefill([pair for pair in jobs if pair[1].next_token is None], budget)
        self._planned = tuple(rows)
        operations = self._kv.take_operations()
        return Step(operations, self._planned) if operations or rows else None

    def apply(self, sampled: Mapping[int, int], ended: Collection[int] = ()) -> None:
        """Take the result of the planned step.

        Args:
            sampled: request id -> sampled token, one for every row that names a request.
            ended: requests whose token was their last (end token, stop string).
        """
        rows, self._planned = self._planned, ()
        self.counters.steps += bool(rows)
        self.counters.sampled += len(sampled)
        for row in rows:
            self._kv.extend(row.sequence, (row.token,))
        for sequence in dict.fromkeys(row.sequence for row in rows):
            slot = self._slots[sequence]
            job = slot.job
            if job is None:
                raise RuntimeError("a request changed between plan() and apply()")
            token = sampled.get(job.request.id)
            if job.next_token is None:
                self.counters.prefilled += sum(row.sequence == sequence for row in rows)
            if token is not None:
                job.generated += 1
                job.next_token = token
                if job.request.id in ended or job.generated >= job.request.max_tokens:
                    self._closed.append(Closed(job.request.id, dropped=False))
                    self._release(slot)
            elif slot.call_id is None and self._kv.length(sequence) == len(job.prompt):
                self._release(slot)

    def _prefill(self, jobs: list[tuple[_Slot, _Job]], budget: int) -> list[Row]:
        def rest(pair: tuple[_Slot, _Job]) -> tuple[int, int]:
            return pair[1].priority, len(pair[1].prompt) - self._kv.length(pair[0].sequence)

        rows: list[Row] = []
        kept = (budget + 1) // 2  # for the one that came first, which shorter ones may not stop
        for slot, job in sorted(jobs, key=rest):
            if job is jobs[0][1]:
                kept = 0
            rows += self._prefill_rows(slot, job, budget - kept - len(rows))
        return rows

    def _prefill_rows(self, slot: _Slot, job: _Job, budget: int) -> list[Row]:
        start = self._kv.length(slot.sequence)
        end = min(start + budget, len(job.prompt))
        last = len(job.prompt) - 1 if job.request.max_tokens else -1
        return [
            Row(job.prompt[i], i, slot.sequence, job.request.id if i == last else None)
            for i in range(start, end)
        ]

    # ------------------------------------------------------------------ admission

    def _admit(self) -> None:
        stuck: list[_Job] = []
        for job in sorted(self._waiting.values(), key=lambda job: job.order):
            # A guess would lose its place again to what is stuck.
            if len(stuck) > _MOST_STUCK or any(
                one.overtaken >= _MOST_OVERTAKING or one.priority < job.priority for one in stuck
            ):
                return
            if self._awaits_prefix(job, may_start=not stuck):
                continue
            if job.request.max_tokens == 0:
                self._closed.append(Closed(job.request.id, dropped=False))
            elif self._find_room(job):
                for other in stuck:
                    other.overtaken += 1
            else:
                stuck.append(job)
                continue
            del self._waiting[job.request.id]

    def _find_room(self, job: _Job) -> bool:
        while not (placed := self._place(job)) and job.priority == FINAL and self._preempt(job):
            pass
        return placed

    def _awaits_prefix(self, job: _Job, may_start: bool) -> bool:
        """Whether the shared prefix is to come first; starts it if allowed and nobody has."""
        shared = job.prompt[: job.request.shared]
        if not shared:
            return False
        for slot in self._slots.values():
            if slot.call_id is None and slot.job is not None:
                if common_prefix(slot.job.prompt, shared) == len(shared):
                    slot.job.priority = min(slot.job.priority, job.priority)
                    return True
        if job.prefix_tried or self._best_source(job)[1] >= min(len(shared), len(job.prompt) - 1):
            return False
        if not may_start:
            return True
        job.prefix_tried = True
        # One sequence for the prefix and one for the request itself must be obtainable.
        if self.running + 2 > self.sequences and job.request.max_tokens:
            return False
        request = SlotRequest(_PREFIX_REQUEST, "", shared, 0)
        return self._place(_Job(request, job.priority, shared), shared=True)

    def _place(self, job: _Job, shared: bool = False) -> bool:
        """Give the job a sequence that holds as much of its prompt as can be found."""
        source, reused = self._best_source(job)
        needed = job.most_tokens - reused
        if needed > self._obtainable(source, reused):
            return False
        slot = self._sequence_for(job, source)
        if slot is None:
            return False
        if slot is source:
            self._kv.cut(slot.sequence, reused)
        elif source is not None:
            self._kv.copy(source.sequence, slot.sequence, reused)
            source.last_used = self._now
        slot.call_id = None if shared else job.request.call_id
        slot.job, slot.keep, slot.last_used = job, True, self._now
        self.counters.reused += reused
        # Even the source may be evicted now: the copy keeps the shared cells alive.
        while self._free_cells() < 0 and self._evict():
            pass
        return True

    def _best_source(self, job: _Job) -> tuple[_Slot | None, int]:
        """The slot holding most of the prompt, the call's own idle one on a tie."""
        best: tuple[int, bool, int] = (0, False, -1)
        # The last prompt token is always computed: its logits give the first reply token.
        head = job.prompt if job.request.max_tokens == 0 else job.prompt[:-1]
        for slot in self._slots.values():
            own = slot.job is None and slot.call_id == job.request.call_id
            length = self._kv.common_prefix(slot.sequence, head)
            best = max(best, (length, own, slot.sequence))
        length, _, sequence = best
        return (self._slots[sequence], length) if length else (None, 0)

    def _sequence_for(self, job: _Job, source: _Slot | None) -> _Slot | None:
        """The call's own idle slot, a free one, an evicted one, or the source itself."""
        if source is not None and source.job is None and source.call_id == job.request.call_id:
            return source
        if len(self._slots) >= self.sequences and not self._evict(spare=source):
            return source if source is not None and source.job is None else None
        sequence = next(i for i in range(self.sequences) if i not in self._slots)
        self._slots[sequence] = slot = _Slot(sequence, None, self._now)
        return slot

    def _free_cells(self) -> int:
        """Free cells that no running job has a claim on."""
        claimed = sum(
            slot.job.most_tokens - self._kv.length(slot.sequence)
            for slot in self._slots.values()
            if slot.job is not None
        )
        return self._kv.free - claimed

    def _obtainable(self, source: _Slot | None, reused: int, *, guesses: bool = True) -> int:
        """Unclaimed cells if every idle sequence were evicted, ``reused`` ones excepted."""
        held: set[int] = set()
        claimed = 0
        for slot in self._slots.values():
            if slot.job is not None and (guesses or not slot.guess):
                held.update(self._kv.cells_of(slot.sequence))
                claimed += slot.job.most_tokens - self._kv.length(slot.sequence)
        if source is not None:
            held.update(self._kv.cells_of(source.sequence, reused))
        return self.cells - len(held) - claimed

    # ------------------------------------------------------------------ letting go

    def _evict(self, spare: _Slot | None = None) -> bool:
        idle = [s for s in self._slots.values() if s.job is None and s is not spare]
        if not idle:
            return False
        newest = max((s.last_used for s in self._slots.values() if s.call_id is None), default=0)
        old = [s for s in idle if s.call_id is not None or s.last_used < newest] or idle
        self._remove(min(old, key=lambda s: (s.last_used, s.sequence)))
        self.counters.evicted += 1
        return True

    def _preempt(self, job: _Job) -> bool:
        """Drop the newest guess; False if there is none, or all of them would not make room."""
        guesses = [(guess, slot) for slot in self._slots.values() if (guess := slot.guess)]
        source, reused = self._best_source(job)
        room = reused + self._obtainable(source, reused, guesses=False)
        if not guesses or job.most_tokens > room:
            return False
        guess, slot = max(guesses, key=lambda pair: pair[0].request.id)
        self._drop(guess)
        self._release(slot)
        return True

    def _drop(self, job: _Job) -> None:
        self.counters.dropped += 1
        self._closed.append(Closed(job.request.id, dropped=True))

    def _release(self, slot: _Slot) -> None:
        """The job is over: keep what was computed, as the only idle sequence of its call."""
        slot.job, slot.last_used = None, self._now
        if not slot.keep:
            self._remove(slot)
        elif slot.call_id is not None:
            for other in list(self._slots.values()):
                if other.call_id == slot.call_id and other.job is None and other is not slot:
                    self._remove(other)

    def _remove(self, slot: _Slot) -> None:
        self._kv.cut(slot.sequence, 0)
        del self._slots[slot.sequence]
