"""The lines of .env that make the gateway use models."""

from __future__ import annotations

import io
import os
import re
import stat
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from dotenv.parser import parse_stream

from gateway.env_file import env_file_values, not_in_environment
from gateway.errors import ConfigError
from gateway.model_paths import STARTER, ModelPaths
from gateway.models.lockfile import LockedModel
from gateway.settings import SUPPORTED_LANGUAGES, Settings, Variables

# Read the same with and without quotes by .env readers, shells and container tools.
_PLAIN = re.compile(r"[\w./=,:+@%-]*\Z")
_BEFORE_NAME = re.compile(r"\s*(export\s+)?")


class _Unchecked(Variables):
    models_dir: Path = Path("models")
    tts_voice: str = STARTER


def unchecked_settings(env_file: Path) -> Settings:
    """MODELS_DIR and TTS_VOICE as they are set, all others as they are by default: the commands of
    the models work, and can repair, when a setting is wrong.

    Raises:
        ConfigError: the file cannot be read.
    """
    values = not_in_environment(env_file_values(env_file))
    found = _Unchecked(**values)  # type: ignore[arg-type]
    return Settings.model_construct(
        found.model_fields_set, models_dir=found.models_dir, tts_voice=found.tts_voice
    )


def env_values(
    settings: Settings, models: Mapping[str, LockedModel], extra: Mapping[str, str], env_file: Path
) -> dict[str, str]:
    """Variables that choose the models; a language without a new voice keeps the one it has, and a
    voice of languages that are not served is not chosen.

    Args:
        models: by name; the last of a kind is chosen.
        extra: variables that a profile wants beside; they choose no other models.
        env_file: where they will be set; with MODELS_DIR only if it gives another folder now.

    Raises:
        ConfigError: TTS_VOICE cannot name a voice that it has beside the others.
    """
    values: dict[str, str] = {}
    root = settings.models.root.absolute()
    if _folder_without_environment(env_file) != root:
        values["MODELS_DIR"] = str(root)
    voices: dict[str, str] = {}
    for name, model in models.items():
        if model.kind == "stt":
            values["STT_MODEL"] = name
        elif model.kind == "llm":
            values["LLM_MODEL"] = name
        else:
            voices |= {code: name for code in model.languages if code in SUPPORTED_LANGUAGES}
    if voices:
        present = {code: name for code, name in settings.chosen_voices.items() if name}
        chosen = dict.fromkeys(SUPPORTED_LANGUAGES, STARTER) | present | voices
        values["TTS_VOICE"] = _voice_setting({code: chosen[code] for code in SUPPORTED_LANGUAGES})
    chooses = ("STT_MODEL", "LLM_MODEL", "TTS_VOICE")
    return values | {key: value for key, value in extra.items() if key not in chooses}


def _voice_setting(chosen: Mapping[str, str]) -> str:
    for name in chosen.values():
        if "," in name:
            raise ConfigError(
                f"the models are there, but TTS_VOICE cannot name {name} beside other voices, for "
                "its comma; rename it or link to it, set TTS_VOICE to that, and run the same "
                "command again"
            )
    return ",".join(f"{code}={name}" for code, name in chosen.items())


def _folder_without_environment(env_file: Path) -> Path | None:
    """The folder of the models by the file, or by default; None if that is no folder."""
    given = env_file_values(env_file)
    default: Path = Settings.model_fields["models_dir"].default
    try:
        return ModelPaths(Path(given.get("models_dir") or default)).root.absolute()
    except ConfigError:
        return None


def write_env(path: Path, values: Mapping[str, str]) -> None:
    """Set variables in a .env file, which is made if need be; its other lines stay.

    Raises:
        ConfigError: it cannot be written.
    """
    # Where a link leads, which would be replaced by a file.
    real = os.path.realpath(path)
    try:
        before = os.stat(real) if os.path.exists(real) else None
        _replace(real, _with_values(_text(real) if before else "", values), before)
    except (OSError, UnicodeEncodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "a path is not UTF-8"
        raise ConfigError(
            f"{real} cannot be written ({reason}); make it a file that can, or leave out "
            "--write-env and set the lines that are printed then"
        ) from error


def _text(path: str) -> str:
    with open(path, encoding="utf-8", newline="") as file:
        return file.read()


def _with_values(text: str, values: Mapping[str, str]) -> str:
    """The text of a .env file with other values; line ends, blank lines and ``export`` stay.

    A name is replaced wherever it stands, in upper or lower case: the last one counts.
    """
    end = "\r\n" if "\r\n" in text else "\n"
    lines = {key.lower(): env_line(key, value) + end for key, value in values.items()}
    mark = text[: text.startswith("\ufeff")]
    missing, result = dict(lines), mark
    for binding in parse_stream(io.StringIO(text.removeprefix(mark))):
        key, original = (binding.key or "").lower(), binding.original.string
        if key in lines:
            missing.pop(key, None)
            before_name = _BEFORE_NAME.match(original)
            original = f"{before_name[0] if before_name else ''}{lines[key]}"
        result += original
    if missing and result != mark and not result.endswith(("\n", "\r")):
        result += end
    return result + "".join(missing.values())


def env_line(key: str, value: str) -> str:
    """A line of a .env file, without its end, that gives a variable this value."""
    if _PLAIN.match(value):
        return f"{key}={value}"
    escaped = value.replace("\\", "\\\\").replace("'", "\\'")
    return f"{key}='{escaped}'"


def _replace(path: str, text: str, before: os.stat_result | None) -> None:
    """Replace a file as a whole, readable by its owner only if it is new."""
    number, beside = tempfile.mkstemp(prefix=".env-", dir=os.path.dirname(path))
    try:
        with open(number, "w", encoding="utf-8", newline="") as file:
            file.write(text)
        if before is not None:
            os.chmod(beside, stat.S_IMODE(before.st_mode))
        os.replace(beside, path)
    finally:
        with suppress(OSError):
            os.unlink(beside)
    if before is not None:
        _give_back(path, before)


def _give_back(path: str, before: os.stat_result) -> None:
    """Restore group and owner, as the service that reads it may be another user."""
    with suppress(OSError):
        # The group first: giving it to another owner is left to root.
        os.chown(path, -1, before.st_gid)
        os.chown(path, before.st_uid, -1)
