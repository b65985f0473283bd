from __future__ import annotations

from gateway.conversation.commands import Utterance
from gateway.conversation.history import History


def test_committing_a_turn_again_replaces_its_text() -> None:
    history = History()
    history.caller_said(1, "What time")
    history.caller_said(1, "What time do you open?")
    assert history.utterances() == (Utterance("caller", "What time do you open?"),)


def test_turn_can_be_taken_back_only_while_it_is_the_last() -> None:
    history = History()
    history.caller_said(1, "Hello.")
    history.assistant_said("Hi.")
    history.take_back(1)
    assert len(history.utterances()) == 2


def test_caller_who_spoke_last_awaits_an_answer() -> None:
    history = History()
    assert not history.awaits_answer
    history.caller_said(1, "Hello.")
    assert history.awaits_answer
    history.assistant_said("Hi.")
    assert not history.awaits_answer


def test_unheard_reply_leaves_no_trace() -> None:
    history = History()
    history.assistant_said("")
    assert history.utterances() == ()


def test_neighbouring_messages_of_one_speaker_are_joined() -> None:
    history = History()
    history.caller_said(1, "Hello.")
    history.caller_said(2, "Anybody there?")
    assert history.utterances("Please?") == (Utterance("caller", "Hello. Anybody there? Please?"),)


def test_a_reply_that_was_cut_off_is_marked_where_another_one_follows() -> None:
    history = History()
    history.assistant_said("We are open.", interrupted=True)
    history.assistant_said("Sorry.")
    assert history.utterances() == (Utterance("assistant", "We are open— Sorry."),)


def test_a_reply_that_was_cut_off_last_is_told_apart_and_not_marked_in_its_words() -> None:
    history = History()
    history.assistant_said("Hello.")
    history.assistant_said("We are open.", interrupted=True)
    assert history.utterances() == (Utterance("assistant", "Hello. We are open.", True),)
