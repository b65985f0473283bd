"""The chat scheduler, with integers instead of a model."""

from __future__ import annotations

import pytest

from gateway.engines.llama_slots import SlotScheduler
from gateway.engines.llama_steps import FINAL, Closed
from tests.engines.fake_llama import SPECULATIVE, FakeModel, request, scheduler

SYSTEM = tuple(range(100, 120))


def test_a_request_prefills_once_and_then_decodes_one_token_per_step() -> None:
    model = scheduler()
    model.submit(request(0, (1, 2, 3), max_tokens=3))
    steps = model.drain()
    assert [[row.token for row in step.rows] for step in steps] == [[1, 2, 3], [1003], [1004]]
    assert model.replies[0] == [1003, 1004, 1005]
    assert model.closed == {0: False}


def test_an_end_token_closes_the_request_at_once() -> None:
    model = scheduler()
    model.submit(request(0, (1, 2, 3), max_tokens=9))
    model.step(ends=frozenset({0}))
    assert model.closed == {0: False}
    assert model.step() is None


def test_running_generations_decode_in_one_batch() -> None:
    model = scheduler()
    for id in range(4):
        model.submit(request(id, (id + 1, 50), max_tokens=4))
    model.step()
    step = model.step()
    assert step is not None
    assert [row.request for row in step.rows] == [0, 1, 2, 3]


def test_long_prompt_is_cut_into_chunks_while_others_decode() -> None:
    model = scheduler(prefill_chunk=8)
    model.submit(request(0, (1, 2), max_tokens=20))
    model.step()
    model.submit(request(1, tuple(range(10, 50)), max_tokens=2))
    for _ in range(4):
        step = model.step()
        assert step is not None
        assert step.rows[0].request == 0
        assert len(step.rows) == 1 + 8
    assert len(model.replies[0]) == 5


def test_a_short_prompt_is_read_beside_a_long_one_that_came_first() -> None:
    model = scheduler(prefill_chunk=8)
    model.submit(request(0, (1, 2), max_tokens=40))
    model.step()
    model.submit(request(1, tuple(range(10, 90)), max_tokens=2))
    model.step()
    model.submit(request(2, tuple(range(100, 108)), max_tokens=2))
    read = [[row.token for row in step.rows[1:]] for step in (model.step(), model.step()) if step]
    assert read == [[100, 101, 102, 103, 18, 19, 20, 21], [104, 105, 106, 107, 22, 23, 24, 25]]
    assert len(model.replies[2]) == 1


def test_prompts_of_one_length_are_read_in_the_order_in_which_they_came() -> None:
    model = scheduler(prefill_chunk=8)
    model.submit(request(0, (1, 2), max_tokens=20))
    model.step()
    for id in (1, 2):
        model.submit(request(id, tuple(range(100 * id, 100 * id + 16))))
    for expected in (100, 108, 200, 208):
        step = model.step()
        assert step is not None
        assert [row.token for row in step.rows if row.token < 1000] == [
            *range(expected, expected + 8)
        ]


def test_a_guess_is_not_read_beside_a_prompt_whose_turn_is_over() -> None:
    model = scheduler(prefill_chunk=8)
    model.submit(request(0, (1, 2), max_tokens=20))
    model.step()
    model.submit(request(1, (5, 6), priority=SPECULATIVE))
    model.submit(request(2, tuple(range(10, 50))))
    step = model.step()
    assert step is not None
    assert [row.token for row in step.rows[1:]] == list(range(10, 18))


def test_prompt_uses_the_whole_batch_when_nobody_decodes() -> None:
    model = scheduler(batch=64, prefill_chunk=8)
    model.submit(request(0, tuple(range(10, 50))))
    step = model.step()
    assert step is not None
    assert len(step.rows) == 40


def test_next_turn_prefills_only_what_is_new() -> None:
    model = scheduler()
    model.submit(request(0, (1, 2, 3), call="a", max_tokens=2))
    model.drain()
    model.submit(request(1, (1, 2, 3, 1003, 7, 8), call="a"))
    step = model.step()
    assert step is not None
    assert [row.token for row in step.rows] == [7, 8]
    assert model.scheduler.counters.reused == 4


def test_cut_history_keeps_the_cache_up_to_the_first_differing_token() -> None:
    model = scheduler()
    model.submit(request(0, (1, 2, 3, 4, 5, 6), call="a", max_tokens=2))
    model.drain()
    model.submit(request(1, (1, 2, 3, 9, 9), call="a"))
    step = model.step()
    assert step is not None
    assert [(row.position, row.token) for row in step.rows] == [(3, 9), (4, 9)]


def test_identical_prompt_computes_only_its_last_token() -> None:
    model = scheduler()
    model.submit(request(0, (1, 2, 3), call="a"))
    model.drain()
    model.submit(request(1, (1, 2, 3), call="a"))
    step = model.step()
    assert step is not None
    assert [row.token for row in step.rows] == [3]


def test_shared_prefix_is_prefilled_once_for_calls_that_start_together() -> None:
    model = scheduler()
    for id in range(3):
        model.submit(request(id, (*SYSTEM, id), shared=len(SYSTEM)))
    model.drain()
    assert model.closed == {0: False, 1: False, 2: False}
    assert model.scheduler.counters.prefilled == len(SYSTEM) + 3
    assert model.scheduler.counters.reused == 3 * len(SYSTEM)


def test_warm_up_prefills_the_prefix_before_any_call() -> None:
    model = scheduler()
    model.submit(request(0, SYSTEM, max_tokens=0, shared=len(SYSTEM)))
    model.drain()
    assert model.closed == {0: False}
    model.submit(request(1, (*SYSTEM, 1), shared=len(SYSTEM)))
    step = model.step()
    assert step is not None
    assert [row.token for row in step.rows] == [1]


def test_shared_prefix_is_skipped_when_one_sequence_is_all_there_is() -> None:
    model = scheduler(sequences=1)
    model.submit(request(0, (*SYSTEM, 1), shared=len(SYSTEM)))
    model.drain()
    assert model.closed == {0: False}


def test_final_goes_before_speculation_that_came_first() -> None:
    model = scheduler(sequences=1)
    model.submit(request(0, (1, 2), priority=SPECULATIVE))
    model.submit(request(1, (3, 4)))
    step = model.step()
    assert step is not None
    assert step.rows[-1].request == 1


def test_the_oldest_waiting_request_is_told_but_not_speculation() -> None:
    model = scheduler(sequences=1)
    for number, priority in enumerate((0, SPECULATIVE, 0, 0)):
        model.submit(request(number, (1, 2), priority=priority))
    model.step()
    assert model.scheduler.oldest_waiting == 2
    model.drain()
    assert model.scheduler.oldest_waiting is None


def test_final_takes_the_place_of_running_speculation() -> None:
    model = scheduler(sequences=2)
    model.submit(request(0, (1, 2), priority=SPECULATIVE, max_tokens=50))
    model.submit(request(1, (3, 4), priority=SPECULATIVE, max_tokens=50))
    model.step()
    model.submit(request(2, (5, 6)))
    model.drain()
    assert model.closed == {0: False, 1: True, 2: False}


def test_running_speculation_is_not_dropped_for_a_reply_that_finds_no_room_all_the_same() -> None:
    model = scheduler(cells=40, sequences=4)
    model.submit(request(0, (1, 2), call="a", max_tokens=20))
    model.submit(request(1, (3, 4), call="b", max_tokens=6, priority=SPECULATIVE))
    model.step()
    model.submit(request(2, tuple(range(10, 30)), call="c", max_tokens=8))
    model.drain()
    assert model.closed == {0: False, 1: False, 2: False}


def test_promoted_speculation_is_not_dropped() -> None:
    model = scheduler(sequences=1)
    model.submit(request(0, (1, 2), priority=SPECULATIVE, call="a"))
    model.step()
    model.scheduler.promote("a")
    model.submit(request(1, (3, 4)))
    model.drain()
    assert model.closed == {0: False, 1: False}


def test_full_waiting_list_drops_the_oldest_speculation_then_newcomers() -> None:
    model = scheduler(waiting=2)
    model.submit(request(0, (1,)))
    model.submit(request(1, (2,), priority=SPECULATIVE))
    model.submit(request(2, (3,)))
    assert model.closed == {1: True}
    model.submit(request(3, (4,)))
    assert model.closed == {1: True, 3: True}


def test_speculation_is_refused_by_a_list_full_of_final_requests() -> None:
    model = scheduler(waiting=1)
    model.submit(request(0, (1,)))
    model.submit(request(1, (2,), priority=SPECULATIVE))
    assert model.closed == {1: True}


def test_cancelled_request_takes_no_part_in_the_next_step() -> None:
    model = scheduler()
    for id in range(3):
        model.submit(request(id, (id + 1, 9), max_tokens=20))
    model.step()
    model.scheduler.cancel(1)
    step = model.step()
    assert step is not None
    assert [row.request for row in step.rows] == [0, 2]
    model.drain()
    assert 1 not in model.closed


def test_cancelled_prefill_is_reused_by_the_next_request_of_the_call() -> None:
    model = scheduler(batch=8)
    model.submit(request(0, tuple(range(1, 30)), call="a", priority=SPECULATIVE))
    model.step()
    model.scheduler.cancel(0)
    model.submit(request(1, tuple(range(1, 35)), call="a"))
    step = model.step()
    assert step is not None
    assert step.rows[0].position == 8


def test_second_request_of_a_call_shares_what_the_first_has_computed() -> None:
    model = scheduler()
    model.submit(request(0, (1, 2, 3, 4), call="a", max_tokens=20))
    model.step()
    model.submit(request(1, (1, 2, 3, 5), call="a"))
    step = model.step()
    assert step is not None
    assert [row.token for row in step.rows] == [1004, 5]


def test_idle_sequences_are_evicted_least_recently_used_first() -> None:
    model = scheduler(sequences=2)
    for id in (0, 1):
        model.submit(request(id, (id + 1, 7, 8, 9)))
        model.drain()
    model.submit(request(2, (30, 31)))
    model.drain()
    reused = model.scheduler.counters.reused
    model.submit(request(3, (2, 7, 8, 9), call="call1"))
    model.drain()
    assert model.scheduler.counters.reused == reused + 3


def test_an_old_shared_prefix_is_evicted_in_its_turn_and_the_one_used_last_after_all_others() -> (
    None
):
    """A template that tells the date makes another one every day."""
    model = scheduler(sequences=4)
    today = (*SYSTEM[:-1], 99)
    for id, prefix in enumerate((SYSTEM, today)):
        model.submit(request(id, (*prefix, 1), shared=len(SYSTEM)))
        model.drain()

    def prefilled(id: int, prompt: tuple[int, ...], call: str = "") -> int:
        before = model.scheduler.counters.prefilled
        model.submit(request(id, prompt, call=call, shared=len(SYSTEM) if len(prompt) > 2 else 0))
        model.drain()
        return model.scheduler.counters.prefilled - before

    assert prefilled(2, (2, 3)) == 2
    assert prefilled(3, (*SYSTEM, 1, 5), call="call0") == 1, "not call0 gave way to it"
    for id in range(4, 8):
        assert prefilled(id, (id, id + 1)) == 2
    assert prefilled(8, (*today, 8)) == 1


def test_request_waits_for_cells_until_a_running_one_ends() -> None:
    model = scheduler(cells=20, sequences=4)
    model.submit(request(0, tuple(range(1, 11)), max_tokens=5))
    model.submit(request(1, tuple(range(21, 31)), max_tokens=5))
    step = model.step()
    assert step is not None
    assert {row.sequence for row in step.rows} == {0}
    model.drain()
    assert model.closed == {0: False, 1: False}


def crowded(priority: int = FINAL) -> FakeModel:
    """Request 0 runs for long, and 1 finds no room beside it."""
    model = scheduler(cells=100, waiting=32)
    model.submit(request(0, (1, 2), max_tokens=60))
    model.submit(request(1, tuple(range(100, 160)), max_tokens=1, priority=priority))
    model.step()
    return model


def test_a_request_that_fits_overtakes_one_that_finds_no_room() -> None:
    model = crowded()
    model.submit(request(2, (5, 6, 7)))
    step = model.step()
    assert step is not None
    assert [row.request for row in step.rows] == [0, None, None, 2]
    model.drain()
    assert model.closed == {0: False, 1: False, 2: False}


def test_a_request_that_finds_no_room_is_overtaken_by_eight_at_most() -> None:
    model = crowded()
    for id in range(2, 22):
        model.submit(request(id, (id, 6, 7), max_tokens=1))
        model.step()
    assert list(model.closed) == list(range(2, 10))
    model.drain()
    assert list(model.closed)[8] == 0, "which makes room for 1, and then for the others too"
    assert set(model.closed) == set(range(22))


def test_a_guess_overtakes_guesses_only() -> None:
    guess = request(2, (5, 6, 7), priority=SPECULATIVE)
    for priority, overtaken in ((FINAL, False), (SPECULATIVE, True)):
        model = crowded(priority=priority)
        model.submit(guess)
        model.step()
        assert bool(model.replies[2]) is overtaken


def test_many_requests_that_find_no_room_are_not_all_tried_in_every_step() -> None:
    model = crowded()
    for id in range(2, 4):
        model.submit(request(id, tuple(range(100 * id, 100 * id + 60))))
    model.submit(request(4, (5, 6, 7)))
    model.step()
    assert not model.replies[4]


def test_a_new_shared_prefix_waits_with_a_request_that_finds_no_room() -> None:
    model = crowded()
    model.submit(request(2, SYSTEM, max_tokens=0, shared=len(SYSTEM)))
    model.step()
    assert 2 not in model.closed
    model.drain()
    assert model.closed == {0: False, 1: False, 2: False}


def test_a_request_waits_while_the_only_sequences_are_those_of_running_replies() -> None:
    model = scheduler(sequences=2)
    model.submit(request(0, (*SYSTEM, 1), max_tokens=4))
    model.submit(request(1, (5, 6, 7), max_tokens=8))
    while not model.replies[0]:
        model.step()
    model.submit(request(2, (*SYSTEM, 2)))
    model.step()
    assert not model.replies[2], "although one of them begins with the same prompt"
    model.drain()
    assert model.closed == {0: False, 1: False, 2: False}


def test_forget_frees_the_sequence_of_an_ended_call() -> None:
    model = scheduler()
    model.submit(request(0, (1, 2, 3), call="a"))
    model.drain()
    model.scheduler.forget("a")
    model.scheduler.forget("nobody")
    model.drain()
    assert not any(model.cells.values())


def test_forget_during_a_reply_frees_when_the_reply_ends() -> None:
    model = scheduler()
    model.submit(request(0, (1, 2, 3), call="a"))
    model.step()
    model.scheduler.forget("a")
    model.drain()
    assert model.closed == {0: False}
    assert not any(model.cells.values())


def test_reset_forgets_everything() -> None:
    model = scheduler()
    model.submit(request(0, (1, 2, 3)))
    model.step()
    model.scheduler.reset()
    assert model.scheduler.plan() is None
    assert (model.scheduler.running, model.scheduler.waiting) == (0, 0)


def test_prompt_larger_than_the_cache_is_refused() -> None:
    model = scheduler(cells=8)
    with pytest.raises(ValueError, match=r"expected 1\.\.8 tokens, got 11"):
        model.scheduler.submit(request(0, tuple(range(10)), max_tokens=2))
    with pytest.raises(ValueError, match="expected 1..8 tokens"):
        model.scheduler.submit(request(0, ()))


def test_batch_smaller_than_the_sequences_is_refused() -> None:
    with pytest.raises(ValueError, match="expected batch >= sequences"):
        SlotScheduler(64, sequences=8, batch=4, prefill_chunk=1, max_waiting=1)


def test_take_closed_reports_each_request_once() -> None:
    plain = SlotScheduler(64, sequences=1, batch=8, prefill_chunk=4, max_waiting=1)
    plain.submit(request(0, (1,)))
    plain.submit(request(1, (2,)))
    assert plain.take_closed() == [Closed(1, dropped=True)]
    assert plain.take_closed() == []
