"""The command line of the recipes (extra ``starter``)."""

from __future__ import annotations

import sys

import pytest

from scripts.starter import __main__ as driver
from tests.starter.material import MODELS

torch = pytest.importorskip("torch", reason="the extra 'starter' is not installed")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("llm --minutes 0", "expected more than 0 minutes"),
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
        ("sheet models/starter/llm sheet.png", "there is no .onnx file in models/starter/llm"),
    ],
)
def test_what_does_not_fit_together_is_told_before_anything_is_made(
    arguments: str,
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(MODELS.parents[1])
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(sys, "argv", ["starter", *arguments.split()])
    with pytest.raises(SystemExit):
        driver.main()
    assert message in capsys.readouterr().err
