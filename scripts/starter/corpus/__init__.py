"""Synthetic phone-receptionist calls in English, Arabic and Russian.

Everything is drawn from the ``random.Random`` that is passed in, so one seed gives one corpus.
The wording lives in ``data/`` (TOML, one template a line); the code here only combines it.
"""

from .callers import caller_utterance
from .calls import Call, Message, TurnNote
from .dialogues import demo_call, lookup_call, make_call, question_call
from .facts import TOOLS, DemoFacts, Facts
from .template import LANGS

__all__ = [
    "LANGS",
    "TOOLS",
    "Call",
    "DemoFacts",
    "Facts",
    "Message",
    "TurnNote",
    "caller_utterance",
    "demo_call",
    "lookup_call",
    "make_call",
    "question_call",
]
