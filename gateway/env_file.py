"""The ``.env`` file: what it gives to the settings, or the line that is wrong."""

from __future__ import annotations

import os
from pathlib import Path

from dotenv.parser import parse_stream

from gateway.errors import ConfigError


def env_file_values(path: Path) -> dict[str, str]:
    """Variables of a file by their names in lower case; none when there is no file.

    Values are taken as they stand: a key may hold a ``$``.

    Raises:
        ConfigError: it cannot be read, or a line of it cannot be understood.
    """
    try:
        # With the mark that some editors of Windows put in front.
        with path.open(encoding="utf-8-sig") as file:
            bindings = list(parse_stream(file))
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise ConfigError(
            f"{path}: expected a readable UTF-8 file of NAME=value lines: {reason}"
        ) from error
    found: dict[str, str] = {}
    for binding in bindings:
        if binding.error or (binding.key is not None and binding.value is None):
            # Not the line itself, which may hold a secret.
            raise ConfigError(
                f"{path}, line {binding.original.line}: expected NAME=value, a value with spaces "
                "or # in quotes, or a comment"
            )
        if binding.key is not None and binding.value is not None:
            found[binding.key.lower()] = binding.value
    return found


def not_in_environment(values: dict[str, str]) -> dict[str, str]:
    """Those that no variable of the environment replaces, be it with nothing, and that are set."""
    given = {name.lower() for name in os.environ}
    return {name: value for name, value in values.items() if value and name not in given}
