"""What the receptionist may do, as tools of the chat model."""

from __future__ import annotations

import json
from collections.abc import Iterable

from gateway.engines.base import Tool
from gateway.receptionist.profile import Profile

_LONGEST, _LONGEST_MESSAGE = 40, 160
"""Characters of a name, day or time, and of a message; a longer one is a loop of the model."""

_PHONE = "^[0-9+][0-9 -]{2,19}$"


def receptionist_tools(profile: Profile) -> tuple[Tool, ...]:
    """The six tools, with services and people of the profile in all its languages.

    A model can only book a service that is offered and connect to somebody who is there.
    """
    service = _one_of(service for facts in profile.values() for service in facts.prices)
    person = _one_of(person for facts in profile.values() for person in facts.people)
    text = _one_of(())
    phone: dict[str, object] = {"type": "string", "pattern": _PHONE}
    message: dict[str, object] = {"type": "string", "maxLength": _LONGEST_MESSAGE}
    return (
        _tool("book_appointment", name=text, service=service, day=text, time=text),
        _tool("move_appointment", name=text, day=text, time=text),
        _tool("cancel_appointment", name=text, day=text),
        _tool("take_message", name=text, phone=phone, text=message),
        _tool("transfer_call", target=person),
        _tool("end_call"),
    )


def _one_of(values: Iterable[str]) -> dict[str, object]:
    known = list(dict.fromkeys(values))
    return {"enum": known} if known else {"type": "string", "maxLength": _LONGEST}


def _tool(name: str, /, **properties: dict[str, object]) -> Tool:
    schema = {"type": "object", "properties": properties, "required": list(properties)}
    return Tool(name, json.dumps(schema, ensure_ascii=False))
