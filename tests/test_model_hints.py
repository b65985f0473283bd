"""How a recogniser wants to be asked, read from its folder."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from gateway.model_hints import SttHints, stt_hints

STARTER = Path(__file__).parent.parent / "models" / "starter" / "stt"


def test_the_starter_model_asks_for_four_hypotheses_and_no_prompt_wherever_it_lies(
    tmp_path: Path,
) -> None:
    shutil.copy(STARTER / "config.json", tmp_path)
    assert stt_hints(tmp_path) == stt_hints(STARTER) == SttHints(prompts=False, beam_size=4)


def test_a_model_that_says_nothing_is_prompted_and_follows_one_hypothesis(tmp_path: Path) -> None:
    assert stt_hints(tmp_path / "missing") == SttHints(prompts=True, beam_size=1)
    (tmp_path / "config.json").write_text(json.dumps({"lang_ids": [1]}))
    assert stt_hints(tmp_path) == SttHints(prompts=True, beam_size=1)


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "[]",
        "null",
        '{"voice_gateway": null}',
        '{"voice_gateway": []}',
        '{"voice_gateway": {"prompts": "no", "beam_size": 0}}',
        '{"voice_gateway": {"beam_size": true}}',
        '{"voice_gateway": {"beam_size": 11}}',
        '{"voice_gateway": {"beam_size": "2"}}',
    ],
)
def test_hints_that_make_no_sense_are_as_good_as_none(tmp_path: Path, content: str) -> None:
    (tmp_path / "config.json").write_text(content)
    assert stt_hints(tmp_path) == SttHints()


def test_a_hint_that_makes_no_sense_is_named_in_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "config.json").write_text('{"voice_gateway": {"prompts": "no"}}')
    stt_hints(tmp_path)
    (warning,) = caplog.messages
    assert "config.json" in warning and "voice_gateway.prompts" in warning
    assert "boolean" in warning


def test_one_hint_leaves_the_other_as_usual(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"voice_gateway": {"prompts": false}}')
    assert stt_hints(tmp_path) == SttHints(prompts=False, beam_size=1)
