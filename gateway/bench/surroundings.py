"""What a measurement was made on: figures mean nothing without it."""

from __future__ import annotations

import platform
import re
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from gateway.logs import configure_logging
from gateway.machine import physical_cores, usable_cpus
from gateway.settings import Settings, load_settings

_CPUINFO = Path("/proc/cpuinfo")


def describe_machine() -> dict[str, Any]:
    """Processor, cores, system and versions, under the key ``machine``; and the time."""
    return {
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": {
            "cpu": _cpu_name(),
            "physical_cores": physical_cores(),
            "logical_cpus": len(usable_cpus()),
            "system": platform.platform(terse=True),
            "python": platform.python_version(),
            "gateway": version("voice-gateway"),
        },
    }


def describe_models(settings: Settings) -> dict[str, Any]:
    """The models and the threads they may use."""
    return {
        "stt": settings.stt_model,
        "llm": settings.llm_model,
        "tts": settings.tts_voice,
        "stt_compute_type": settings.stt_compute_type,
        "threads": settings.threads,
    }


def _cpu_name() -> str:
    try:
        found = re.search(r"^model name\s*:\s*(.*)$", _CPUINFO.read_text(), re.MULTILINE)
    except OSError:
        found = None
    return found[1] if found else platform.processor() or platform.machine()


def quiet_settings() -> Settings:
    """The configured settings, with the log set up: only warnings unless they say otherwise.

    Raises:
        ConfigError: one line for each variable that is wrong.
    """
    settings = load_settings()
    level = settings.log_level if "log_level" in settings.model_fields_set else "WARNING"
    configure_logging(level, settings.log_format, secrets=settings.secrets)
    return settings
