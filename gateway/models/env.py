"""The lines of .env that make the gateway use models."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path

from dotenv import set_key
from pydantic_settings import BaseSettings

from gateway.errors import ConfigError
from gateway.model_paths import STARTER
from gateway.models.lockfile import LockedModel
from gateway.settings import SUPPORTED_LANGUAGES, Settings

# Read the same with and without quotes by .env readers, shells and container tools.
_PLAIN = re.compile(r"[\w./=,:+@%-]*\Z")


class _Unchecked(BaseSettings):
    model_config = Settings.model_config

    models_dir: Path = Path("models")
    tts_voice: str = STARTER


def unchecked_settings(env_file: Path) -> Settings:
    """MODELS_DIR and TTS_VOICE as they are set, all others as they are by default: the commands of
    the models work, and can repair, when a setting is wrong.

    Raises:
        ConfigError: the file cannot be read.
    """
    try:
        found = _Unchecked(_env_file=env_file)  # type: ignore[call-arg]
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"{env_file}: expected a readable UTF-8 file of NAME=value lines: {error}"
        ) from error
    return Settings.model_construct(found.model_fields_set, **found.model_dump())


def env_values(
    settings: Settings, models: Mapping[str, LockedModel], extra: Mapping[str, str]
) -> dict[str, str]:
    """Variables that choose the models; a language without a new voice keeps the one it has.

    Args:
        models: by name; the last of a kind is chosen.
        extra: variables that a profile wants beside.
    """
    values: dict[str, str] = {}
    if "models_dir" in settings.model_fields_set:
        values["MODELS_DIR"] = str(settings.models.root.absolute())
    voices: dict[str, str] = {}
    for name, model in models.items():
        if model.kind == "stt":
            values["STT_MODEL"] = name
        elif model.kind == "llm":
            values["LLM_MODEL"] = name
        else:
            voices |= dict.fromkeys(model.languages, name)
    if voices:
        present = {code: name for code, name in settings.chosen_voices.items() if name}
        chosen = dict.fromkeys(SUPPORTED_LANGUAGES, STARTER) | present | voices
        values["TTS_VOICE"] = ",".join(f"{code}={chosen[code]}" for code in SUPPORTED_LANGUAGES)
    return values | dict(extra)


def write_env(path: Path, values: Mapping[str, str]) -> None:
    """Set variables in a .env file, which is made if need be; its other lines stay.

    Raises:
        ConfigError: it cannot be written.
    """
    # Where a link leads, which would be replaced by a file.
    real = os.path.realpath(path)
    try:
        for key, value in values.items():
            quote = "never" if _PLAIN.match(value) else "always"
            set_key(real, key, value, quote_mode=quote, encoding="utf-8")
    except OSError as error:
        raise ConfigError(
            f"{real} cannot be written ({error.strerror}); make it a file that can, or leave out "
            "--write-env and set the lines that are printed then"
        ) from error
