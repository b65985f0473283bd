"""Words of the business that a recogniser should expect."""

from __future__ import annotations

from gateway.receptionist.profile import LanguageProfile, Profile


def hotwords(profile: Profile) -> dict[str, str]:
    """Per language: names, address, people and services, as one line of text.

    What is cut off first stands first; the name of the business stands last.
    """
    return {language: _line(facts) for language, facts in profile.items()}


def _line(facts: LanguageProfile) -> str:
    return ", ".join([facts.address, *facts.people, *facts.prices, facts.name])
