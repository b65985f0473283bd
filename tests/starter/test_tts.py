"""The voices' teachers (extra ``starter``)."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the extra 'starter' is not installed")

from scripts.starter.stt.dataset import Sizes, make_set  # noqa: E402
from scripts.starter.stt.synthesis import _ESPEAK_NAMES, flite  # noqa: E402
from scripts.starter.tts.alignment import _FLITE  # noqa: E402
from scripts.starter.tts.teachers import Teacher  # noqa: E402


def test_a_teacher_of_the_voices_tells_when_each_phoneme_begins_and_ends(tmp_path: Path) -> None:
    sound, units = Teacher(tmp_path, "en").say("No, thank you.")
    spoken = "".join(name for name, _, _ in units)
    assert all(letter in spoken for letter in "nθk"), "phonemes in IPA"
    assert [end for _, _, end in units[:-1]] == [start for _, start, _ in units[1:]]
    assert units[-1][2] == pytest.approx(len(sound) / 16000, abs=0.01)
    assert 0.5 < units[-1][2] < 2.0
    assert 0.02 < np.abs(sound).max() < 1.0


@pytest.mark.parametrize("cut_short", ["copy", "copytree"])
def test_a_teacher_whose_copy_was_cut_short_is_copied_again(
    cut_short: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(_: Path, to: Path) -> None:
        if cut_short == "copytree":
            to.mkdir()
            to /= "phontab"
        to.write_bytes(b"")
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(shutil, cut_short, killed)
        Teacher(tmp_path, "en")
    assert Teacher(tmp_path, "en").say("No.")[1]
    assert not list(tmp_path.glob("*.partial"))


def test_flite_tells_its_phonemes_by_the_names_of_espeak_with_the_time_each_begins(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    program = tmp_path / "flite"
    program.write_text(
        f"""#!{sys.executable}
import sys, wave
with wave.open(sys.argv[sys.argv.index("-o") + 1], "wb") as out:
    out.setparams((1, 2, 16000, 0, "NONE", ""))
    out.writeframes(bytes(2 * 3200) + b"\\0\\x20" * 8000 + bytes(2 * 3200))
assert "-psdur" in sys.argv
print("pau:0.2 hh:0.3 aa:0.6 t:0.7 pau:0.9 ")
"""
    )
    program.chmod(0o700)
    monkeypatch.setenv("PATH", str(tmp_path))
    heard = flite("Hot.", "slt")
    assert len(heard.samples) == 480 + 8000 + 479, "30 ms of the silence at each end"
    expected = [(-0.17, "_"), (0.03, "h"), (0.13, "0"), (0.43, "t"), (0.53, "_")]
    assert heard.phonemes == expected, "as espeak-ng's American voices name those of hot"
    assert _ESPEAK_NAMES.keys() == _FLITE.keys(), "both recipes know all phones"


def test_teachers_that_are_missing_are_named_with_what_to_install(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("scripts.starter.stt.synthesis._LIBRARY", "libnowhere.so.1")
    with pytest.raises(RuntimeError, match="^flite and espeak-ng's library not found; apt-get in"):
        make_set(tmp_path / "train1", Sizes(), 1, None)
