"""The lines of .env that make the gateway use models."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from dotenv import set_key

from gateway.model_paths import STARTER
from gateway.models.disk import disk_error
from gateway.models.lockfile import LockedModel
from gateway.settings import SUPPORTED_LANGUAGES, Settings

# Read the same with and without quotes by .env readers, shells and container tools.
_PLAIN = re.compile(r"[\w./=,:+@%-]*\Z")


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
        chosen = {code: STARTER for code in SUPPORTED_LANGUAGES} | settings.voice_names | voices
        values["TTS_VOICE"] = ",".join(f"{code}={chosen[code]}" for code in SUPPORTED_LANGUAGES)
    return values | dict(extra)


def write_env(path: Path, values: Mapping[str, str]) -> None:
    """Set variables in a .env file, which is made if need be; its other lines stay.

    Raises:
        ModelError: it cannot be written.
    """
    try:
        for key, value in values.items():
            quote = "never" if _PLAIN.match(value) else "always"
            set_key(str(path), key, value, quote_mode=quote, encoding="utf-8")
    except OSError as error:
        raise disk_error(error, path) from error
