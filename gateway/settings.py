"""Settings of the gateway, from the environment and a ``.env`` file.

A field ``stt_model`` is set by the variable ``STT_MODEL``; .env.example lists all of them.
"""

from __future__ import annotations

import difflib
import logging
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from pydantic import (
    Field,
    SecretStr,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_settings import BaseSettings, SettingsConfigDict

from gateway.conversation.policy import BargeInPolicy
from gateway.env_file import env_file_values, not_in_environment
from gateway.errors import ConfigError
from gateway.machine import physical_cores
from gateway.model_hints import stt_hints
from gateway.model_paths import STARTER, ModelPaths, expanded, path_meant
from gateway.servers.origins import normalised

logger = logging.getLogger(__name__)

SUPPORTED_LANGUAGES = ("en", "ar", "ru")

_UNDECIDED_MS = BargeInPolicy().undecided_ms
"""Speech this long interrupts without being judged, so what leads to a judgement comes before."""

_AT_LEAST = {
    "turn_complete_ms": "turn_pause_ms",
    "turn_ceiling_ms": "turn_complete_ms",  # the waits after less complete turns it may cut short
    "barge_in_judge_ms": "barge_in_pause_ms",
}
"""Times that would contradict each other if they were shorter than these."""

ComputeType = Literal[
    "default",
    "auto",
    "int8",
    "int8_float16",
    "int8_float32",
    "int8_bfloat16",
    "int16",
    "float16",
    "bfloat16",
    "float32",
]


class Variables(BaseSettings):
    """Reads fields from variables; one set to nothing, or to nothing but spaces, is not set."""

    model_config = SettingsConfigDict(env_ignore_empty=True, extra="ignore", frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _without_spaces(cls, values: dict[str, object]) -> dict[str, object]:
        # A line break often comes along from a file.
        stripped = {
            name: value.strip() if isinstance(value, str) else value
            for name, value in values.items()
        }
        return {name: value for name, value in stripped.items() if value != ""}


class Settings(Variables):
    """Everything that can be configured."""

    gateway_host: str = "127.0.0.1"
    gateway_port: int = Field(default=8765, ge=0, le=65535)
    gateway_allowed_origins: str = ""
    gateway_max_calls: int = Field(default=50, ge=1, le=10_000)
    gateway_init_timeout_s: float = Field(default=10.0, gt=0, le=600)
    gateway_idle_timeout_s: float = Field(default=60.0, gt=0, le=86_400)
    gateway_drain_timeout_s: float = Field(default=10.0, ge=0, le=3600)
    gateway_threads: int = Field(default=0, ge=0, le=1024)
    load_speculation_ms: int = Field(default=150, ge=0, le=60_000)
    load_partials_ms: int = Field(default=300, ge=0, le=60_000)
    load_refuse_ms: int = Field(default=600, ge=0, le=60_000)
    gateway_languages: str = "en,ar,ru"
    gateway_default_language: str = "en"

    models_dir: Path = Path("models")
    stt_model: str = STARTER
    stt_device: Literal["auto", "cpu", "cuda"] = "auto"
    stt_compute_type: ComputeType = "default"
    stt_window: Literal["auto", "full"] = "auto"
    stt_beam_size: int = Field(default=0, ge=0, le=10)
    stt_hotwords: Literal["auto", "on", "off"] = "auto"
    stt_timeout_s: float = Field(default=20.0, gt=0, le=600)
    llm_mode: Literal["local", "fallback", "remote"] = "local"
    llm_model: str = STARTER
    llm_context: int = Field(default=8192, ge=512, le=1_048_576)
    llm_max_tokens: int = Field(default=100, ge=1, le=4096)
    llm_temperature: float = Field(default=0.0, ge=0, le=2)
    llm_step_timeout_s: float = Field(default=20.0, gt=0, le=600)
    llm_flash_attention: Literal["auto", "on", "off"] = "auto"
    llm_kv_type: Literal["f16", "q8_0", "q4_0"] = "f16"
    llm_gpu_layers: int = Field(default=0, ge=-1, le=1000)
    llm_first_token_timeout_s: float = Field(default=2.0, gt=0, le=60)
    openai_base_url: str = "https://api.openai.com/v1"
    openai_api_key: SecretStr = SecretStr("")
    openai_model: str = "gpt-4.1-mini"
    tts_voice: str = STARTER

    business_profile: Path | None = None

    turn_pause_ms: int = Field(default=160, ge=40, le=2000)
    turn_complete_ms: int = Field(default=320, ge=100, le=5000)
    turn_unsure_ms: int = Field(default=650, ge=100, le=5000)
    turn_dictation_ms: int = Field(default=1000, ge=100, le=5000)
    turn_incomplete_ms: int = Field(default=1200, ge=100, le=5000)
    turn_ceiling_ms: int = Field(default=2000, ge=100, le=10_000)
    barge_in_pause_ms: int = Field(default=80, ge=40, lt=_UNDECIDED_MS)
    barge_in_judge_ms: int = Field(default=700, ge=100, lt=_UNDECIDED_MS)
    idle_caller_s: float = Field(default=10.0, ge=0, le=3600)
    idle_prompts: int = Field(default=2, ge=0, le=10)
    acknowledge_after_ms: int = Field(default=1500, ge=0, le=60_000)
    max_call_s: float = Field(default=3600.0, ge=0, le=86_400)
    playout_lead_ms: int = Field(default=100, ge=60, le=200)

    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    log_format: Literal["text", "json"] = "text"

    @property
    def languages(self) -> tuple[str, ...]:
        """Codes of the languages that are served."""
        return _split(self.gateway_languages)

    @property
    def allowed_origins(self) -> tuple[str, ...]:
        """Web pages of other hosts that may open calls."""
        return _split(self.gateway_allowed_origins)

    @property
    def secrets(self) -> list[str]:
        """What no log may show: the key of the chat service, and a password in its address."""
        try:
            password = urlsplit(self.openai_base_url).password
        except ValueError:
            password = None
        return [self.openai_api_key.get_secret_value(), password or ""]

    @property
    def threads(self) -> int:
        """Threads for the models."""
        return self.gateway_threads or physical_cores()

    @property
    def models(self) -> ModelPaths:
        """Where the configured models lie; the files may be missing."""
        return ModelPaths(self.models_dir)

    @property
    def stt_path(self) -> Path:
        """Directory of the speech recognition model."""
        return self.models.stt(self.stt_model)

    @property
    def beam_size(self) -> int:
        """Hypotheses that the recogniser follows."""
        return self.stt_beam_size or stt_hints(self.stt_path).beam_size

    @property
    def uses_hotwords(self) -> bool:
        """Whether the recogniser is told names and services; not all were trained to listen."""
        if self.stt_hotwords == "auto":
            return stt_hints(self.stt_path).prompts
        return self.stt_hotwords == "on"

    @property
    def llm_path(self) -> Path:
        """GGUF file of the chat model."""
        return self.models.llm(self.llm_model)

    @property
    def chosen_voices(self) -> dict[str, str]:
        """What TTS_VOICE gives each language, served or not: a name or a path."""
        pairs = _voice_pairs(self.tts_voice)
        return dict.fromkeys(SUPPORTED_LANGUAGES, self.tts_voice) if pairs is None else dict(pairs)

    @property
    def voice_names(self) -> dict[str, str]:
        """What TTS_VOICE gives each served language: a name or a path."""
        chosen = self.chosen_voices
        return {language: chosen[language] for language in self.languages}

    @property
    def voice_paths(self) -> dict[str, Path]:
        """ONNX file of the voice of each served language."""
        names = self.voice_names
        return {language: self.models.voice(names[language], language) for language in names}

    @property
    def compute_type(self) -> str:
        """STT_COMPUTE_TYPE in the engine's words, where the default is called "auto"."""
        return "auto" if self.stt_compute_type == "default" else self.stt_compute_type

    @field_validator("models_dir")
    @classmethod
    def _known_home(cls, value: Path) -> Path:
        try:
            ModelPaths(value)
        except ConfigError as error:
            raise ValueError(str(error)) from error
        return value

    @field_validator(
        "gateway_default_language",
        "stt_device",
        "stt_compute_type",
        "stt_window",
        "stt_hotwords",
        "llm_mode",
        "llm_flash_attention",
        "llm_kv_type",
        "log_format",
        mode="before",
    )
    @classmethod
    def _lower(cls, value: object) -> object:
        return value.lower() if isinstance(value, str) else value

    @field_validator("log_level", mode="before")
    @classmethod
    def _upper(cls, value: object) -> object:
        return value.upper() if isinstance(value, str) else value

    @field_validator("openai_api_key")
    @classmethod
    def _sendable(cls, value: SecretStr) -> SecretStr:
        key = value.get_secret_value()
        if not (key.isascii() and key.isprintable()) or " " in key:
            raise ValueError("expected a key of visible ASCII characters, without spaces")
        return value

    @field_validator("gateway_languages")
    @classmethod
    def _known_languages(cls, value: str) -> str:
        codes = _split(value)
        if not codes or len(set(codes)) != len(codes) or not set(codes) <= set(SUPPORTED_LANGUAGES):
            known = ",".join(SUPPORTED_LANGUAGES)
            raise ValueError(f"expected different codes out of {known}, separated by commas")
        return ",".join(codes)

    @field_validator("gateway_allowed_origins")
    @classmethod
    def _origins(cls, value: str) -> str:
        for origin in _split(value):
            try:
                normalised(origin)
            except ValueError:
                raise ValueError(
                    "expected '*', or scheme://host[:port] of each web page, separated by commas;"
                    f" {origin!r} is none"
                ) from None
        return value

    @field_validator("load_partials_ms", "load_refuse_ms")
    @classmethod
    def _after_the_gentler_ones(cls, value: int, info: ValidationInfo) -> int:
        for name in ("load_speculation_ms", "load_partials_ms"):
            if 0 < value < (gentler := info.data.get(name, 0)):
                raise ValueError(f"expected 0 or at least {name.upper()} ({gentler})")
        return value

    @field_validator("llm_kv_type")
    @classmethod
    def _fits_attention(cls, value: str, info: ValidationInfo) -> str:
        if value != "f16" and info.data.get("llm_flash_attention") == "off":
            raise ValueError("expected 'f16' with LLM_FLASH_ATTENTION=off")
        return value

    @field_validator("gateway_default_language")
    @classmethod
    def _served_language(cls, value: str, info: ValidationInfo) -> str:
        languages = _split(info.data.get("gateway_languages", ",".join(SUPPORTED_LANGUAGES)))
        if value not in languages:
            raise ValueError(f"expected one of GATEWAY_LANGUAGES ({','.join(languages)})")
        return value

    @field_validator("tts_voice")
    @classmethod
    def _voice_per_language(cls, value: str, info: ValidationInfo) -> str:
        languages = _split(info.data.get("gateway_languages", ""))
        problems = _voice_problems(value, languages)
        if problems:
            wanted = ",".join(f"{code}=…" for code in languages or SUPPORTED_LANGUAGES)
            raise ValueError(
                f"expected one voice, or one for each language: {wanted}; {', '.join(problems)}"
            )
        return value

    @field_validator("business_profile")
    @classmethod
    def _existing_file(cls, value: Path | None) -> Path | None:
        if value is None:
            return None
        if not os.path.isfile(expanded(value)):
            raise ValueError("expected the path of an existing TOML file, or nothing")
        return expanded(value)

    @field_validator(*_AT_LEAST)
    @classmethod
    def _long_enough(cls, value: int, info: ValidationInfo) -> int:
        assert info.field_name is not None
        other = _AT_LEAST[info.field_name]
        least = info.data.get(other, 0)  # nothing where the other one is wrong itself
        if value < least:
            raise ValueError(f"expected at least {other.upper()} ({least})")
        return value


def load_settings(env_file: Path | None = Path(".env")) -> Settings:
    """Settings from the environment, and from ``env_file`` for what the environment leaves out.

    Raises:
        ConfigError: one line for each variable that is wrong.
    """
    values = env_file_values(env_file) if env_file is not None else {}
    _warn_unknown(env_file, values)
    try:
        return Settings(**not_in_environment(values))  # type: ignore[arg-type]
    except ValidationError as error:
        # Not chained: the original text holds the values, secrets included.
        problems = [_problem(dict(detail)) for detail in error.errors()]
    raise ConfigError("\n".join(["settings that cannot work:", *problems]))


def _problem(detail: dict[str, Any]) -> str:
    """One line: the variable, its value unless that is a secret, and what was expected."""
    field = str(detail["loc"][0])
    secret = Settings.model_fields[field].annotation is SecretStr
    value = "***" if secret else repr(str(detail["input"]))
    message = str(detail["msg"]).removeprefix("Value error, ")
    expected = message.replace("Input should be", "expected")
    # "expected a valid integer, unable to parse …" says it twice.
    expected = expected.partition(", unable to")[0]
    return f"  {field.upper()}={value}: {expected}"


def _warn_unknown(env_file: Path | None, names: Iterable[str]) -> None:
    """Point out variables of the file that look like a setting but are none."""
    known = [field.upper() for field in Settings.model_fields]
    prefixes = tuple({name.partition("_")[0] + "_" for name in known})
    for name in names:
        upper = name.upper()
        if upper in known:
            continue
        nearest = difflib.get_close_matches(upper, known, n=1, cutoff=0.75)
        if nearest:
            logger.warning(
                "%s: %s is no setting, did you mean %s? It is ignored", env_file, upper, nearest[0]
            )
        elif upper.startswith(prefixes):
            logger.warning("%s: %s is no setting and is ignored", env_file, upper)


def _split(value: str) -> tuple[str, ...]:
    return tuple(code.strip().lower() for code in value.split(",") if code.strip())


def _voice_pairs(value: str) -> list[tuple[str, str]] | None:
    """Codes and voices out of ``en=…,ar=…``; None for one voice of every language."""
    before, equals, _ = value.partition("=")
    # A path may hold a "=" too.
    if not equals or path_meant(before) is not None:
        return None
    pairs = [pair.partition("=") for pair in value.split(",") if pair.strip()]
    return [(code.strip().lower(), name.strip()) for code, _, name in pairs]


def _voice_problems(value: str, languages: Sequence[str]) -> list[str]:
    pairs = _voice_pairs(value)
    if pairs is None:
        return []
    codes = [code for code, _ in pairs]
    return [
        *(f"{code!r} is no language here" for code in codes if code not in SUPPORTED_LANGUAGES),
        *(f"{code!r} is given twice" for code in dict.fromkeys(codes) if codes.count(code) > 1),
        *(f"{code!r} is empty" for code, name in pairs if not name),
        *(f"{code!r} is missing" for code in languages if code not in codes),
    ]
