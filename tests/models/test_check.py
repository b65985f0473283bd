"""Before loading: names are known, voices speak their language, downloaded files are whole."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import constants

from gateway import doctor
from gateway.errors import ModelError
from gateway.loading import load_chat, load_transcriber, load_voices
from gateway.models.catalogue import Catalogue, CatalogueModel, Kind
from gateway.models.check import check_locked, describe_models, require_models
from gateway.models.download import download
from gateway.models.hub import Hub
from gateway.models.starter import starter_problems
from gateway.models.store import ModelStore
from gateway.settings import Settings, load_settings
from tests.models.conftest import fill
from tests.models.local_hub import LocalHub

STARTER = load_settings(None).models.root / "starter"
VOICES = "en=starter,ar=starter,ru="


@pytest.fixture
def filled(store: ModelStore, catalogue: Catalogue) -> ModelStore:
    fill(store, catalogue, *catalogue.models)
    return store


def configured(store: ModelStore, **values: Any) -> Settings:
    settings = load_settings(None)
    return settings.model_copy(update={"models_dir": store.root, **values})


def refused(settings: Settings, kind: Kind) -> str:
    with pytest.raises(ModelError) as failure:
        require_models(settings, kind)
    assert "\n" not in str(failure.value)
    return str(failure.value)


def test_a_downloaded_name_is_known(filled: ModelStore) -> None:
    settings = configured(
        filled, stt_model="hearing", llm_model="talking", tts_voice=VOICES + "speaking"
    )
    for kind in ("stt", "llm", "tts"):
        require_models(settings, kind)
    assert settings.stt_path == filled.root / "stt/hearing"
    assert settings.llm_path == filled.root / "llm/talking/chat.gguf"
    assert settings.voice_paths["ru"] == filled.root / "tts/speaking/irina.onnx"


@pytest.mark.parametrize(
    ("kind", "values", "words"),
    [
        ("stt", {"stt_model": "haering"}, "STT_MODEL=haering: there is no such model"),
        ("stt", {"stt_model": "haering"}, "did you mean hearing"),
        ("stt", {"stt_model": "whisper-smal"}, "did you mean whisper-small"),
        ("stt", {"stt_model": "sarter"}, "did you mean starter"),
        ("stt", {"stt_model": "whisper-small"}, "voice-gateway models download whisper-small"),
        ("stt", {"stt_model": "qwen2.5-7b-instruct"}, "that is a chat model (LLM_MODEL)"),
        ("llm", {"llm_model": "talkin"}, "LLM_MODEL=talkin"),
        ("llm", {"llm_model": "whisper-small"}, "expected a chat model"),
        ("tts", {"tts_voice": VOICES + "ru_RU-irina"}, "did you mean ru_RU-irina-medium"),
        ("tts", {"tts_voice": "xyzzy"}, "voice-gateway models list"),
        ("stt", {"stt_model": "Systran/faster-whisper-small"}, "its name here is whisper-small"),
        (
            "tts",
            {"tts_voice": "rhasspy/piper-voices"},
            "en_US-ljspeech-medium or ar_JO-kareem-medium",
        ),
        ("llm", {"llm_model": "x" * 300}, "cannot be read (File name too long)"),
        ("stt", {"stt_model": "./" + "x" * 300}, "cannot be read (File name too long)"),
    ],
)
def test_a_name_that_is_not_known_says_what_to_do(
    filled: ModelStore, kind: Kind, values: dict[str, str], words: str
) -> None:
    assert words in refused(configured(filled, **values), kind)


def test_a_file_of_this_folder_is_told_apart_from_a_name(
    filled: ModelStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "local.gguf").write_bytes(b"GGUF")
    message = refused(configured(filled, llm_model="local.gguf"), "llm")
    assert "write LLM_MODEL=./local.gguf" in message


def test_a_name_may_end_like_its_file(filled: ModelStore) -> None:
    settings = configured(filled, llm_model="talking.gguf", tts_voice=VOICES + "speaking.onnx")
    require_models(settings, "llm")
    require_models(settings, "tts")
    assert "checksum ok" in describe_models(settings, "tts")


def test_a_model_that_cannot_be_read_is_told_in_one_line(
    filled: ModelStore, deny: Callable[[str], None]
) -> None:
    deny("open")
    message = refused(configured(filled, llm_model="talking"), "llm")
    assert message.startswith("LLM_MODEL=talking cannot be read (Permission denied); correct")


def test_a_link_to_itself_is_no_model(filled: ModelStore, tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    assert check_locked(configured(filled, stt_model=str(tmp_path / "loop"))) == []


def test_the_model_of_a_chat_service_is_not_looked_for_here(filled: ModelStore) -> None:
    os.truncate(filled.root / "llm/talking/chat.gguf", 5)
    settings = configured(filled, llm_model="talking")
    assert len(check_locked(settings)) == 1
    assert check_locked(settings.model_copy(update={"llm_mode": "remote"})) == []


def test_files_that_an_operating_system_hides_beside_a_model_are_ignored(
    filled: ModelStore,
) -> None:
    """macOS makes such a companion of every file on a disk with exFAT."""
    for hidden in ("llm/talking/._chat.gguf", "tts/speaking/._irina.onnx", "llm/._other.gguf"):
        (filled.root / hidden).write_bytes(b"\0\5\x16\7Mac OS X")
    (filled.root / "stt/hearing/.DS_Store").write_bytes(bytes(5_000_000))
    (filled.root / "llm/.Trashes").mkdir()
    settings = configured(
        filled, stt_model="hearing", llm_model="talking", tts_voice=VOICES + "speaking"
    )
    for kind in ("stt", "llm", "tts"):
        require_models(settings, kind)
    assert describe_models(settings, "stt").startswith("hearing (0 MB")
    assert settings.models.installed("llm") == ["starter", "talking"]


def test_a_name_with_two_model_files_is_not_guessed(filled: ModelStore) -> None:
    (filled.root / "llm/talking/second.gguf").write_bytes(b"GGUF")
    message = refused(configured(filled, llm_model="talking"), "llm")
    assert "does not hold exactly one .gguf file; give the path of the file, or run" in message
    (filled.root / "llm/mine").mkdir()
    message = refused(configured(filled, llm_model="mine"), "llm")
    assert message.endswith("does not hold exactly one .gguf file; give the path of the file")


def test_paths_and_the_starter_are_left_to_the_engines(filled: ModelStore) -> None:
    for value in ("starter", "./missing", "/missing/model"):
        settings = configured(filled, stt_model=value, llm_model=value, tts_voice=value)
        for kind in ("stt", "llm", "tts"):
            require_models(settings, kind)


@pytest.mark.parametrize(
    ("kind", "file", "words"),
    [
        ("stt", "model.bin", "is a file; expected the folder"),
        ("llm", "", "is a folder; expected a .gguf file"),
        ("llm", "pointer.gguf", "is a Git LFS pointer"),
        ("tts", "", "is a folder; expected a .onnx file"),
        ("tts", "voice.onnx.json", "expected a file that ends in .onnx"),
        ("tts", "pointer.onnx", "is a Git LFS pointer"),
    ],
)
def test_a_path_of_another_form_is_told_before_loading(
    store: ModelStore, tmp_path: Path, kind: Kind, file: str, words: str
) -> None:
    path = tmp_path / file
    if file:
        path.write_bytes(b"version https://git-lfs.github.com/spec/v1\noid sha256:00\n")
    setting = {"stt": "stt_model", "llm": "llm_model", "tts": "tts_voice"}[kind]
    assert words in refused(configured(store, **{setting: str(path)}), kind)


def test_a_voice_for_the_wrong_language_is_refused(filled: ModelStore) -> None:
    for voice in ("speaking", str(filled.root / "tts/speaking/irina.onnx")):
        message = refused(configured(filled, tts_voice=f"en=starter,ar={voice},ru=starter"), "tts")
        assert "'ar'" in message and "speaks ru" in message
        assert "ar_JO-kareem-medium" in message
    assert "'en'" in refused(configured(filled, tts_voice="speaking"), "tts")


@pytest.mark.parametrize(
    ("config", "speaks_russian_only"),
    [
        ({"language": {"code": "ru_RU"}}, True),
        ({"language": {"code": "ru-ru"}}, True),
        ({"language": {"code": "en-us"}}, False),
        ({"language": {"code": "en-US"}}, False),
        ({"language": {"code": 7}}, False),
        ({"language": {"family": "ru"}}, True),
        ({"language": {}}, False),
        ({"language": "ru"}, False),
        ({}, False),
        ([], False),
    ],
)
def test_a_voice_put_there_by_hand_is_known_by_its_configuration(
    store: ModelStore, tmp_path: Path, config: object, speaks_russian_only: bool
) -> None:
    voice = tmp_path / "voice.onnx"
    voice.write_bytes(b"onnx")
    voice.with_name("voice.onnx.json").write_text(json.dumps(config))
    settings = configured(store, tts_voice=f"en={voice},ar=starter,ru=starter")
    if speaks_russian_only:
        assert "speaks ru" in refused(settings, "tts")
    else:
        require_models(settings, "tts")


def test_a_configuration_that_is_nested_too_deep_is_left_to_the_engine(
    store: ModelStore, tmp_path: Path
) -> None:
    voice = tmp_path / "voice.onnx"
    voice.write_bytes(b"onnx")
    voice.with_name("voice.onnx.json").write_text('{"language":' + 100_000 * "[")
    settings = configured(store, tts_voice=f"en={voice},ar=starter,ru=starter")
    require_models(settings, "tts")
    assert "licence and languages not known" in describe_models(settings, "tts")


def test_only_models_in_use_are_checked_at_start(filled: ModelStore) -> None:
    os.truncate(filled.root / "stt/hearing/model.bin", 5)
    assert check_locked(configured(filled)) == []
    [problem] = check_locked(configured(filled, stt_model="hearing"))
    assert "has 5 bytes instead of 20000" in problem
    assert problem.endswith("run: voice-gateway models download hearing")


def test_a_model_of_no_catalogue_is_to_be_installed_from_its_bundle_again(
    filled: ModelStore,
) -> None:
    (filled.root / "catalogue.toml").unlink()
    settings = configured(filled, llm_model="talking")
    model = filled.root / "llm/talking/chat.gguf"
    os.truncate(model, 5)
    advice = "install its bundle again: voice-gateway models download --from-bundle FILE.tar"
    [problem] = check_locked(settings)
    assert problem.endswith(advice) and refused(settings, "llm").endswith(advice)
    model.rename(model.with_suffix(".bin"))
    assert refused(settings, "llm").endswith(advice)


def test_what_is_wrong_with_a_catalogue_does_not_hide_what_is_wrong_with_a_model(
    filled: ModelStore,
) -> None:
    (filled.root / "catalogue.toml").write_text("[")
    os.truncate(filled.root / "llm/talking/chat.gguf", 5)
    [problem] = check_locked(configured(filled, llm_model="talking"))
    assert problem.endswith("run: voice-gateway models download talking")


def test_a_model_that_changed_since_its_download_is_refused_at_every_start(
    filled: ModelStore,
) -> None:
    settings = configured(filled, stt_model="hearing")
    require_models(settings, "stt")
    file = filled.root / "stt/hearing/model.bin"
    data = bytearray(file.read_bytes())
    data[0] ^= 1
    file.write_bytes(data)
    assert "its checksum is another; run: voice-gateway models download hearing" in refused(
        settings, "stt"
    )
    require_models(settings, "llm")


def test_a_damaged_lock_file_does_not_stop_the_starter_models(filled: ModelStore) -> None:
    filled.lock_path.write_text("{")
    for kind in ("stt", "llm", "tts"):
        require_models(configured(filled), kind)
    assert "delete it" in refused(configured(filled, stt_model="hearing"), "stt")


def test_a_downloaded_model_is_checked_however_it_is_named(
    filled: ModelStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    (filled.root / "llm/talking/chat.gguf").write_bytes(b"GGUF")
    monkeypatch.chdir(filled.root)
    Path("link.gguf").symlink_to("llm/talking/chat.gguf")
    for name in (
        "talking",
        str(filled.root / "llm/talking/chat.gguf"),
        "./llm/talking/chat.gguf",
        "./link.gguf",
    ):
        assert len(check_locked(configured(filled, llm_model=name))) == 1


def test_another_file_in_the_folder_of_a_downloaded_model_is_not_that_model(
    filled: ModelStore,
) -> None:
    mine = filled.root / "llm/talking/mine.gguf"
    mine.write_bytes(b"GGUF")
    settings = configured(filled, llm_model=str(mine))
    assert describe_models(settings, "llm").endswith("not known, no checksum recorded)")
    (filled.root / "llm/talking/chat.gguf").write_bytes(b"GGUF")
    assert check_locked(settings) == []
    require_models(settings, "llm")


def test_a_damaged_lock_file_is_a_problem(filled: ModelStore) -> None:
    filled.lock_path.write_text("{")
    assert "delete it" in check_locked(configured(filled))[0]


def test_the_state_of_each_model_is_described(filled: ModelStore) -> None:
    settings = configured(filled, llm_model="talking", tts_voice=VOICES + "speaking")
    assert describe_models(settings, "llm") == ("talking (0 MB, Apache-2.0, en ar ru, checksum ok)")
    starter, speaking = describe_models(settings, "tts").split("; ")
    assert starter.startswith("starter (")
    assert starter.endswith(" MB, MIT, en ar, checksum ok)")
    assert speaking == "speaking (0 MB, CC0, ru, checksum ok)"
    (filled.root / "llm/talking/chat.gguf").write_bytes(b"GGUF")
    assert "checksum wrong" in describe_models(settings, "llm")


def test_a_starter_model_that_was_changed_is_told_and_still_loads(store: ModelStore) -> None:
    settings = configured(store)
    assert check_locked(settings) == []
    shutil.copytree(STARTER, store.root / "starter")
    model = store.root / "starter/llm/model.gguf"
    model.write_bytes(model.read_bytes() + b" ")
    [problem] = check_locked(settings)
    assert f"{model} was changed" in problem and "git restore models/starter" in problem
    assert describe_models(settings, "llm").endswith(" MB, MIT, en ar ru, checksum wrong)")
    assert describe_models(settings, "stt").endswith(" MB, MIT, en ar ru, checksum ok)")
    assert check_locked(configured(store, llm_mode="remote")) == []
    require_models(settings, "llm")
    model.unlink()
    assert f"{model} is missing" in str(starter_problems(store.root / "starter"))


def test_every_file_of_the_starter_models_in_use_is_checked(store: ModelStore) -> None:
    shutil.copytree(STARTER, store.root / "starter")
    voice = store.root / "starter/tts/en.onnx.json"
    voice.write_text(voice.read_text().replace('"length_scale": 1', '"length_scale": 3'))
    vocabulary = store.root / "starter/stt/vocabulary.json"
    vocabulary.unlink()
    settings = configured(store)
    assert sorted(line.split("; ")[0] for line in check_locked(settings)) == [
        f"starter: {vocabulary} is missing",
        f"starter: {voice} was changed: its checksum is another",
    ]
    assert "checksum wrong" in describe_models(settings, "stt")
    assert "checksum wrong" in describe_models(settings, "tts")
    russian = settings.model_copy(update={"gateway_languages": "ru"})
    assert "checksum ok" in describe_models(russian, "tts")


def test_of_starter_models_without_a_listing_nothing_is_known(store: ModelStore) -> None:
    shutil.copytree(STARTER, store.root / "starter")
    listing = store.root / "starter/SHA256SUMS"
    listing.unlink()
    settings = configured(store)
    assert check_locked(settings) == []
    assert "no checksum recorded" in describe_models(settings, "stt")
    listing.write_text("not a checksum\n")
    assert "'not a checksum', expected a SHA-256" in check_locked(settings)[0]


def test_the_starter_models_are_those_that_their_listing_tells() -> None:
    assert starter_problems(STARTER) == []
    told = {line.split()[1] for line in (STARTER / "SHA256SUMS").read_text().splitlines()}
    found = {
        path.relative_to(STARTER).as_posix()
        for path in STARTER.glob("*/*")
        if path.suffix in (".bin", ".gguf", ".json", ".onnx")
    }
    assert told == found


def test_a_model_put_there_by_hand_is_described(store: ModelStore, tmp_path: Path) -> None:
    voice = tmp_path / "voice.onnx"
    voice.write_bytes(bytes(2_000_000))
    voice.with_name("voice.onnx.json").write_text('{"language": {"family": "ar"}}')
    settings = configured(store, stt_model=str(tmp_path), tts_voice=str(voice))
    assert describe_models(settings, "tts") == (
        f"{voice} (2 MB, licence not known, ar, no checksum recorded)"
    )
    assert "licence and languages not known" in describe_models(settings, "stt")


def test_doctor_tells_of_damaged_files(filled: ModelStore) -> None:
    settings = configured(filled, stt_model="hearing")
    assert doctor.check_model_files(settings).status == "ok"
    (filled.root / "stt/hearing/model.bin").unlink()
    finding = doctor.check_model_files(settings)
    assert finding.status == "fail" and "model.bin is missing" in finding.detail


@pytest.fixture
def real(store: ModelStore, hub: LocalHub, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """The starter models, downloaded under names of their own."""
    if not (STARTER / "stt/model.bin").is_file():
        pytest.skip("this checkout has no starter models")
    monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 1 << 20)
    models = {}
    for name, kind, folder, files in [
        ("ears", "stt", "stt", [p.name for p in (STARTER / "stt").iterdir()]),
        ("brain", "llm", "llm", ["model.gguf"]),
        ("mouth", "tts", "tts", ["ru.onnx", "ru.onnx.json"]),
    ]:
        for file in files:
            hub.files[f"me/{name}/{file}"] = (STARTER / folder / file).read_bytes()
        models[name] = CatalogueModel(
            kind=kind,  # type: ignore[arg-type]
            repo=f"me/{name}",
            files=tuple(files),
            size_mb=1,
            licence="MIT",
            languages=("ru",) if kind == "tts" else ("en", "ar", "ru"),
        )
    download(store, Hub(hub.url), models, print)
    shutil.copytree(STARTER / "tts", store.root / "starter" / "tts")
    return configured(
        store,
        stt_model="ears",
        llm_model="brain",
        tts_voice=VOICES + "mouth",
        gateway_threads=1,
    )


def test_downloaded_models_load_by_their_names(real: Settings) -> None:
    for check in (doctor.check_speech_model, doctor.check_chat_model, doctor.check_voices):
        finding = check(real)
        assert finding.status == "ok", finding
        assert "checksum ok), loaded in" in finding.detail


def test_damaged_models_fail_to_load_with_one_line(real: Settings) -> None:
    """The engines' own checks of the formats, met through the names."""
    os.truncate(real.stt_path / "model.bin", 100_000)
    os.truncate(real.llm_path, 100_000)
    os.truncate(real.voice_paths["ru"], 100_000)
    for load in (load_transcriber, load_chat, load_voices):
        with pytest.raises(ModelError, match=r"^[^\n]+$"):
            asyncio.run(load(real))
