"""Owner thread of the chat model: the only one that touches model, cache and samplers.

Commands come in through one list under a condition, which the thread sleeps on when idle. Results
go out with one ``call_soon_threadsafe`` per event loop and step, for all calls together.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable
from dataclasses import replace

from gateway.engines.llama_commands import (
    Cancel,
    Command,
    Done,
    Forget,
    Generation,
    Item,
    Promote,
    Start,
)
from gateway.engines.llama_native import DecodeError, NativeLlama
from gateway.engines.llama_sampling import Sampler
from gateway.engines.llama_settings import LlamaSettings
from gateway.engines.llama_slots import SlotScheduler
from gateway.engines.llama_steps import Counters, SlotRequest, Step
from gateway.engines.llama_template import PromptBuilder
from gateway.engines.llama_text import TextAssembler
from gateway.engines.llama_watchdog import Watchdog
from gateway.engines.model_errors import model_errors
from gateway.errors import ChatBusyError, ChatError, ModelError

logger = logging.getLogger("gateway.engines.llama")

_STEP_WEIGHT = 0.1
"""Weight of the newest step in the mean of their times."""


class LlamaWorker:
    """Runs the model in its own thread from construction to ``stop``.

    Raises:
        ModelError: the model cannot be loaded.
    """

    def __init__(self, settings: LlamaSettings) -> None:
        self._settings = settings
        self._changed = threading.Condition()
        self._commands: list[Command] = []
        self._stopping = self._ended = self._gave_up = False
        self._when_ended: list[Callable[[], object]] = []
        self._generations: dict[int, Generation] = {}
        self._outbox: dict[asyncio.AbstractEventLoop, list[tuple[Generation, Item]]] = {}
        self._step_began: float | None = None
        self._load_error: ModelError | None = ModelError(
            f"chat model {settings.model} failed to load; the log says why"
        )
        self.counters = Counters()
        self.running = self.waiting = 0
        self.waiting_since: float | None = None
        self.decode_seconds = 0.0
        loaded = threading.Event()
        self._thread = threading.Thread(
            target=self._main, args=(loaded,), name="llama-owner", daemon=True
        )
        self._thread.start()
        loaded.wait()
        if self._load_error is not None:
            self._thread.join()
            raise self._load_error

    # ------------------------------------------------------------------ from any thread

    def send(self, command: Command) -> bool:
        """Hand a command over; False when the worker has stopped."""
        with self._changed:
            if self._stopping:
                return False
            self._commands.append(command)
            self._changed.notify()
        return True

    def stop(self, then: Callable[[], object]) -> None:
        """Fail what is running, free the model, call ``then`` on the owner thread, and end it.

        A worker that has ended already calls ``then`` at once.
        """
        with self._changed:
            self._stopping = True
            if not self._ended:
                self._when_ended.append(then)
                self._changed.notify()
                return
        then()

    def step_seconds(self) -> float:
        """Age of the step in flight in seconds, 0 when idle: a large value means it hangs."""
        began = self._step_began
        return 0.0 if began is None else time.monotonic() - began

    # ------------------------------------------------------------------ watchdog thread

    def _let_go(self) -> None:
        """Fail everybody who waits, from outside: the owner thread is stuck in a step."""
        with self._changed:
            self._gave_up = True
            commands, self._commands = self._commands, []
        generations = [command.generation for command in commands if isinstance(command, Start)]
        for generation in [*generations, *list(self._generations.values())]:
            try:
                generation.loop.call_soon_threadsafe(
                    generation.items.put_nowait, ChatError("the chat model hangs")
                )
            except RuntimeError:
                continue  # its loop was closed: nobody is left to read it

    # ------------------------------------------------------------------ owner thread

    def _main(self, loaded: threading.Event) -> None:
        try:
            with model_errors(f"chat model {self._settings.model}", "a GGUF chat model"):
                self._load()
        except ModelError as error:
            self._load_error = error
            return
        finally:
            loaded.set()
        idle = True
        while (commands := self._take_commands(wait=idle)) is not None:
            idle = self._turn(commands)
        self._watchdog.stop()
        self._fail_all(self._commands, "the chat model was closed")
        self._flush()
        self._native.close()
        with self._changed:
            self._ended = True
        for then in self._when_ended:
            then()

    def _load(self) -> None:
        self._native = native = NativeLlama(self._settings)
        settings = native.settings
        try:
            cells = native.cells
            self.prompts = PromptBuilder(native, min(cells, native.n_ctx_train or cells), cells)
        except BaseException:
            native.close()
            raise
        self._slots = SlotScheduler(
            cells=cells,
            sequences=settings.max_sequences,
            batch=settings.batch,
            prefill_chunk=settings.prefill_chunk,
            max_waiting=settings.max_waiting,
        )
        self._watchdog = Watchdog(
            settings.step_timeout_s, self.step_seconds, native.abort, self._let_go
        )
        self._load_error = None
        logger.info(
            "chat model loaded: %s, cache of %d tokens, %d sequences",
            settings.model.name,
            cells,
            settings.max_sequences,
        )

    def _take_commands(self, wait: bool) -> list[Command] | None:
        """Commands since the last step; None when stopping. Sleeps when ``wait``."""
        with self._changed:
            if wait:
                self._changed.wait_for(lambda: self._commands or self._stopping)
            if self._stopping:
                return None
            commands, self._commands = self._commands, []
            return commands

    def _turn(self, commands: list[Command]) -> bool:
        """Obey commands and run one step; whether there is nothing left to do."""
        idle = True
        try:
            for command in commands:
                self._obey(command)
            step = self._slots.plan()
            # Who gave way hears of it before the step, which takes a while.
            self._close_requests()
            self._flush()
            if step is not None:
                idle = False
                self._step_began = time.monotonic()
                self._run(step)
                if self._gave_up:
                    raise DecodeError("the step ended after its calls had been given up")
                # Rows of running replies come first; a step without any only reads prompts.
                if step.rows and step.rows[0].request is not None:
                    took = time.monotonic() - self._step_began
                    mean = self.decode_seconds or took
                    self.decode_seconds = mean + _STEP_WEIGHT * (took - mean)
            self._close_requests()
        except Exception:  # boundary
            logger.exception("the chat model failed; its context is rebuilt")
            self._fail_all(commands, "the chat model failed and was restarted; ask again")
            self._slots.reset()
            self._native.drop_context()
            self._gave_up = False
        finally:
            self._step_began = None
        self.counters = replace(self._slots.counters)
        self._measure()
        self._flush()
        return idle

    def _measure(self) -> None:
        """Note how busy the last step was, for readers in other threads."""
        self.running, self.waiting = self._slots.running, self._slots.waiting
        oldest = self._slots.oldest_waiting
        waiting = None if oldest is None else self._generations.get(oldest)
        self.waiting_since = None if waiting is None else waiting.asked_at
        if not self.running:
            self.decode_seconds = 0.0

    def _obey(self, command: Command) -> None:
        match command:
            case Start(generation):
                self._start(generation)
            case Cancel(generation_id):
                self._slots.cancel(generation_id)
                self._discard(generation_id)
            case Promote(call_id):
                self._slots.promote(call_id)
            case Forget(call_id):
                self._slots.forget(call_id)

    def _start(self, generation: Generation) -> None:
        self._generations[generation.id] = generation
        try:
            self._slots.submit(self._slot_request(generation))
        except (ChatError, ModelError, ValueError) as error:
            self._finish(generation.id, ChatError(str(error)))

    def _slot_request(self, generation: Generation) -> SlotRequest:
        request = generation.request
        if request is None:
            prefix = self.prompts.system_prefix(generation.system_prompt)
            return SlotRequest(generation.id, "", prefix, max_tokens=0, shared=len(prefix))
        prompt = self.prompts.build(request.messages, request.max_tokens)
        generation.sampler = Sampler(request, self._native)
        generation.text = TextAssembler(request.stop)
        return SlotRequest(
            id=generation.id,
            call_id=request.call_id,
            prompt=prompt.tokens,
            max_tokens=prompt.max_tokens,
            shared=prompt.shared,
            priority=int(request.priority),
        )

    def _run(self, step: Step) -> None:
        self._native.run(step.operations, step.rows)
        sampled: dict[int, int] = {}
        ended: set[int] = set()
        for index, row in enumerate(step.rows):
            if row.request is None:
                continue
            generation = self._generations[row.request]
            token = self._sample(generation, index)
            sampled[row.request] = token
            if self._native.ends_generation(token):
                ended.add(row.request)
                continue
            text = generation.text.push(self._native.piece(token))
            if text:
                self._post(generation, text)
            if generation.text.stopped:
                ended.add(row.request)
        self._slots.apply(sampled, ended)

    def _sample(self, generation: Generation, index: int) -> int:
        if generation.sampler is None:
            raise RuntimeError("a generation without a sampler was scheduled")
        return generation.sampler.sample(index)

    def _close_requests(self) -> None:
        for closed in self._slots.take_closed():
            if closed.dropped:
                self._finish(closed.request, ChatBusyError("busy: no room for another reply now"))
            else:
                generation = self._generations[closed.request]
                held = generation.text.finish()
                if held:
                    self._post(generation, held)
                self._finish(closed.request, Done())

    def _finish(self, generation_id: int, item: Done | ChatError) -> None:
        generation = self._discard(generation_id)
        if generation is not None:
            self._post(generation, item)

    def _discard(self, generation_id: int) -> Generation | None:
        generation = self._generations.pop(generation_id, None)
        if generation is not None and generation.sampler is not None:
            generation.sampler.close()
        return generation

    def _fail_all(self, commands: list[Command], reason: str) -> None:
        """Fail every generation, also those of ``commands`` that were not looked at yet."""
        for command in commands:
            if isinstance(command, Start):
                self._generations[command.generation.id] = command.generation
        for generation_id in list(self._generations):
            self._finish(generation_id, ChatError(reason))

    def _post(self, generation: Generation, item: Item) -> None:
        self._outbox.setdefault(generation.loop, []).append((generation, item))

    def _flush(self) -> None:
        for loop, items in self._outbox.items():
            try:
                loop.call_soon_threadsafe(_deliver, items)
            except RuntimeError:
                # The loop was closed under its generations: nobody is left to read them.
                for generation, _ in items:
                    self._slots.cancel(generation.id)
                    self._discard(generation.id)
        self._outbox = {}


def _deliver(items: list[tuple[Generation, Item]]) -> None:
    for generation, item in items:
        generation.items.put_nowait(item)
