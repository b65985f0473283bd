"""The system message that tells the chat model who it is and what it knows."""

from __future__ import annotations

from gateway.receptionist.profile import LanguageProfile, Profile

# The first line and the field names are those the starter chat model was trained on; larger models
# follow them as plainly.
_HEADER = "You are the phone receptionist. Speak briefly in the caller's language."


def system_prompt(profile: Profile) -> str:
    """All facts in all languages, so that a caller may change the language in mid-call.

    The text is the same for every call: an engine can compute its prefix once and share it.
    """
    return "\n".join([_HEADER, *(_block(code, facts) for code, facts in profile.items())])


def _block(language: str, facts: LanguageProfile) -> str:
    prices = "; ".join(f"{service} = {price}" for service, price in facts.prices.items())
    fields = {
        "name": facts.name,
        "open": facts.open,
        "also": facts.also,
        "closed": ", ".join(facts.closed),
        "address": facts.address,
        "prices": prices,
        "people": "; ".join(facts.people),
    }
    lines = [f"{name}: {text}" for name, text in fields.items() if text]
    return "\n".join([f"[{language}]", *lines])
