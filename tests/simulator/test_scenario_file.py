"""Scenario files: what they may say, and how mistakes are refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.simulator.scenario import Part
from gateway.simulator.scenario_file import (
    Scenario,
    ScenarioError,
    load_scenarios,
    parse_scenarios,
)

HEAD = """\
[defaults]
language = "en"

[[call]]
name = "first"
noise = { kind = "babble", snr_db = 10 }
turn = [
    { say = "Hello." },  # a [comment] with brackets {
    { kind = "interruption", say = ["Wait,", 400, "stop."], over_ms = 600 },
    { kind = "cough", say = [{ sound = "cough", ms = 300 }] },
]

[[call]]
name = "second"
hint = "ru"

[[call.turn]]
say = "How much?"

[[call.turn]]
say = "Bye."

[call.turn.expect]
history = ["bye"]
"""


def parse(text: str) -> list[Scenario]:
    return parse_scenarios(text, Path("set.toml"))


def test_calls_take_defaults_and_turns_in_both_forms() -> None:
    first, second = (scenario.call for scenario in parse(HEAD))
    assert (first.language, first.hint, second.hint) == ("en", "auto", "ru")
    assert first.turn[1].parts == ("Wait,", 400, "stop.")
    assert first.turn[2].parts == (Part(sound="cough", ms=300),)
    assert second.turn[1].expect.history == ("bye",)


def test_the_kind_of_a_turn_decides_what_is_expected() -> None:
    plain, interruption, cough = parse(HEAD)[0].call.turn
    assert [t.answered for t in (plain, interruption, cough)] == [True, True, False]
    assert [t.stops for t in (plain, interruption, cough)] == [False, True, False]
    assert [t.transcript for t in (plain, interruption, cough)] == ["Hello.", "Wait, stop.", ""]


@pytest.mark.parametrize(
    ("right", "wrong", "line", "message"),
    [
        ('say = "Hello."', "say = 5", 8, "call[1].turn[1].say: expected `str | array`, got `int`"),
        ("over_ms = 600", "over = 600", 9, "expected a known key, got 'over'"),
        ("over_ms = 600", "over_ms = 99999", 9, "expected 'over_ms' from 0 to 60000, got 99999"),
        (", over_ms = 600", "", 9, "expected 'over_ms' or 'before_end_ms' for kind 'interruption'"),
        ("400", "0", 9, "expected pauses from 1 to 10000 ms in 'say'"),
        ('"stop."', '" "', 9, "expected words in 'say', got an empty text"),
        ("over_ms = 600", "before_end_ms = 600", 9, "in the first turn only: over the greeting"),
        ('sound = "cough"', 'sound = "sneeze"', 10, "expected one of cough, breath, click"),
        ('"stop."', '{ text = " " }', 9, "expected words in 'text', got an empty text"),
        (", ms = 300", "", 10, "expected 'sound' and 'ms' together"),
        ("ms = 300", "ms = -5", 10, "expected 'ms' from 1 to 60000, got -5"),
        ("ms = 300", "ms = 60001", 10, "expected 'ms' from 1 to 60000, got 60001"),
        ("ms = 300", "ms = 3, seed = -1", 10, "expected 'seed' of 0 or more, got -1"),
        ("ms = 300", "ms = 3, level_db = nan", 10, "'level_db' from -60 to 60, got nan"),
        ("snr_db = 10", "snr_db = 10, seed = -1", 6, "expected 'seed' of 0 or more, got -1"),
        ('"Hello."', '"Hi", length_scale = -1.0', 8, "'length_scale' from 0.3 to 3, got -1.0"),
        ('"Hello."', '"Hi", level_db = inf', 8, "'level_db' from -60 to 60, got inf"),
        ('"Hello."', '"Hi", level_db = nan', 8, "'level_db' from -60 to 60, got nan"),
        ("400", "400, 300", 9, "expected one pause at a time in 'say', got two in a row"),
        ('sound = "cough", ms = 300', 'file = "no.wav"', 10, "an existing file, got 'no.wav'"),
        ('sound = "cough", ms = 300', f'file = "{"x" * 300}"', 10, "an existing file, got 'xxx"),
        ('sound = "cough", ms = 300', "seed = 1", 10, "one of 'text', 'file' and 'sound'"),
        ('kind = "cough"', 'kind = "silence"', 10, "expected no 'say' for kind 'silence'"),
        ('kind = "babble"', 'kind = "crowd"', 6, "expected one of babble, street, music"),
        ("snr_db = 10", "snr_db = 100", 6, "expected 'snr_db' from -20 to 60, got 100.0"),
        (", snr_db = 10", "", 6, "missing required field `snr_db`"),
        ('hint = "ru"', "network = { every_ms = 0 }", 15, "'every_ms' of 1 or more, got 0"),
        ('language = "en"', 'language = "fr"', 2, "expected one of en, ar, ru, got 'fr'"),
        ('hint = "ru"', 'hint = "rus"', 15, "expected one of auto, en, ar, ru, got 'rus'"),
        ('name = "second"', 'name = "first"', 14, "expected a name of its own, got 'first'"),
        ('"How much?"', '"How much?', 18, "expected TOML"),
        ('history = ["bye"]', "wer = -1", 24, "expected a finite 'wer' of 0 or more, got -1"),
        ('history = ["bye"]', "wer = nan", 24, "expected a finite 'wer' of 0 or more, got nan"),
    ],
)
def test_a_mistake_is_refused_with_its_line(
    right: str, wrong: str, line: int, message: str
) -> None:
    assert right in HEAD
    with pytest.raises(ScenarioError) as caught:
        parse(HEAD.replace(right, wrong))
    assert str(caught.value).startswith(f"set.toml:{line}: ")
    assert message in str(caught.value)


def test_a_text_over_several_lines_does_not_shift_the_lines() -> None:
    text = HEAD.replace('say = "How much?"', 'say = """\nover_ms = "x"\n[[call]]"""')
    with pytest.raises(ScenarioError, match=r"^set.toml:26: "):
        parse(text.replace('history = ["bye"]', "history = 1"))


def test_every_file_with_a_mistake_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text("[[call]]\n")
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "b.toml").write_text("calls = 1\n")
    (tmp_path / "good.toml").write_text(HEAD)
    with pytest.raises(ScenarioError) as caught:
        load_scenarios(tmp_path)
    first, second = str(caught.value).splitlines()
    assert first.startswith(f"{tmp_path / 'a.toml'}:1: call[1]: ")
    assert second.startswith(f"{tmp_path / 'sub' / 'b.toml'}:1: ")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("none.toml", None, "there is no such file"),
        ("x" * 300, None, "there is no such file"),
        ("long.toml", b"x = " + 5000 * b"9", "long.toml: expected TOML"),
        ("deep.toml", b"x = " + 9000 * b"[", "deep.toml: expected TOML"),
        ("latin.toml", b'x = "\xff"', "expected UTF-8"),
    ],
)
def test_a_file_that_cannot_be_read_is_refused(
    tmp_path: Path, name: str, content: bytes | None, message: str
) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(ScenarioError, match=message):
        load_scenarios(tmp_path / name)


def test_a_folder_without_scenarios_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ScenarioError, match="found none"):
        load_scenarios(tmp_path)


def test_the_bundled_set_covers_each_language() -> None:
    turns: dict[str, int] = {}
    tags: dict[str, set[str]] = {}
    for scenario in load_scenarios(Path("tests/scenarios")):
        call = scenario.call
        turns[call.language] = turns.get(call.language, 0) + len(call.turn)
        tags.setdefault(call.language, set()).update(t.tag or t.kind for t in call.turn)
    assert set(turns) == {"en", "ar", "ru"} and min(turns.values()) >= 60
    wanted = {"complete", "pause", "dictation", "back-channel", "cough", "interruption"}
    assert all(wanted | {"noisy", "switch", "silence", "echo"} <= found for found in tags.values())


def test_a_file_that_notepad_saved_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.toml"
    path.write_text(HEAD, encoding="utf-8-sig")
    assert [scenario.name for scenario in load_scenarios(path)] == ["first", "second"]
