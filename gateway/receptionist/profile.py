"""What the assistant knows about the business it answers for."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import msgspec

from gateway.errors import ConfigError

DEFAULT_PROFILE = Path(__file__).parent / "profiles" / "default.toml"


class LanguageProfile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The facts in one language, as they are to be spoken.

    Attributes:
        open: when the business is open.
        also: a further opening time, for example another one on Saturdays.
        closed: days on which it is closed.
        prices: service -> price.
        people: whom a caller can be connected to.
        greeting: first words of a call; empty for none.
        apology, still_there, goodbye, acknowledgement, ending_soon: what the assistant says
            without being asked (see ``Phrases``); None takes the default profile's words.
    """

    name: str
    open: str
    address: str
    also: str = ""
    closed: list[str] = []
    prices: dict[str, str] = {}
    people: list[str] = []
    greeting: str = ""
    apology: str | None = None
    still_there: str | None = None
    goodbye: str | None = None
    acknowledgement: str | None = None
    ending_soon: str | None = None


Profile = dict[str, LanguageProfile]
"""ISO 639-1 language code -> facts."""


def load_profile(path: Path = DEFAULT_PROFILE) -> Profile:
    """Read a business profile.

    Raises:
        ConfigError: the file cannot be read, is no TOML, or lacks a field; names file and field.
    """
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8-sig"))  # Notepad writes a BOM
    except OSError as error:
        reason = error.strerror or error
        raise ConfigError(f"business profile {path}: cannot be read: {reason}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"business profile {path}: expected TOML in UTF-8: {error}") from error
    profile: Profile = {}
    for language, table in raw.items():
        try:
            profile[language] = msgspec.convert(_on_one_line(table), LanguageProfile)
        except msgspec.ValidationError as error:
            raise ConfigError(
                f"business profile {path}: [{language}]: {_mistake(table, error)} (expected one"
                f" table per language, like the {DEFAULT_PROFILE.name} profile in"
                f" {DEFAULT_PROFILE.parent})"
            ) from error
    if not profile:
        raise ConfigError(f"business profile {path}: expected at least one language table")
    return profile


def _on_one_line(value: Any) -> Any:
    """A table whose texts have no line breaks: the prompt has one fact a line, and a reply would
    stop where a fact breaks.
    """
    match value:
        case str():
            return " ".join(value.split())
        case list():
            return [_on_one_line(each) for each in value]
        case dict():
            return {name: _on_one_line(each) for name, each in value.items()}
    return value


def _mistake(table: Any, error: msgspec.ValidationError) -> str:
    """What is wrong with a table, with the service that msgspec leaves out as ``[...]``."""
    message = str(error)
    if not message.endswith("$.prices[...]`"):
        return message
    wrong = (name for name, price in table["prices"].items() if not isinstance(price, str))
    return message.replace("[...]", f"[{next(wrong)!r}]")


def phrases_of(profile: Profile) -> dict[str, dict[str, str]]:
    """Per language, what the assistant says of its own accord, by the names of ``Phrases``."""
    defaults = load_profile()
    found: dict[str, dict[str, str]] = {}
    for language, facts in profile.items():
        found[language] = {"greeting": facts.greeting}
        for name in ("apology", "still_there", "goodbye", "acknowledgement", "ending_soon"):
            own = getattr(facts, name)
            default = getattr(defaults[language], name) if language in defaults else None
            found[language][name] = (own if own is not None else default) or ""
    return found
