"""Settings: defaults, .env.example, every problem at once, and what model names stand for."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from gateway import model_paths
from gateway.errors import ConfigError
from gateway.machine import physical_cores
from gateway.settings import Settings, load_settings

PROJECT = Path(__file__).parent.parent
EXAMPLE = PROJECT / ".env.example"
STARTER_EAR = PROJECT / "models" / "starter" / "stt"


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for field in Settings.model_fields:
        monkeypatch.delenv(field.upper(), raising=False)


def problems(env_file: Path | None = None) -> list[str]:
    with pytest.raises(ConfigError) as info:
        load_settings(env_file)
    return [line.strip() for line in str(info.value).splitlines()[1:]]


def test_the_example_lists_exactly_the_settings() -> None:
    names = re.findall(r"^([A-Z_]+)=", EXAMPLE.read_text(encoding="utf-8"), re.MULTILINE)
    assert sorted(names) == sorted(field.upper() for field in Settings.model_fields)


def test_the_example_shows_the_defaults() -> None:
    assert load_settings(EXAMPLE) == load_settings(None)


def test_every_setting_of_the_example_is_explained() -> None:
    lines = EXAMPLE.read_text(encoding="utf-8").splitlines()
    explained = {"GATEWAY_PORT"}
    for before, line in zip(lines, lines[1:], strict=False):
        name = line.partition("=")[0]
        if re.match(r"^[A-Z_]+=", line) and name not in explained:
            assert before.startswith("# ") and not before.startswith("# ---"), name


def test_the_environment_wins_over_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    env_file = tmp_path / ".env"
    env_file.write_text("GATEWAY_PORT=1111\nGATEWAY_MAX_CALLS=7\nLOG_LEVEL=debug\n")
    monkeypatch.setenv("GATEWAY_PORT", "2222")
    settings = load_settings(env_file)
    assert (settings.gateway_port, settings.gateway_max_calls) == (2222, 7)
    assert settings.log_level == "DEBUG"


def test_a_missing_file_and_empty_variables_mean_the_defaults(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GATEWAY_PORT", "")
    assert load_settings(tmp_path / "none").gateway_port == 8765


def test_a_quantised_cache_without_flash_attention_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("LLM_FLASH_ATTENTION", "off")
    monkeypatch.setenv("LLM_KV_TYPE", "q8_0")
    assert problems() == ["LLM_KV_TYPE='q8_0': expected 'f16' with LLM_FLASH_ATTENTION=off"]


def test_all_problems_are_reported_together(monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = {
        "GATEWAY_PORT": "abc",
        "GATEWAY_MAX_CALLS": "0",
        "LOAD_SPECULATION_MS": "500",
        "LOAD_PARTIALS_MS": "400",
        "LOAD_REFUSE_MS": "300",
        "GATEWAY_LANGUAGES": "en,fr",
        "STT_DEVICE": "tpu",
        "TURN_PAUSE_MS": "300",
        "TURN_COMPLETE_MS": "250",
        "PLAYOUT_LEAD_MS": "500",
        "BUSINESS_PROFILE": "/no/such.toml",
        "LOG_LEVEL": "loud",
    }
    for name, value in wrong.items():
        monkeypatch.setenv(name, value)
    assert problems() == [
        "GATEWAY_PORT='abc': expected a valid integer",
        "GATEWAY_MAX_CALLS='0': expected greater than or equal to 1",
        "LOAD_PARTIALS_MS='400': expected 0 or at least LOAD_SPECULATION_MS (500)",
        "LOAD_REFUSE_MS='300': expected 0 or at least LOAD_SPECULATION_MS (500)",
        "GATEWAY_LANGUAGES='en,fr': expected different codes out of en,ar,ru, separated by commas",
        "STT_DEVICE='tpu': expected 'auto', 'cpu' or 'cuda'",
        "BUSINESS_PROFILE='/no/such.toml': expected the path of an existing TOML file, or nothing",
        "TURN_COMPLETE_MS='250': expected at least TURN_PAUSE_MS (300)",
        "PLAYOUT_LEAD_MS='500': expected less than or equal to 200",
        "LOG_LEVEL='LOUD': expected 'DEBUG', 'INFO', 'WARNING' or 'ERROR'",
    ]


@pytest.mark.parametrize(
    ("variables", "problem"),
    [
        (
            {"TURN_COMPLETE_MS": "3000"},
            "TURN_CEILING_MS='2000': expected at least TURN_COMPLETE_MS (3000)",
        ),
        (
            {"TURN_CEILING_MS": "100"},
            "TURN_CEILING_MS='100': expected at least TURN_COMPLETE_MS (320)",
        ),
        ({"BARGE_IN_JUDGE_MS": "1800"}, "BARGE_IN_JUDGE_MS='1800': expected less than 1800"),
        (
            {"BARGE_IN_PAUSE_MS": "800", "BARGE_IN_JUDGE_MS": "799"},
            "BARGE_IN_JUDGE_MS='799': expected at least BARGE_IN_PAUSE_MS (800)",
        ),
    ],
)
def test_turn_taking_settings_that_contradict_each_other_are_refused(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], problem: str
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert problems() == [problem]


def test_the_longest_waits_that_fit_under_each_limit_are_accepted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in {
        "TURN_COMPLETE_MS": "2000",
        "BARGE_IN_PAUSE_MS": "1799",
        "BARGE_IN_JUDGE_MS": "1799",
    }.items():
        monkeypatch.setenv(name, value)
    assert load_settings(None).turn_complete_ms == 2000


def test_pages_that_may_open_calls_are_read_as_a_list(monkeypatch: pytest.MonkeyPatch) -> None:
    assert load_settings(None).allowed_origins == ()
    pages = " https://App.example/ ,http://[::1]:3000, null,"
    monkeypatch.setenv("GATEWAY_ALLOWED_ORIGINS", pages)
    wanted = ("https://app.example/", "http://[::1]:3000", "null")
    assert load_settings(None).allowed_origins == wanted
    monkeypatch.setenv("GATEWAY_ALLOWED_ORIGINS", "*")
    assert load_settings(None).allowed_origins == ("*",)


@pytest.mark.parametrize(
    "page",
    ["app.example", "https://app.example/talk", "https://*.example", "https://", "http://[::g]"],
)
def test_a_page_that_is_none_is_told(page: str, monkeypatch: pytest.MonkeyPatch) -> None:
    value = f"http://ok.example,{page}"
    monkeypatch.setenv("GATEWAY_ALLOWED_ORIGINS", value)
    assert problems() == [
        f"GATEWAY_ALLOWED_ORIGINS={value!r}: expected '*', or scheme://host[:port] of each web"
        f" page, separated by commas; {page!r} is none"
    ]


def test_words_are_read_in_any_case_and_with_spaces_around(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    words = {
        "GATEWAY_DEFAULT_LANGUAGE": "ar",
        "STT_DEVICE": "cpu",
        "STT_COMPUTE_TYPE": "float32",
        "STT_WINDOW": "full",
        "STT_HOTWORDS": "off",
        "LLM_MODE": "fallback",
        "LLM_FLASH_ATTENTION": "on",
        "LLM_KV_TYPE": "q8_0",
        "LOG_FORMAT": "json",
        "LOG_LEVEL": "DEBUG",
    }
    for name, word in words.items():
        monkeypatch.setenv(name, f" {word.swapcase()} ")
    settings = load_settings(None)
    assert {name: getattr(settings, name.lower()) for name in words} == words


def test_the_key_and_a_password_in_the_address_of_the_chat_service_are_secrets(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-1")
    for address, password in (
        ("http://user:passw0rd@host/v1", "passw0rd"),
        ("https://api.openai.com/v1", ""),
        ("http://[broken", ""),
    ):
        monkeypatch.setenv("OPENAI_BASE_URL", address)
        assert load_settings(None).secrets == ["sk-1", password]


def test_the_default_language_must_be_served(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATEWAY_LANGUAGES", " ar, ru ")
    assert problems() == [
        "GATEWAY_DEFAULT_LANGUAGE='en': expected one of GATEWAY_LANGUAGES (ar,ru)"
    ]
    monkeypatch.setenv("GATEWAY_DEFAULT_LANGUAGE", "ru")
    assert load_settings(None).languages == ("ar", "ru")


def test_a_secret_is_shown_nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-verysecret")
    settings = load_settings(None)
    assert settings.openai_api_key.get_secret_value() == "sk-verysecret"
    assert "verysecret" not in f"{settings} {settings!r} {settings.model_dump_json()}"
    monkeypatch.setenv("GATEWAY_PORT", "abc")
    with pytest.raises(ConfigError) as info:
        load_settings(None)
    assert "verysecret" not in str(info.value) and info.value.__cause__ is None


def test_an_unknown_variable_of_the_file_is_pointed_out(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    env_file = tmp_path / ".env"
    env_file.write_text("GATEWAY_PROT=1\nSTT_COLOUR=red\nHOME_TOWN=Dubai\nLLM_MODEL=x\n")
    with caplog.at_level(logging.WARNING):
        load_settings(env_file)
    first, second = caplog.messages
    assert "GATEWAY_PROT is no setting, did you mean GATEWAY_PORT?" in first
    assert "STT_COLOUR is no setting" in second


def test_a_file_that_is_not_text_is_a_configuration_error(tmp_path: Path) -> None:
    env_file = tmp_path / ".env"
    env_file.write_bytes(b"GATEWAY_HOST=\xff\xfe\n")
    with pytest.raises(ConfigError, match="UTF-8"):
        load_settings(env_file)


@pytest.mark.parametrize(
    "line", ["GATEWAY_PORT", "GATEWAY_PORT: 9000", 'STT_MODEL="starter', 'STT_MODEL="starter"x']
)
def test_a_line_that_sets_nothing_is_told_with_its_number_and_without_what_it_holds(
    tmp_path: Path, line: str
) -> None:
    env_file = tmp_path / ".env"
    env_file.write_text(f"# settings\n{line}\nLOG_LEVEL=debug\n")
    with pytest.raises(ConfigError, match=r"\.env, line 2: expected NAME=value") as info:
        load_settings(env_file)
    assert "9000" not in str(info.value) and "starter" not in str(info.value)


def test_a_folder_in_place_of_the_file_is_told(tmp_path: Path) -> None:
    """Which a container makes where a file was to be mounted that is not there."""
    with pytest.raises(ConfigError, match="expected a readable UTF-8 file .*directory"):
        load_settings(tmp_path)


def test_a_working_directory_that_may_not_be_entered_is_told(
    tmp_path: Path, deny: Callable[[str], None]
) -> None:
    deny("stat")
    deny("open")
    with pytest.raises(ConfigError, match=r"\.env: expected a readable UTF-8 file .*denied"):
        load_settings(tmp_path / ".env")


def test_values_of_the_file_are_taken_as_they_stand(tmp_path: Path) -> None:
    env_file = tmp_path / ".env"
    env_file.write_bytes(b"\xef\xbb\xbfOPENAI_API_KEY=ab${cd}ef\r\nexport GATEWAY_PORT = 9000\r\n")
    settings = load_settings(env_file)
    assert settings.openai_api_key.get_secret_value() == "ab${cd}ef"
    assert settings.gateway_port == 9000


def test_nothing_in_the_environment_is_the_default_whatever_the_file_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or the text of conversations would leave the machine against somebody's will."""
    env_file = tmp_path / ".env"
    env_file.write_text("LLM_MODE=remote\nOPENAI_API_KEY=sk-1\n")
    monkeypatch.setenv("LLM_MODE", "")
    monkeypatch.setenv("OPENAI_API_KEY", "")
    settings = load_settings(env_file)
    assert settings.llm_mode == "local"
    assert settings.openai_api_key.get_secret_value() == ""


def test_a_value_loses_the_line_break_of_the_file_that_it_came_from(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    defaults = load_settings(None)
    for name in Settings.model_fields:
        monkeypatch.setenv(name.upper(), " \n")
    assert load_settings(None) == defaults
    values = {
        "OPENAI_API_KEY": "sk-1",
        "OPENAI_BASE_URL": "http://127.0.0.1:8080/v1",
        "OPENAI_MODEL": "qwen",
        "GATEWAY_HOST": "::1",
        "MODELS_DIR": "/srv/models",
        "TTS_VOICE": "./voice.onnx",
    }
    for name, value in values.items():
        monkeypatch.setenv(name, f" {value}\r\n")
    settings = load_settings(None)
    assert settings.openai_api_key.get_secret_value() == values.pop("OPENAI_API_KEY")
    assert {name: str(getattr(settings, name.lower())) for name in values} == values


@pytest.mark.parametrize("key", ["sk-ключ", "sk 1", "sk-\x7f1"])
def test_a_key_that_cannot_be_sent_is_told_without_showing_it(
    monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", key)
    with pytest.raises(ConfigError, match=r"OPENAI_API_KEY=\*\*\*: expected a key") as info:
        load_settings(None)
    assert "sk" not in str(info.value)


def test_starter_stands_for_the_models_that_come_along(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(model_paths, "_PROJECT", tmp_path / "project")
    settings = Settings(models_dir=tmp_path / "other")
    ours, beside = tmp_path / "project/models/starter", tmp_path / "other/starter"
    assert settings.stt_path == beside / "stt"
    for starter in (ours, beside):
        starter.mkdir(parents=True)
        assert settings.stt_path == starter / "stt"
        assert settings.llm_path == starter / "llm" / "model.gguf"
        assert settings.voice_paths == {
            code: starter / "tts" / f"{code}.onnx" for code in ("en", "ar", "ru")
        }


def test_the_models_of_the_project_are_found_from_any_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert load_settings(None).models.root == PROJECT / "models"


def test_names_are_looked_up_and_paths_are_taken_as_they_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nested = tmp_path / "llm" / "qwen" / "qwen-q4.gguf"
    nested.parent.mkdir(parents=True)
    nested.touch()
    monkeypatch.setenv("MODELS_DIR", str(tmp_path))
    monkeypatch.setenv("STT_MODEL", "small")
    monkeypatch.setenv("TTS_VOICE", "en=amy,ar=/voices/kareem.onnx,ru=starter")
    for name, path in {
        "qwen": nested,
        "qwen.gguf": nested,
        " qwen ": nested,
        "other": tmp_path / "llm" / "other.gguf",
        "other.gguf": tmp_path / "llm" / "other.gguf",
        "./mine.gguf": Path("mine.gguf"),
        "~/mine.gguf": Path.home() / "mine.gguf",
        "~no-such-user/x": Path("~no-such-user/x"),
    }.items():
        monkeypatch.setenv("LLM_MODEL", name)
        assert load_settings(None).llm_path == path
    settings = load_settings(None)
    assert settings.stt_path == tmp_path / "stt" / "small"
    assert settings.voice_paths == {
        "en": tmp_path / "tts" / "amy.onnx",
        "ar": Path("/voices/kareem.onnx"),
        "ru": settings.models.voice("starter", "ru"),
    }


def test_one_voice_serves_every_language_and_a_list_must_name_each(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TTS_VOICE", "/v/one.onnx")
    assert set(load_settings(None).voice_paths.values()) == {Path("/v/one.onnx")}
    monkeypatch.setenv("TTS_VOICE", "/v/a=b/one.onnx")
    assert set(load_settings(None).voice_paths.values()) == {Path("/v/a=b/one.onnx")}
    monkeypatch.setenv("TTS_VOICE", " ")
    assert load_settings(None).tts_voice == "starter"


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ("en=a,ar=", "'ar' is empty, 'ru' is missing"),
        ("en=a", "'ar' is missing, 'ru' is missing"),
        ("en=a,ar=b,ur=c", "'ur' is no language here, 'ru' is missing"),
        ("en=a,ar=b,ru=c,xx=d", "'xx' is no language here"),
        ("en=a,ar=b,ru=c,ru=d", "'ru' is given twice"),
        ("en=a,/v/one.onnx", "'/v/one.onnx' is no language here"),
    ],
)
def test_what_is_wrong_with_the_voices_is_named(
    monkeypatch: pytest.MonkeyPatch, value: str, problem: str
) -> None:
    monkeypatch.setenv("TTS_VOICE", value)
    [line] = problems()
    assert line.startswith(
        f"TTS_VOICE={value!r}: expected one voice, or one for each language: en=…,ar=…,ru=…; "
    )
    assert problem in line


def test_voices_of_languages_that_are_not_served_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATEWAY_LANGUAGES", "en")
    monkeypatch.setenv("TTS_VOICE", "en=a,ru=b")
    settings = load_settings(None)
    assert settings.voice_names == {"en": "a"}
    assert settings.chosen_voices == {"en": "a", "ru": "b"}


def test_the_home_of_an_unknown_user_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODELS_DIR", "~no-such-user/models")
    monkeypatch.setenv("BUSINESS_PROFILE", "~no-such-user/profile.toml")
    models, profile = problems()
    assert models.startswith("MODELS_DIR=") and "no such user" in models
    assert profile.startswith("BUSINESS_PROFILE=") and "existing TOML file" in profile


def test_a_profile_with_a_name_too_long_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BUSINESS_PROFILE", "x" * 300)
    assert "existing TOML file" in problems()[0]


def test_the_default_compute_type_is_left_to_the_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    assert load_settings(None).compute_type == "auto"
    monkeypatch.setenv("STT_COMPUTE_TYPE", "float32")
    assert load_settings(None).compute_type == "float32"


def test_threads_are_the_cores_of_the_machine_unless_set(monkeypatch: pytest.MonkeyPatch) -> None:
    assert load_settings(None).threads == physical_cores()
    monkeypatch.setenv("GATEWAY_THREADS", "3")
    assert load_settings(None).threads == 3


@pytest.mark.parametrize(
    ("variables", "beam_size", "hotwords"),
    [
        ({}, 4, False),
        ({"STT_MODEL": str(STARTER_EAR)}, 4, False),
        ({"STT_MODEL": "whisper-small"}, 1, True),
        ({"STT_MODEL": "whisper-small", "STT_BEAM_SIZE": "5", "STT_HOTWORDS": "off"}, 5, False),
        ({"STT_BEAM_SIZE": "1", "STT_HOTWORDS": "on"}, 1, True),
    ],
)
def test_the_recogniser_is_asked_as_its_model_needs_unless_told_otherwise(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], beam_size: int, hotwords: bool
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    settings = load_settings(None)
    assert (settings.beam_size, settings.uses_hotwords) == (beam_size, hotwords)
