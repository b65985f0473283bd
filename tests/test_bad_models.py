"""Models that cannot serve are found at start, by the gateway and by the doctor, in one line."""

from __future__ import annotations

import asyncio
import os
import shutil
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from gateway import doctor, loading
from gateway.app import Gateway
from gateway.doctor import run_checks
from gateway.engines.base import Tool
from gateway.engines.llama import LlamaChat
from gateway.errors import ConfigError
from gateway.model_paths import ModelPaths
from gateway.settings import Settings, load_settings

STARTER = ModelPaths(Path("models")).root / "starter"

Break = Callable[[Path], None]


def missing(*names: str) -> Break:
    def apply(models: Path) -> None:
        for name in names:
            (models / name).unlink()

    return apply


def truncated(name: str, size: int) -> Break:
    return lambda models: os.truncate(models / name, size)


def replaced(name: str, old: bytes, new: bytes) -> Break:
    def apply(models: Path) -> None:
        content = (models / name).read_bytes()
        assert old in content
        (models / name).write_bytes(content.replace(old, new))

    return apply


def copied(source: str, target: str) -> Break:
    def apply(models: Path) -> None:
        shutil.copyfile(models / source, models / target)

    return apply


def other_architecture(models: Path) -> None:
    path = models / "llm/model.gguf"
    content = path.read_bytes()
    key = b"general.architecture"
    value = content.index(key) + len(key) + 12
    path.write_bytes(content[:value] + b"xxxxx" + content[value + 5 :])


BROKEN: dict[str, tuple[Break, str, str]] = {
    "stt missing": (missing("stt/model.bin"), "speech", "download"),
    "stt truncated": (truncated("stt/model.bin", 1_000_000), "speech", "download it again"),
    "stt empty": (truncated("stt/model.bin", 0), "speech", "download it again"),
    "stt of another format": (copied("llm/model.gguf", "stt/model.bin"), "speech", "download"),
    "stt without its vocabulary": (missing("stt/vocabulary.json"), "speech", "download"),
    "stt with damaged settings": (truncated("stt/config.json", 20), "JSON", "download"),
    "llm missing": (missing("llm/model.gguf"), "chat model", "download"),
    "llm truncated": (truncated("llm/model.gguf", 2_000_000), "chat model", "download"),
    "llm empty": (truncated("llm/model.gguf", 0), "chat model", "choose another"),
    "llm of another format": (copied("stt/model.bin", "llm/model.gguf"), "GGUF", "convert"),
    "llm of an unknown architecture": (other_architecture, "xxxxx", "choose"),
    "llm without a chat template": (
        replaced("llm/model.gguf", b"tokenizer.chat_template", b"tokenizer.that_template"),
        "chat template",
        "choose",
    ),
    "llm that llama.cpp would end the process for": (
        replaced("llm/model.gguf", b"block_count\4\0\0\0\4", b"block_count\4\0\0\0\0"),
        "llama.block_count is 0, expected 1 to 512",
        "download",
    ),
    "voice missing": (missing("tts/ru.onnx"), "ru.onnx", "download"),
    "voice without its JSON": (missing("tts/ar.onnx.json"), "ar.onnx.json", "download"),
    "voice truncated": (truncated("tts/en.onnx", 1_000_000), "en.onnx", "download"),
    "voice empty": (truncated("tts/en.onnx", 0), "en.onnx", "download"),
    "voice of another format": (copied("llm/model.gguf", "tts/en.onnx"), "en.onnx", "download"),
    "voice with damaged settings": (truncated("tts/en.onnx.json", 99), "en.onnx.json", "download"),
    "language without a voice": (missing("tts/ru.onnx", "tts/ru.onnx.json"), "ru.onnx", "download"),
    "voice of another language": (
        copied("tts/en.onnx.json", "tts/ru.onnx.json"),
        "'ru'",
        "TTS_VOICE",
    ),
}


@pytest.fixture
def models(tmp_path: Path) -> Path:
    """A copy of the starter models, to be broken, without the checksums, which would tell."""
    if not (STARTER / "stt/model.bin").is_file():
        pytest.skip("this checkout has no starter models")
    shutil.copytree(STARTER, tmp_path / "starter", ignore=shutil.ignore_patterns("SHA256SUMS"))
    return tmp_path / "starter"


@pytest.fixture
def settings(models: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    for field in Settings.model_fields:
        monkeypatch.delenv(field.upper(), raising=False)
    monkeypatch.setenv("MODELS_DIR", str(models.parent))
    monkeypatch.setenv("GATEWAY_PORT", "0")
    monkeypatch.setenv("GATEWAY_THREADS", "1")
    return load_settings(None)


def start(settings: Settings) -> None:
    """What ``serve`` does until it takes calls."""

    async def main() -> None:
        async with Gateway(settings) as gateway:
            await gateway.ready()

    asyncio.run(main())


CHECKS = {
    "stt": doctor.check_speech_model,
    "llm": doctor.check_chat_model,
    "voice": doctor.check_voices,
}


def assert_found(
    settings: Settings, kind: str, names: str, advises: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both ``serve`` and ``doctor`` say the same single line."""
    with pytest.raises(ConfigError) as caught:
        start(settings)
    line = str(caught.value)
    assert "\n" not in line and names in line and advises in line
    # The models that are whole need not be loaded again.
    monkeypatch.setattr(doctor, "CHECKS", (doctor.check_model_files, CHECKS[kind]))
    monkeypatch.setattr(doctor, "LOADING", ())  # here, where it is quick and sees what tests patch
    (finding,) = [found for found in run_checks(settings) if found.status != "ok"]
    assert (finding.status, finding.detail) == ("fail", line)
    assert finding.advice


@pytest.mark.parametrize("case", BROKEN)
def test_a_model_that_cannot_serve_is_found_at_start(
    case: str, settings: Settings, models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    apply, names, advises = BROKEN[case]
    apply(models)
    kind = "voice" if case.startswith("language") else case.split()[0]
    assert_found(settings, kind, names, advises, monkeypatch)


def test_a_context_smaller_than_the_system_prompt_is_found_at_start(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    profile = tmp_path / "long.toml"
    people = ", ".join(f'"Doctor Number {number}"' for number in range(300))
    facts = 'name = "A"\nopen = "nine to five"\naddress = "Main Street"\n'
    profile.write_text(
        "\n".join(f"[{code}]\n{facts}people = [{people}]" for code in settings.languages)
    )
    monkeypatch.setenv("BUSINESS_PROFILE", str(profile))
    monkeypatch.setenv("LLM_CONTEXT", "1024")
    assert_found(load_settings(None), "llm", "system prompt", "LLM_CONTEXT=1024", monkeypatch)


def test_tools_that_no_grammar_can_constrain_are_found_at_start(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    phone = r'{"properties": {"phone": {"type": "string", "pattern": "^\\q$"}}}'
    tools = (Tool("take_message", phone),)
    monkeypatch.setattr(loading, "receptionist_tools", lambda profile: tools)
    assert_found(settings, "llm", "take_message", "business profile", monkeypatch)


def test_a_language_that_tts_voice_leaves_out_is_found_at_start(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TTS_VOICE", "en=starter,ru=starter")
    with pytest.raises(ConfigError, match="TTS_VOICE=.*one for each language: en=…,ar=…,ru=…"):
        load_settings(None)


def test_several_broken_models_are_told_one_line_each(settings: Settings, models: Path) -> None:
    truncated("stt/model.bin", 10)(models)
    truncated("llm/model.gguf", 10)(models)
    truncated("tts/en.onnx", 10)(models)
    with pytest.raises(ConfigError) as caught:
        start(settings)
    lines = str(caught.value).splitlines()
    assert len(lines) == 3
    assert all(str(models) in line for line in lines)


def test_a_load_that_is_cancelled_leaves_no_chat_model_behind(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    warming = asyncio.Event()

    async def warm_up(_chat: LlamaChat, _prompt: str) -> None:
        warming.set()
        await asyncio.Event().wait()

    async def main() -> None:
        load = asyncio.create_task(loading.load_chat(settings, "You are a receptionist."))
        await warming.wait()
        load.cancel()
        await asyncio.gather(load, return_exceptions=True)

    monkeypatch.setattr(LlamaChat, "warm_up", warm_up)
    before = {thread.name for thread in threading.enumerate()}
    asyncio.run(main())
    left = {thread.name for thread in threading.enumerate()} - before
    assert not [name for name in left if name.startswith("llama")]
