"""The command line of the recipes (extra ``starter``)."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest

from scripts.starter import __main__ as driver
from tests.starter.material import CHAT, MODELS, write_speech_set

torch = pytest.importorskip("torch", reason="the extra 'starter' is not installed")

from scripts.starter.stt import synthesis  # noqa: E402


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("llm --minutes 0", "expected more than 0 minutes"),
        ("llm --minutes soon", "expected more than 0 minutes, not soon"),
        ("stt --minutes soon", "expected 0 or more minutes, not soon"),
        ("stt --minutes 5 --keep half", "expected a share from 0 to 1, not half"),
        ("llm --minutes 5 --processes two", "expected 1 or more, not two"),
        ("llm --minutes 5 --layers 1", "expected 2 or more, not 1"),
        ("stt --minutes 5 --draw -1", "expected 0 or more, not -1"),
        (f"check llm {CHAT} --tool-turns -5", "expected 0 or more, not -5"),
        ("all --minutes 0 --decoder-minutes 5", "expected more than 0 minutes"),
        ("stt --minutes -5", "expected 0 or more minutes, not -5"),
        ("stt --minutes 5 --decoder-minutes nan", "expected 0 or more minutes, not nan"),
        ("stt --minutes 0 --init models/starter/stt", "nothing to do"),
        ("stt --minutes 5 --processes 0", "expected 1 or more, not 0"),
        ("llm --minutes 5 --init models/starter/llm", "expected a GGUF file or a checkpoint"),
        ("llm --minutes 5 --init models/starter/stt/model.bin", "expected a GGUF file or a check"),
        ("stt --minutes 5 --init models/starter/stt/model.bin", "expected a model's folder or"),
        ("stt --minutes 5 --keep 0.5", "expected --init too"),
        ("llm --minutes 5 --device cuda", "PyTorch finds no graphics card here"),
        ("check tts models/starter/llm", "there is no .onnx file in models/starter/llm"),
        ("check tts models/starter/nowhere", "there is no models/starter/nowhere"),
        ("check llm models/starter/llm", "models/starter/llm: expected a GGUF file"),
        ("check llm models/starter/stt/model.bin", "model.bin: expected a GGUF file"),
        ("check stt models/starter/llm", "llm: expected a recogniser's folder"),
        ("sheet models/starter/llm sheet.png", "there is no .onnx file in models/starter/llm"),
        ("sheet models/starter/tts nowhere/sheet.png", "there is no folder nowhere"),
        ("sheet models/starter/tts sheet.txt", "sheet.txt: expected an image file: .png, .jpg"),
        ("check stt models/starter/stt --data NOTHING.pt", "NOTHING.pt: expected a folder, or wh"),
        ("llm --minutes 5 --out NOTHING.pt", "NOTHING.pt: expected a folder, or where one can be"),
        ("llm --minutes 5 --out NOTHING.pt/here", "here: expected a folder, or where one can be"),
        ("confusions models/starter/llm SET out.json", "llm: expected a recogniser's folder"),
        ("confusions models/starter/stt nowhere out.json", "there is no nowhere.jsonl"),
        ("confusions models/starter/stt SET nowhere/out.json", "there is no folder nowhere"),
        ("confusions models/starter/stt SET models", "models is a folder, expected a file"),
        (f"llm --minutes 5 --layers 3 --init {CHAT}", "layers, expected at most 3"),
        ("llm --minutes 5 --processes 2 --out OF_ONE", "holds a training by 1 processes"),
        ("stt --minutes 5 --processes 2 --out OF_ONE", "holds a training by 1 processes"),
        (
            "stt --minutes 0 --decoder-minutes 5 --init models/starter/stt --processes 2"
            " --out OF_ONE",
            "decoder holds a training by 1 processes",
        ),
        ("llm --minutes 5 --layers 3 --out OF_ONE", "last.pt has 1 layers, expected 3"),
        ("all --minutes 5 --layers 3 --out OF_ONE", "last.pt has 1 layers, expected 3"),
        ("tts --minutes 5", "flite not found; apt-get install"),
        ("all --minutes 5 --out OF_ONE", "espeak-ng's library not found; apt-get install"),
        ("stt --minutes 5 --init models/starter/llm", "llm: expected a recogniser's folder"),
        ("stt --minutes 5 --init NOTHING.pt", "NOTHING.pt: expected a recogniser's folder"),
        ("stt --minutes 5 --init NARROW", "is a recogniser 64 wide, expected 192"),
        ("llm --minutes 5 --init NOTHING.pt", "NOTHING.pt: expected a chat model or a check"),
        ("llm --minutes 5 --init NOTHING.gguf", "NOTHING.gguf: expected a chat model or a check"),
        ("llm --minutes 5 --confusions NOTHING.pt", "NOTHING.pt: expected what `confusions` writ"),
    ],
)
def test_what_does_not_fit_together_is_told_before_anything_is_made(
    arguments: str,
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    write_speech_set(tmp_path / "set", ["hello"])
    for work in ("stt/work", "stt/decoder", "llm/work"):
        (tmp_path / work).mkdir(parents=True)
        weights = {"blocks.0.norm1.weight": torch.ones(1)}
        torch.save({"model": weights}, tmp_path / work / "last.pt")
    narrow = tmp_path / "narrow.pt"
    torch.save({"model": {"emb.weight": torch.ones(1, 64)}}, narrow)
    for inventory in ("pieces.json", "phones.json"):
        (tmp_path / inventory).write_text("{}")
    for suffix in (".pt", ".gguf"):
        (tmp_path / f"NOTHING{suffix}").write_text("nothing")
    arguments = arguments.replace("OF_ONE", str(tmp_path)).replace("SET", str(tmp_path / "set"))
    arguments = arguments.replace("NARROW", str(narrow))
    arguments = arguments.replace("NOTHING", str(tmp_path / "NOTHING"))
    missing = arguments.startswith("tts")
    monkeypatch.setattr(shutil, "which", lambda name: None if missing else name)
    # Of espeak-ng; the program itself can always be loaded as a library.
    library = "missing.so" if "espeak-ng" in message else None
    monkeypatch.setattr(synthesis, "_LIBRARY", library)
    monkeypatch.chdir(MODELS.parents[1])
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(sys, "argv", ["starter", *arguments.split()])
    with pytest.raises(SystemExit) as end:
        driver.main()
    assert end.value.code == 2
    assert message in capsys.readouterr().err.splitlines()[-1]


def test_packages_that_are_not_installed_are_told_with_what_installs_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    monkeypatch.setattr(sys, "argv", "starter llm --minutes 5 --device cuda".split())
    with pytest.raises(SystemExit, match=r"torch.*; install .*: pip install -e '\.\[starter\]'"):
        driver.main()


def test_an_interrupt_is_told_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(driver, "_check", interrupted)
    monkeypatch.setattr(sys, "argv", ["starter", "check", "llm", str(CHAT)])
    with pytest.raises(SystemExit, match="goes on when the same command is given again"):
        driver.main()
