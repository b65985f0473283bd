"""What a recogniser is told of a business."""

from __future__ import annotations

from gateway.receptionist.hotwords import hotwords
from gateway.receptionist.profile import load_profile


def test_names_services_and_address_are_told_in_each_language() -> None:
    profile = load_profile()
    told = hotwords(profile)
    assert set(told) == set(profile)
    for language, facts in profile.items():
        for word in [facts.name, facts.address, *facts.people, *facts.prices]:
            assert word in told[language]
        assert told[language].endswith(facts.name)
