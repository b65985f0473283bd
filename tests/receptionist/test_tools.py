"""The tools of the receptionist."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import msgspec
import pytest

from gateway.receptionist.profile import load_profile
from gateway.receptionist.tools import receptionist_tools


@dataclass
class Schema:
    properties: dict[str, Any]
    required: list[str]


def schemas(**changes: Any) -> dict[str, Schema]:
    profile = {
        language: msgspec.structs.replace(facts, **changes)
        for language, facts in load_profile().items()
    }
    found = {}
    for tool in receptionist_tools(profile):
        schema = json.loads(tool.parameters)
        found[tool.name] = Schema(schema["properties"], schema["required"])
    return found


def test_every_argument_of_every_tool_is_required() -> None:
    assert len(schemas()) == 6
    for schema in schemas().values():
        assert schema.required == list(schema.properties)


def test_services_and_people_are_those_of_the_profile_in_every_language() -> None:
    found = schemas()
    services = found["book_appointment"].properties["service"]["enum"]
    assert {"filling", "حشو السن", "пломба"} <= set(services)
    assert "дежурный врач" in found["transfer_call"].properties["target"]["enum"]


@pytest.mark.parametrize(
    ("empty", "tool", "argument"),
    [({"prices": {}}, "book_appointment", "service"), ({"people": []}, "transfer_call", "target")],
)
def test_a_profile_that_lists_none_leaves_the_argument_free(
    empty: dict[str, Any], tool: str, argument: str
) -> None:
    assert schemas(**empty)[tool].properties[argument]["type"] == "string"
