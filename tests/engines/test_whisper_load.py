"""A speech model that cannot be used is refused with one line that says what to do."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gateway.engines.whisper import WhisperSettings, WhisperTranscriber, load_model
from gateway.errors import ModelError

SETTINGS = WhisperSettings(Path(__file__).parents[2] / "models" / "starter" / "stt", device="cpu")


def broken_copy(tmp_path: Path, name: str, content: bytes | None) -> Path:
    """A copy of the starter model in which one file is missing or replaced."""
    copy = tmp_path / "stt"
    shutil.copytree(SETTINGS.model_path, copy)
    (copy / name).unlink()
    if content is not None:
        (copy / name).write_bytes(content)
    return copy


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("model.bin", None, "has no model.bin; download it again"),
        ("config.json", None, "has no config.json"),
        ("tokenizer.json", None, "has no tokenizer.json"),
        ("vocabulary.json", None, "has no vocabulary.json"),
        ("model.bin", b"\x06\x00\x00\x00\x0e\x00Whisper", "damaged or not a CTranslate2"),
        ("model.bin", b"version https://git-lfs.github.com/spec/v1", "git lfs pull"),
        ("config.json", b"{", "not valid JSON"),
        ("tokenizer.json", b"{}", "not a Hugging Face tokenizer"),
        ("preprocessor_config.json", b'{"feature_size": 128}', "80 mel bands"),
        ("preprocessor_config.json", b'{"feature_size": "x"}', "damaged or not a CTranslate2"),
        ("preprocessor_config.json", b"[]", "damaged or not a CTranslate2"),
        ("vocabulary.json", b'["a", "b"]', "50259 among lang_ids, .* ends at 1; download it again"),
        ("vocabulary.json", b"\xff", "damaged or not a CTranslate2"),
        ("tokenizer.json", b'{"model": null, "added_tokens": []}', "not a Hugging Face tokenizer"),
    ],
)
def test_a_model_that_cannot_load_says_what_to_do(
    tmp_path: Path, name: str, content: bytes | None, message: str
) -> None:
    path = broken_copy(tmp_path, name, content)
    with pytest.raises(ModelError, match=message) as caught:
        asyncio.run(WhisperTranscriber.load(WhisperSettings(path, device="cpu", threads=1)))
    assert "\n" not in str(caught.value)


def edited_copy(tmp_path: Path, name: str, changes: dict[str, Any]) -> Path:
    """A copy of the starter model in which values of one JSON file are others."""
    content = json.loads((SETTINGS.model_path / name).read_bytes())
    return broken_copy(tmp_path, name, json.dumps(content | changes).encode())


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("tokenizer.json", {"model": {"type": "Unheard", "vocab": {}}}),
        ("tokenizer.json", {"added_tokens": [{"x": 1}]}),
        ("config.json", {"lang_ids": 5}),
    ],
)
def test_values_of_another_kind_are_told_in_one_line(
    tmp_path: Path, name: str, changes: dict[str, Any]
) -> None:
    with pytest.raises(ModelError, match=r"damaged or not .*; download it again\Z"):
        load_model(WhisperSettings(edited_copy(tmp_path, name, changes), device="cpu"))


@pytest.mark.parametrize("key", ["suppress_ids", "suppress_ids_begin", "lang_ids"])
@pytest.mark.parametrize("number", [999_999, -99_999_999, -1])
def test_a_token_beyond_the_vocabulary_is_told_because_the_library_would_crash(
    tmp_path: Path, key: str, number: int
) -> None:
    tokens = json.loads((SETTINGS.model_path / "config.json").read_bytes())[key]
    path = edited_copy(tmp_path, "config.json", {key: [*tokens, number]})
    with pytest.raises(ModelError, match=f"has {number} among {key}, .* at 0 and ends at 51864"):
        load_model(WhisperSettings(path, device="cpu"))


@pytest.mark.parametrize("change", [{"sampling_rate": 8000}, {"hop_length": 80}, {"n_fft": 512}])
def test_sound_that_whisper_was_not_trained_on_is_refused(
    tmp_path: Path, change: dict[str, int]
) -> None:
    path = edited_copy(tmp_path, "preprocessor_config.json", change)
    with pytest.raises(ModelError, match=r"expected \(16000, 160, 400, 30\); download it again"):
        load_model(WhisperSettings(path, device="cpu", threads=1))


def test_a_tokenizer_of_another_model_is_told(tmp_path: Path) -> None:
    """As large-v3's in place of that of the models before it, where nonsense would be heard."""
    tokenizer = json.loads((SETTINGS.model_path / "tokenizer.json").read_bytes())
    for token in tokenizer["added_tokens"]:
        token["id"] += token["id"] >= 50358
    path = edited_copy(tmp_path, "tokenizer.json", tokenizer)
    with pytest.raises(ModelError, match=r"numbers '<\|translate\|>' 50359 and .* 50358"):
        load_model(WhisperSettings(path, device="cpu"))


def test_a_vocabulary_of_lines_is_read_too(tmp_path: Path) -> None:
    """As in older conversions."""
    tokens = json.loads((SETTINGS.model_path / "vocabulary.json").read_bytes())
    path = broken_copy(tmp_path, "vocabulary.json", None)
    (path / "vocabulary.txt").write_text("\n".join(tokens) + "\n", "utf-8")
    assert load_model(WhisperSettings(path, device="cpu", threads=1)).languages


@pytest.mark.parametrize("listed", [None, []])
def test_a_conversion_that_lists_no_languages_serves_only_one(
    tmp_path: Path, listed: list[int] | None
) -> None:
    """CTranslate2 detects none, so every caller would be taken for one of the first language."""
    path = edited_copy(tmp_path, "config.json", {"lang_ids": listed})
    with pytest.raises(ModelError, match=r"lists no languages \(lang_ids\)"):
        load_model(WhisperSettings(path, device="cpu", threads=1))
    one = WhisperSettings(path, languages=("ru",), device="cpu", threads=1)
    assert load_model(one).languages == ("ru",)
    with pytest.raises(ModelError, match="does not know the language xx"):
        load_model(replace(one, languages=("xx",)))


def test_an_english_model_is_told_although_its_conversion_lists_languages(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those of Whisper's ``.en`` models do: the tokens of the languages are in their vocabulary."""
    monkeypatch.setattr("ctranslate2.models.Whisper.is_multilingual", property(lambda _: False))
    for languages in (("en", "ar", "ru"), ("ru",)):
        with pytest.raises(ModelError, match="does not know the language .*ru; it knows en"):
            load_model(replace(SETTINGS, languages=languages, threads=1))
    assert load_model(replace(SETTINGS, languages=("en",), threads=1)).languages == ("en",)


def test_an_unknown_kind_of_model_is_not_taken_for_a_compute_type(tmp_path: Path) -> None:
    content = (SETTINGS.model_path / "model.bin").read_bytes()
    path = broken_copy(tmp_path, "model.bin", content.replace(b"WhisperSpec", b"UnheardSpec", 1))
    with pytest.raises(ModelError, match="Unknown model UnheardSpec.*; download it again"):
        load_model(WhisperSettings(path, device="cpu"))


def test_files_that_cannot_be_read_are_told_in_one_line(deny: Callable[[str], None]) -> None:
    deny("read_bytes")
    with pytest.raises(ModelError, match=r"cannot be read \(Permission denied\); correct"):
        load_model(SETTINGS)


def test_a_missing_directory_and_a_foreign_model_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="does not exist"):
        load_model(WhisperSettings(tmp_path / "none"))
    (tmp_path / "model.safetensors").write_bytes(b"")
    with pytest.raises(ModelError, match="ct2-transformers-converter"):
        load_model(WhisperSettings(tmp_path))


def test_a_language_the_model_lacks_is_named_before_it_is_loaded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delattr("gateway.engines.whisper_load.WhisperModel")
    known = sorted(["ar", "en", "ru"])
    assert len(json.loads((SETTINGS.model_path / "config.json").read_text())["lang_ids"]) == 3
    with pytest.raises(ModelError, match=f"language de; it knows {', '.join(known)}"):
        load_model(WhisperSettings(SETTINGS.model_path, languages=("en", "de")))


def test_an_unknown_compute_type_lists_the_possible_ones() -> None:
    with pytest.raises(ModelError, match="compute type 'int3' on this CPU; choose one of: .*int8"):
        load_model(WhisperSettings(SETTINGS.model_path, device="cpu", compute_type="int3"))


@pytest.mark.parametrize("compute_type", ["auto", "float16"])
def test_a_missing_gpu_falls_back_to_the_cpu_with_one_warning(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, compute_type: str
) -> None:
    monkeypatch.setattr("ctranslate2.get_cuda_device_count", lambda: 0)
    settings = replace(SETTINGS, device="cuda", compute_type=compute_type, threads=1)
    assert load_model(settings).languages == ("en", "ar", "ru")
    warnings = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert warnings == ["speech recognition falls back to the CPU: no CUDA device was found"]
