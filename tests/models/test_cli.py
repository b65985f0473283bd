"""The command line of the models, from the download to the settings and to another machine."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
import types
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import constants

from gateway.cli import main
from gateway.env_file import env_file_values
from gateway.errors import ConfigError
from gateway.models import hub as hub_module
from gateway.models.cli import _hub
from gateway.models.disk import RESERVE
from gateway.models.env import write_env
from gateway.settings import load_settings
from tests.models.conftest import CATALOGUE
from tests.models.local_hub import LocalHub

SCRIPT = Path(__file__).parents[2] / "scripts" / "download_models.py"

ENV = """STT_MODEL=hearing
LLM_MODEL=talking
TTS_VOICE=en=starter,ar=starter,ru=speaking
LLM_GPU_LAYERS=-1
"""


@pytest.fixture
def models(hub: LocalHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of the models, in the working directory, with a catalogue of its own."""
    # What the library makes of HF_ENDPOINT when it is imported.
    monkeypatch.setattr(constants, "ENDPOINT", hub.url)
    template = hub.url + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setenv("COLUMNS", "200")
    return machine("here", tmp_path, monkeypatch)


def machine(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / name / "models"
    folder.mkdir(parents=True)
    (folder / "catalogue.toml").write_text(CATALOGUE)
    monkeypatch.chdir(tmp_path / name)
    return folder


def run(monkeypatch: pytest.MonkeyPatch, *args: str | Path) -> int:
    """Exit status of the command line as a shell sees it."""
    monkeypatch.setattr(sys, "argv", ["voice-gateway", "models", *map(str, args)])
    with pytest.raises(SystemExit) as ended:
        main()
    return int(ended.value.code or 0)


def test_a_profile_is_downloaded_and_its_settings_are_printed(
    models: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "download", "tiny") == 0
    shown = capsys.readouterr()
    assert shown.out == ENV
    assert "--write-env" in shown.err
    assert not Path(".env").exists()


def test_the_settings_are_written_and_others_kept(
    models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path(".env").write_text("# mine\nGATEWAY_PORT=9000\nSTT_MODEL=old\nGATEWAY_LANGUAGES=ru,en")
    assert run(monkeypatch, "download", "tiny", "--write-env") == 0
    written = Path(".env").read_text()
    assert written.startswith("# mine\nGATEWAY_PORT=9000\nSTT_MODEL=hearing\n")
    settings = load_settings()
    assert (settings.gateway_port, settings.llm_gpu_layers) == (9000, -1)
    assert settings.voice_names == {"ru": "speaking", "en": "starter"}
    assert settings.llm_path.is_file() and settings.voice_paths["ru"].is_file()


def test_a_folder_in_place_of_the_settings_is_told(
    models: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    Path(".env").mkdir()
    assert run(monkeypatch, "download", "talking", "--write-env") == 2
    shown = capsys.readouterr().err
    assert ".env: expected a readable UTF-8 file" in shown and "MODELS_DIR" not in shown


def test_settings_that_cannot_be_written_are_told(
    models: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def replace(*_args: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", ".env")

    Path(".env").write_text("A=1\n")
    monkeypatch.setattr(os, "replace", replace)
    with pytest.raises(ConfigError, match=r"\.env cannot be written") as failure:
        write_env(Path(".env"), {"LLM_MODEL": "talking"})
    assert "MODELS_DIR" not in str(failure.value)
    assert Path(".env").read_text() == "A=1\n" and len(list(Path().glob(".env*"))) == 1


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("A=1\r\nSTT_MODEL=x\r\n", "A=1\r\nSTT_MODEL=new\r\n"),
        ("A=1\r\nB=2", "A=1\r\nB=2\r\nSTT_MODEL=new\r\n"),
        ("# a\n\nexport STT_MODEL=x # b\nB='y'\n", "# a\n\nexport STT_MODEL=new\nB='y'\n"),
        ("STT_MODEL=x\nstt_model=y\n", "STT_MODEL=new\nSTT_MODEL=new\n"),
        ("\ufeffSTT_MODEL=x\n", "\ufeffSTT_MODEL=new\n"),
        ("\ufeff", "\ufeffSTT_MODEL=new\n"),
        ("", "STT_MODEL=new\n"),
        ('P="\nSTT_MODEL=x\n"', 'P="\nSTT_MODEL=x\n"\nSTT_MODEL=new\n'),
    ],
)
def test_the_rest_of_the_settings_stays_as_it_is(tmp_path: Path, before: str, after: str) -> None:
    file = tmp_path / ".env"
    file.write_text(before, encoding="utf-8", newline="")
    write_env(file, {"STT_MODEL": "new"})
    assert file.read_bytes().decode() == after
    assert env_file_values(file)["stt_model"] == "new"


@pytest.mark.parametrize("value", ["/my models", "a'b", "a\\", "\\'", 'x"$Y #', "/модели"])
def test_a_value_is_read_as_it_was_written(tmp_path: Path, value: str) -> None:
    write_env(tmp_path / ".env", {"MODELS_DIR": value, "A": "1"})
    assert env_file_values(tmp_path / ".env") == {"models_dir": value, "a": "1"}
    assert (tmp_path / ".env").stat().st_mode & 0o777 == 0o600


def test_settings_that_cannot_be_read_are_told(
    models: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    Path(".env").write_bytes(b"STT_MODEL=\xff\n")
    assert run(monkeypatch, "verify") == 2
    assert "expected a readable UTF-8 file" in capsys.readouterr().err


def test_settings_behind_a_link_are_changed_where_they_lie(
    models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = models.parent / "shared.env"
    real.write_text("GATEWAY_PORT=9000\n")
    real.chmod(0o644)
    Path(".env").symlink_to(real)
    assert run(monkeypatch, "download", "talking", "--write-env") == 0
    assert Path(".env").is_symlink()
    assert real.read_text() == "GATEWAY_PORT=9000\nLLM_MODEL=talking\n"
    assert real.stat().st_mode & 0o777 == 0o644


def test_wrong_settings_do_not_block_the_commands_that_repair_them(
    models: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    Path(".env").write_text("TTS_VOICE=en=mine\nSTT_DEVICE=tpu\n")
    assert run(monkeypatch, "list") == 0
    assert "which models are in use is not known" in capsys.readouterr().err
    assert run(monkeypatch, "download", "speaking", "--write-env") == 0
    assert "TTS_VOICE=en=mine,ar=starter,ru=speaking\n" in Path(".env").read_text()
    assert run(monkeypatch, "remove", "speaking") == 0


def test_a_voice_joins_those_that_are_set_already(
    models: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    Path(".env").write_text("TTS_VOICE=en=/v/en.onnx,ar=/v/ar.onnx,ru=starter\n")
    assert run(monkeypatch, "download", "speaking") == 0
    assert capsys.readouterr().out == "TTS_VOICE=en=/v/en.onnx,ar=/v/ar.onnx,ru=speaking\n"


def test_a_language_that_is_not_served_keeps_its_voice(
    models: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    Path(".env").write_text("GATEWAY_LANGUAGES=en\nTTS_VOICE=en=starter,ar=kareem\n")
    assert run(monkeypatch, "download", "speaking") == 0
    assert capsys.readouterr().out == "TTS_VOICE=en=starter,ar=kareem,ru=speaking\n"


def test_a_voice_of_a_language_that_the_gateway_does_not_serve_is_told_and_not_set(
    models: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (models / "catalogue.toml").write_text(CATALOGUE.replace('["ru"]', '["de"]'))
    Path(".env").write_text("TTS_VOICE=/voices/one.onnx\n")
    assert run(monkeypatch, "download", "speaking", "--write-env") == 0
    assert Path(".env").read_text() == "TTS_VOICE=/voices/one.onnx\n"
    told = capsys.readouterr().err.splitlines()[-1]
    assert told == "speaking speaks de, and the gateway serves en ar ru: TTS_VOICE does not name it"


def test_a_folder_that_was_chosen_is_among_the_settings(
    models: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    chosen = models.rename(models.with_name("my models"))
    monkeypatch.setenv("MODELS_DIR", str(chosen))
    assert run(monkeypatch, "download", "talking", "--write-env") == 0
    assert capsys.readouterr().out == f"MODELS_DIR='{chosen}'\nLLM_MODEL=talking\n"
    monkeypatch.delenv("MODELS_DIR")
    assert load_settings().llm_path == chosen / "llm/talking/chat.gguf"


def test_the_lines_that_are_printed_can_be_read(
    models: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    chosen = models.rename(models.with_name("disk #2"))
    monkeypatch.setenv("MODELS_DIR", str(chosen))
    assert run(monkeypatch, "download", "talking") == 0
    Path(".env").write_text(capsys.readouterr().out)
    monkeypatch.delenv("MODELS_DIR")
    assert load_settings().llm_path == chosen / "llm/talking/chat.gguf"


def test_a_voice_that_cannot_be_written_beside_others_is_told_and_nothing_is_set(
    models: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    before = "TTS_VOICE='/my, voices/en.onnx'\n"
    Path(".env").write_text(before)
    for option in ([], ["--write-env"]):
        assert run(monkeypatch, "download", "speaking", "talking", *option) == 2
        shown = capsys.readouterr()
        assert "TTS_VOICE cannot name /my, voices/en.onnx beside" in shown.err
        assert "rename it or link to it" in shown.err and shown.out == ""
    assert Path(".env").read_text() == before
    assert run(monkeypatch, "download", "talking", "--write-env") == 0
    assert Path(".env").read_text() == before + "LLM_MODEL=talking\n"


def test_a_blank_voice_is_none(
    models: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    Path(".env").write_text("TTS_VOICE=' '\n")
    assert run(monkeypatch, "download", "speaking") == 0
    assert capsys.readouterr().out == "TTS_VOICE=en=starter,ar=starter,ru=speaking\n"


@pytest.mark.parametrize("env_file", ["MODELS_DIR=models\n", "MODELS_DIR=./models\n", ""])
@pytest.mark.parametrize("environment", ["models", ""])
def test_a_folder_that_the_file_gives_already_is_left_as_it_is(
    models: Path, monkeypatch: pytest.MonkeyPatch, env_file: str, environment: str
) -> None:
    monkeypatch.setenv("MODELS_DIR", environment)
    Path(".env").write_text(env_file)
    assert run(monkeypatch, "download", "talking", "--write-env") == 0
    assert Path(".env").read_text() == f"{env_file}LLM_MODEL=talking\n"


@pytest.mark.parametrize("env_file", ["/elsewhere", "~nobody-at-all/models"])
def test_another_folder_of_the_environment_replaces_that_of_the_file(
    models: Path, monkeypatch: pytest.MonkeyPatch, env_file: str
) -> None:
    monkeypatch.setenv("MODELS_DIR", "models")
    Path(".env").write_text(f"MODELS_DIR={env_file}\n")
    assert run(monkeypatch, "download", "talking", "--write-env") == 0
    assert Path(".env").read_text() == f"MODELS_DIR={models}\nLLM_MODEL=talking\n"


def test_the_settings_of_a_bundle_choose_no_other_models(
    models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = tmp_path / "tiny.tar"
    settings = (
        '{ STT_MODEL = "/evil", LLM_MODEL = "/evil", TTS_VOICE = "/evil", STT_DEVICE = "cpu" }'
    )
    (models / "catalogue.toml").write_text(CATALOGUE.replace('{ LLM_GPU_LAYERS = "-1" }', settings))
    assert run(monkeypatch, "download", "tiny", "--bundle", bundle) == 0
    machine("there", tmp_path, monkeypatch)
    assert run(monkeypatch, "download", "--from-bundle", bundle, "--write-env") == 0
    assert Path(".env").read_text() == ENV.replace("LLM_GPU_LAYERS=-1", "STT_DEVICE=cpu")


def test_a_bundle_without_a_kind_chooses_no_model_of_that_kind(
    models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    profile = CATALOGUE.replace('["hearing", "talking", "speaking"]', '["talking"]')
    settings = '{ STT_MODEL = "/evil", TTS_VOICE = "/evil" }'
    (models / "catalogue.toml").write_text(profile.replace('{ LLM_GPU_LAYERS = "-1" }', settings))
    assert run(monkeypatch, "download", "tiny", "--bundle", tmp_path / "tiny.tar") == 0
    machine("there", tmp_path, monkeypatch)
    assert run(monkeypatch, "download", "--from-bundle", tmp_path / "tiny.tar", "--write-env") == 0
    assert Path(".env").read_text() == "LLM_MODEL=talking\n"


def test_settings_of_a_folder_that_cannot_be_written_down_are_told(
    models: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder = os.fsdecode(os.fsencode(tmp_path) + b"/m\xff")
    Path(folder).mkdir()
    (Path(folder) / "catalogue.toml").write_text(CATALOGUE)
    monkeypatch.setenv("MODELS_DIR", folder)
    assert run(monkeypatch, "download", "talking", "--write-env") == 2
    assert "a path is not UTF-8" in capsys.readouterr().err


def test_a_file_of_settings_stays_with_its_owner_and_group(
    models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Which only root can see in earnest."""
    owners = []
    Path(".env").touch()
    before = Path(".env").stat()
    monkeypatch.setattr(os, "chown", lambda path, *ids: owners.append((path, ids)))
    assert run(monkeypatch, "download", "talking", "--write-env") == 0
    real = os.path.realpath(".env")
    assert owners == [(real, (-1, before.st_gid)), (real, (before.st_uid, -1))]


def test_a_file_of_settings_is_written_where_its_owner_cannot_be_kept(
    models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def chown(path: str, uid: int, gid: int) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted", path)

    Path(".env").touch()
    monkeypatch.setattr(os, "chown", chown)
    assert run(monkeypatch, "download", "talking", "--write-env") == 0
    assert Path(".env").read_text() == "LLM_MODEL=talking\n"


def test_a_bundle_carries_the_models_to_a_machine_without_a_network(
    models: Path,
    hub: LocalHub,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    bundle = tmp_path / "stick.tar"
    assert run(monkeypatch, "download", "hearing", "speaking", "--bundle", bundle) == 0
    assert "--from-bundle stick.tar" in capsys.readouterr().err
    hub.requests.clear()
    there = machine("there", tmp_path, monkeypatch)
    assert run(monkeypatch, "download", "--from-bundle", bundle, "--write-env") == 0
    assert "STT_MODEL=hearing" in Path(".env").read_text()
    assert "LLM_GPU_LAYERS" not in Path(".env").read_text()
    assert run(monkeypatch, "verify") == 0
    assert (there / "stt/hearing/model.bin").is_file() and hub.requests == []


def test_a_bundle_of_a_profile_brings_its_settings(
    models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = tmp_path / "tiny.tar"
    assert run(monkeypatch, "download", "tiny", "--bundle", bundle) == 0
    machine("there", tmp_path, monkeypatch)
    assert run(monkeypatch, "download", "--from-bundle", bundle, "--write-env") == 0
    assert Path(".env").read_text() == ENV


def test_a_target_that_cannot_be_written_is_told_before_the_download(
    models: Path,
    hub: LocalHub,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run(monkeypatch, "download", "tiny", "--bundle", "no/folder/x.tar") == 2
    assert "there is no folder no/folder" in capsys.readouterr().err
    assert hub.requests == []


def test_a_disk_that_is_too_small_for_the_bundle_is_told_before_the_download(
    models: Path,
    hub: LocalHub,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    room = RESERVE + 90_000  # for the models, about 60 000 bytes, once and not twice
    monkeypatch.setattr(shutil, "disk_usage", lambda _: types.SimpleNamespace(free=room))
    assert run(monkeypatch, "download", "tiny", "--bundle", tmp_path / "tiny.tar") == 2
    assert "another disk (--bundle)" in capsys.readouterr().err
    assert hub.requests == []


def test_all_that_is_there_is_packed_when_nothing_is_named(
    models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(monkeypatch, "download", "talking")
    assert run(monkeypatch, "download", "--bundle", tmp_path / "all.tar") == 0
    assert (tmp_path / "all.tar").is_file()


@pytest.mark.parametrize(
    ("args", "words"),
    [
        ([], "name a profile"),
        (["talking", "--from-bundle", "x.tar"], "--from-bundle stands alone"),
    ],
)
def test_arguments_that_do_not_fit_are_told(
    models: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    args: list[str],
    words: str,
) -> None:
    assert run(monkeypatch, "download", *args) == 2
    assert words in capsys.readouterr().err


def test_failures_are_one_message_and_an_exit_status(
    models: Path,
    hub: LocalHub,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    hub.refusals["chat/small/chat.gguf"] = 503
    for args, words in [
        (["download", "tinny"], "did you mean tiny"),
        (["download", "talking"], "answered 503"),
        (["download", "--from-bundle", "x.tar"], "No such file"),
        (["remove", "talking"], "is not downloaded"),
        (["verify", "talking"], "is not downloaded"),
    ]:
        assert run(monkeypatch, *args) != 0
        shown = capsys.readouterr().err
        assert words in shown and "Traceback" not in shown


def test_an_interrupt_says_how_to_go_on(
    models: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def http_get(url: str, target: Any, **options: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(hub_module, "http_get", http_get)
    assert run(monkeypatch, "download", "talking") == 130
    assert "run the same command again" in capsys.readouterr().err


def test_the_list_shows_states(
    models: Path,
    hub: LocalHub,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    hub.cuts["irina.onnx"] = [0] * 50
    run(monkeypatch, "download", "tiny")
    os.truncate(models / "stt/hearing/model.bin", 1)
    Path(".env").write_text("LLM_MODEL=talking\n")
    capsys.readouterr()
    assert run(monkeypatch, "list") == 0
    lines = capsys.readouterr().out.splitlines()
    state = {
        name: next(line for line in lines if line.startswith(f"│{name}"))
        for name in ("hearing", "talking", "speaking", "whisper-small")
    }
    assert "damaged" in state["hearing"] and "in use" not in state["hearing"]
    assert "downloaded, in use" in state["talking"]
    assert "unfinished" in state["speaking"]
    assert "~486 MB" in state["whisper-small"] and "MIT" in state["whisper-small"]
    assert any(line.startswith("tiny (~0 MB): for tests") for line in lines)


def test_the_words_of_a_strangers_bundle_have_no_power_over_the_terminal(
    models: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run(monkeypatch, "download", "hearing")
    lock = (models / "lock.json").read_text()
    # As a bundle brings it.
    (models / "lock.json").write_text(lock.replace('"MIT"', r'"\u001b[2Jfree"'))
    capsys.readouterr()
    assert run(monkeypatch, "list") == 0
    shown = capsys.readouterr().out
    assert r"\x1b[2Jfree" in shown and "\x1b[2J" not in shown


def test_a_model_is_in_use_however_the_settings_name_it(
    models: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run(monkeypatch, "download", "tiny")
    Path("ears").symlink_to("models/stt/hearing")
    Path(".env").write_text(
        "STT_MODEL=./ears\nLLM_MODEL=./models/llm/talking/chat.gguf\n"
        "TTS_VOICE=en=starter,ar=starter,ru=speaking.onnx\n"
    )
    capsys.readouterr()
    assert run(monkeypatch, "list") == 0
    assert capsys.readouterr().out.count("downloaded, in use") == 3
    assert run(monkeypatch, "remove", "hearing", "talking", "speaking") == 0
    assert capsys.readouterr().err.count("is removed; the settings still name it") == 3


def test_the_words_of_the_list_are_whole_in_80_columns(
    models: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "download", "talking") == 0
    capsys.readouterr()
    monkeypatch.setenv("COLUMNS", "80")
    assert run(monkeypatch, "list") == 0
    shown = capsys.readouterr().out
    assert "downloaded" in shown and "fine-tuned" in shown
    assert all(line.endswith("│") for line in shown.splitlines() if line.startswith("│"))


@pytest.mark.parametrize("place", ["llm/talking/b.tar", "lock.json", "starter/b.tar"])
def test_a_bundle_is_not_put_among_the_files_of_the_models(
    models: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], place: str
) -> None:
    assert run(monkeypatch, "download", "talking") == 0
    (models / "starter").mkdir()
    record = (models / "lock.json").read_bytes()
    assert run(monkeypatch, "download", "--bundle", models / place) == 2
    assert "would be among the files of the models" in capsys.readouterr().err
    assert (models / "lock.json").read_bytes() == record
    assert run(monkeypatch, "download", "--bundle", models / "all.tar") == 0
    assert run(monkeypatch, "verify", "talking") == 0


def test_verify_finds_damage_and_says_how_to_repair_it(
    models: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "verify") == 0
    assert "nothing is downloaded" in capsys.readouterr().err
    run(monkeypatch, "download", "hearing", "talking")
    capsys.readouterr()
    (models / "tts/by-hand").mkdir(parents=True)
    assert run(monkeypatch, "verify") == 0
    shown = capsys.readouterr()
    assert "not in lock.json, so not known to be whole: by-hand" in shown.err
    assert shown.out == "whole hearing\nwhole talking\nwhole starter\n"
    content = (models / "llm/talking/chat.gguf").read_bytes()
    (models / "llm/talking/chat.gguf").write_bytes(content[::-1])
    assert run(monkeypatch, "verify") == 1
    shown = capsys.readouterr()
    assert "damaged talking" in shown.out and "models download talking" in shown.err
    assert run(monkeypatch, "download", "talking") == 0
    assert run(monkeypatch, "verify", "talking") == 0


def test_verify_says_to_install_a_bundle_again_when_no_catalogue_has_its_model(
    models: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run(monkeypatch, "download", "talking")
    (models / "catalogue.toml").unlink()
    (models / "llm/talking/chat.gguf").write_bytes(b"GGUF")
    assert run(monkeypatch, "verify", "talking") == 1
    assert "to repair it, install its bundle again: voice-gateway" in capsys.readouterr().err


def test_the_starter_models_are_verified_too(
    models: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "verify", "starter") == 0
    assert capsys.readouterr().out == "whole starter\n"
    (models / "starter/llm").mkdir(parents=True)
    assert run(monkeypatch, "verify") == 0
    assert "starter: no checksum is recorded" in capsys.readouterr().err
    (models / "starter/SHA256SUMS").write_text(f"{64 * '0'}  llm/model.gguf\n")
    assert run(monkeypatch, "verify") == 1
    assert "model.gguf is missing" in capsys.readouterr().out


def test_a_removed_model_that_is_still_set_is_pointed_out(
    models: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run(monkeypatch, "download", "talking", "hearing", "--write-env")
    Path(".env").write_text("LLM_MODEL=talking\n")
    capsys.readouterr()
    assert run(monkeypatch, "remove", "talking", "hearing") == 0
    shown = capsys.readouterr().err
    assert "talking is removed; the settings still name it" in shown
    assert "hearing is removed\n" in shown
    assert not (models / "llm/talking").exists()


def test_the_script_is_the_same_command_and_takes_the_mirror_from_the_environment(
    models: Path, hub: LocalHub
) -> None:
    environment = {
        **os.environ,
        "HF_ENDPOINT": hub.url,
        "NO_PROXY": "127.0.0.1",
        "HF_HOME": str(models.parent / "hf"),
        # Progress bars although this is no terminal.
        "TQDM_POSITION": "-1",
    }
    done = subprocess.run(
        [sys.executable, SCRIPT, "tiny"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stdout) == (0, ENV), done.stderr
    # The library's progress bars, one for each file.
    assert "model.bin" in done.stderr and "100%" in done.stderr
    assert len(hub.transfers) == 5


@pytest.mark.parametrize("value", ["", " "])
def test_a_mirror_that_is_set_to_nothing_is_none(
    monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", value)
    _hub()
    assert "HF_ENDPOINT" not in os.environ


@pytest.mark.parametrize(
    ("variable", "value"), [("HF_HUB_DOWNLOAD_TIMEOUT", "abc"), ("HF_ENDPOINT", "http://[bad")]
)
def test_variables_that_the_library_of_the_hub_cannot_read_are_told(
    models: Path, variable: str, value: str
) -> None:
    done = subprocess.run(
        [sys.executable, SCRIPT, "talking"],
        env={**os.environ, variable: value},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 2
    assert "HF_ variable" in done.stderr and "Traceback" not in done.stderr
