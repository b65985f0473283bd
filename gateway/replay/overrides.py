"""``endpoint.complete_ms=250`` and its like: another value for a field of a policy."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Sequence
from typing import Any

from gateway.conversation.policy import Policy
from gateway.errors import ConfigError

_DIGITS = 12
"""Of whole numbers: more milliseconds than any call has."""


def settable(policy: Policy) -> dict[str, Any]:
    """Every field of the policy and of its parts that can be set, with its value now."""
    names: dict[str, Any] = {"default_language": policy.default_language}
    for part in dataclasses.fields(policy):
        value = getattr(policy, part.name)
        if dataclasses.is_dataclass(value):
            names |= {
                f"{part.name}.{field.name}": getattr(value, field.name)
                for field in dataclasses.fields(value)
            }
    for language, phrases in policy.phrases.items():
        names |= {
            f"phrases.{language}.{field.name}": getattr(phrases, field.name)
            for field in dataclasses.fields(phrases)
        }
    return names


def with_overrides(policy: Policy, settings: Sequence[str]) -> Policy:
    """The policy with ``name=value`` settings applied, in order.

    Raises:
        ConfigError: a setting is not of that form, its name is unknown (the nearest one is told),
            or its value is not of the field's type.
    """
    for setting in settings:
        name, equals, text = setting.partition("=")
        if not equals:
            raise ConfigError(f"--set {setting}: expected NAME=VALUE, as endpoint.complete_ms=250")
        policy = _with(policy, name.strip(), text.strip())
    return policy


def _with(policy: Policy, name: str, text: str) -> Policy:
    known = settable(policy)
    if name not in known:
        nearest = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
        advice = f"did you mean {nearest[0]}?" if nearest else f"expected one of {', '.join(known)}"
        raise ConfigError(f"--set {name}: no such field of the policy; {advice}")
    value: Any = _typed(name, text, known[name])
    part, _, field = name.partition(".")
    if not field:
        if value not in policy.phrases:
            raise ConfigError(f"--set {name}={value}: the recording has no phrases in it")
        return dataclasses.replace(policy, **{part: value})
    if part == "phrases":
        language, _, phrase = field.partition(".")
        phrases = dataclasses.replace(policy.phrases[language], **{phrase: value})
        return dataclasses.replace(policy, phrases={**policy.phrases, language: phrases})
    changed = dataclasses.replace(getattr(policy, part), **{field: value})
    return dataclasses.replace(policy, **{part: changed})


def _typed(name: str, text: str, now: object) -> object:
    """The text as a value of the type that the field has now."""
    match now:
        case bool():
            if text.lower() in ("true", "false"):
                return text.lower() == "true"
            expected = "true or false"
        case int():
            if text.isdecimal() and len(text) <= _DIGITS:
                return int(text)
            expected = f"a whole number of at least 0, as {now}, of at most {_DIGITS} digits"
        case float():
            try:
                return float(text)
            except ValueError:
                expected = f"a number, as {now}"
        case _:
            return text
    raise ConfigError(f"--set {name}={text}: expected {expected}")
