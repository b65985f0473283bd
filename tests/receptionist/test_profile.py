from __future__ import annotations

from pathlib import Path

import pytest

from gateway.errors import ConfigError
from gateway.receptionist.profile import LanguageProfile, load_profile, phrases_of
from gateway.receptionist.prompt import system_prompt

PLAIN = '[en]\nname = "a"\nopen = "b"\naddress = "c"\n'


def test_default_profile_gives_one_block_per_language_in_the_trained_form() -> None:
    lines = system_prompt(load_profile()).splitlines()
    assert lines[0] == "You are the phone receptionist. Speak briefly in the caller's language."
    assert [line for line in lines if line.startswith("[")] == ["[en]", "[ar]", "[ru]"]
    assert lines[1:8] == [
        "[en]",
        "name: Pearl Dental Clinic",
        "open: Monday to Friday from nine in the morning to six in the evening",
        "closed: Saturday, Sunday",
        "address: twenty five Garden Street, near the train station",
        "prices: teeth cleaning = one hundred and fifty dirhams; filling = two hundred and fifty"
        " dirhams; teeth whitening = six hundred dirhams",
        "people: the manager; the doctor on duty",
    ]


def test_greeting_and_apology_are_spoken_not_part_of_the_prompt() -> None:
    profile = load_profile()
    assert all(facts.greeting and facts.apology for facts in profile.values())
    assert str(profile["en"].apology) not in system_prompt(profile)


def test_phrases_that_a_profile_leaves_out_are_those_of_the_default_one() -> None:
    facts = LanguageProfile("a", "b", "c", apology="Oh.", goodbye="")
    default = load_profile()["en"]
    assert phrases_of({"en": facts, "de": facts}) == {
        "en": {
            "greeting": "",
            "apology": "Oh.",
            "still_there": default.still_there,
            "goodbye": "",
            "acknowledgement": default.acknowledgement,
            "ending_soon": default.ending_soon,
        },
        "de": {
            "greeting": "",
            "apology": "Oh.",
            "still_there": "",
            "goodbye": "",
            "acknowledgement": "",
            "ending_soon": "",
        },
    }
    assert default.still_there and default.acknowledgement and default.ending_soon


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[en]\nname = 3\n", "[en]: Expected `str`, got `int` - at `$.name`"),
        (f"{PLAIN}[ru]\nname = 3\n", "[ru]: Expected `str`, got `int` - at `$.name`"),
        (
            f"{PLAIN}[en.prices]\nfilling = '250'\n'root canal' = 900\n",
            "[en]: Expected `str`, got `int` - at `$.prices['root canal']`",
        ),
        ('name = "x"\n', "expected one table per language"),
        ('[en]\nname = "x"\n', "missing required field `open`"),
        ('[en]\nnmae = "x"\n', "nmae"),
        ("[en\n", "expected TOML"),
        ("", "at least one language"),
    ],
)
def test_mistakes_in_a_profile_name_the_file_and_what_was_expected(
    tmp_path: Path, text: str, expected: str
) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load_profile(path)
    assert str(path) in str(caught.value)
    assert expected in str(caught.value)


def test_a_profile_that_notepad_saved_is_read(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(PLAIN, encoding="utf-8-sig")
    assert load_profile(path)["en"].name == "a"


def test_a_text_over_several_lines_is_one_line_of_the_prompt(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(
        '[en]\nname = " Pearl "\nopen = """\nMonday to Friday\n  from nine to six\n"""\n'
        'address = "here"\nclosed = ["Saturday\\n"]\ngreeting = " "\n'
        '[en.prices]\nfilling = """\ntwo hundred\ndirhams"""\n'
    )
    profile = load_profile(path)
    assert system_prompt(profile).splitlines()[2:] == [
        "name: Pearl",
        "open: Monday to Friday from nine to six",
        "closed: Saturday",
        "address: here",
        "prices: filling = two hundred dirhams",
    ]
    assert profile["en"].greeting == ""


def test_missing_profile_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read: No such file"):
        load_profile(tmp_path / "none.toml")
