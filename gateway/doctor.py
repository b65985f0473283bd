"""Checks of the installation: what works on this machine, and what to do about the rest."""

from __future__ import annotations

import asyncio
import importlib.metadata
import logging
import multiprocessing
import os
import platform
import re
import shlex
import shutil
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from typing import Literal

from gateway.doctor_memory import chat_on_gpu, needed_memory
from gateway.doctor_models import (
    ask_chat_service,
    load_chat_model,
    load_speech_model,
    load_voices,
)
from gateway.errors import ChatError, ConfigError, ModelError
from gateway.event_loop import run
from gateway.logs import configure_logging
from gateway.machine import available_memory, cpu_features, physical_cores
from gateway.models.check import check_locked
from gateway.servers.address import authority
from gateway.servers.websocket import listen_problem
from gateway.settings import Settings

Status = Literal["ok", "warn", "fail"]

GIB = 1 << 30
MIN_PYTHON = (3, 11)
LOW_DISK = 1 * GIB
# By this Python, of which the pip on the PATH may know nothing.
INSTALL = f"in the gateway's folder run: {shlex.quote(sys.executable)} -m pip install -e ."


@dataclass(frozen=True, slots=True)
class Finding:
    """Result of one check.

    Attributes:
        status: "fail" when the gateway cannot start or answer, "warn" when it is slower or
            something may become a problem.
        advice: what to do; empty when there is nothing to do.
    """

    name: str
    status: Status
    detail: str
    advice: str = ""


Check = Callable[[Settings], Finding]


def run_checks(settings: Settings) -> Iterator[Finding]:
    """Every check in order, quick ones first; yields each result as soon as it is known."""
    for check in CHECKS:
        try:
            finding = _apart(check, settings) if check in LOADING else check(settings)
        except Exception as error:  # boundary: the other checks still tell something
            detail = f"{type(error).__name__}: {error}"
            finding = Finding(_name(check), "fail", detail, "check the settings and what they name")
        yield finding


def _name(check: Check) -> str:
    """Of one that could not give its own."""
    return check.__name__.removeprefix("check_").replace("_", " ")


def _apart(check: Check, settings: Settings) -> Finding:
    """A check in a process of its own: some files make the libraries end theirs."""
    context = multiprocessing.get_context("spawn")
    level = logging.getLogger().getEffectiveLevel()
    with ProcessPoolExecutor(1, context, _set_up_log, (settings, level)) as pool:
        try:
            return pool.submit(check, settings).result()
        except BrokenProcessPool:
            return Finding(
                _name(check),
                "fail",
                "loading it ended the process: a file is damaged, or the memory is too small",
                "download the model again, or choose another; serve would end as well",
            )


def _set_up_log(settings: Settings, level: int) -> None:
    configure_logging(logging.getLevelName(level), settings.log_format, secrets=settings.secrets)


def check_python(settings: Settings) -> Finding:
    """The interpreter is new enough."""
    wanted = ".".join(map(str, MIN_PYTHON))
    if sys.version_info < MIN_PYTHON:
        return Finding(
            "Python", "fail", platform.python_version(), f"install Python {wanted} or newer"
        )
    return Finding("Python", "ok", f"{platform.python_version()} ({platform.machine()})")


def check_packages(settings: Settings) -> Finding:
    """What the package needs is installed, in versions that are new enough."""
    try:
        declared = importlib.metadata.requires("voice-gateway") or []
    except importlib.metadata.PackageNotFoundError:
        return Finding("packages", "warn", "voice-gateway itself is not installed", INSTALL)
    requirements = [requirement for requirement in declared if "extra ==" not in requirement]
    wrong = [problem for requirement in requirements if (problem := _missing(requirement))]
    if wrong:
        return Finding("packages", "fail", "; ".join(wrong), INSTALL)
    return Finding("packages", "ok", f"all {len(requirements)} found")


def check_compiler(settings: Settings) -> Finding:
    """A C++ compiler, which an installation without prebuilt packages would need."""
    for name in ("c++", "g++", "clang++", "cl"):
        path = shutil.which(name)
        if path:
            return Finding("C++ compiler", "ok", path)
    return Finding(
        "C++ compiler",
        "warn",
        "none found",
        "needed only to build llama-cpp-python where no prebuilt package fits",
    )


def check_cpu(settings: Settings) -> Finding:
    """The processor has the instructions that the models are fast with."""
    flags = cpu_features()
    count = f"{physical_cores()} cores"
    if not flags:
        return Finding("CPU", "ok", f"{platform.machine()}, {count}; features not known")
    wanted = {"asimd"} if platform.machine() in ("aarch64", "arm64") else {"avx2", "fma", "f16c"}
    missing = sorted(wanted - flags)
    if missing:
        advice = "models run several times slower; use a newer machine for live calls"
        return Finding("CPU", "warn", f"{count}, without {' '.join(missing)}", advice)
    extra = sorted(flags & {"avx512f", "avx512_vnni", "avx_vnni", "amx_int8"})
    return Finding("CPU", "ok", " ".join([f"{count},", *sorted(wanted), *extra]))


def check_gpu(settings: Settings) -> Finding:
    """A CUDA GPU, where the settings ask for one."""
    try:
        import ctranslate2
        import llama_cpp
    except ImportError as error:
        return Finding("GPU", "fail", str(error), INSTALL)
    count = int(ctranslate2.get_cuda_device_count())
    if settings.stt_device == "cuda" and not count:
        advice = "install the NVIDIA driver and CUDA 12, or set STT_DEVICE=cpu"
        return Finding("GPU", "warn", "STT_DEVICE=cuda, but no CUDA GPU is usable", advice)
    if settings.llm_gpu_layers and not llama_cpp.llama_supports_gpu_offload():
        advice = "install llama-cpp-python built with CUDA, or set LLM_GPU_LAYERS=0"
        return Finding("GPU", "warn", "LLM_GPU_LAYERS is set, but this build has no GPU", advice)
    return Finding("GPU", "ok", f"{count} CUDA" if count else "none; everything runs on the CPU")


def check_memory(settings: Settings) -> Finding:
    """The models, the chat model's cache and all calls fit into the memory that is free."""
    needed, available = needed_memory(settings), available_memory()
    estimate = f"about {_gib(needed)} needed"
    if chat_on_gpu(settings):
        estimate += ", without the chat model, which is to be on the GPU"
    if available is None:
        return Finding("memory", "ok", f"{estimate}; free memory not known")
    detail = f"{_gib(available)} free, {estimate}"
    if available < needed:
        advice = "free some, choose smaller models, or lower LLM_CONTEXT"
        return Finding("memory", "warn", detail, advice)
    return Finding("memory", "ok", detail)


def check_disk(settings: Settings) -> Finding:
    """There is room beside the models."""
    place = settings.models.root
    while not os.path.exists(place) and place != place.parent:
        place = place.parent
    free = shutil.disk_usage(place).free
    if free < LOW_DISK:
        advice = "free some before downloading models, or move MODELS_DIR"
        return Finding("disk", "warn", f"{_gib(free)} free at {place}", advice)
    return Finding("disk", "ok", f"{_gib(free)} free at {place}")


def check_port(settings: Settings) -> Finding:
    """The address can be listened on."""
    host, port = settings.gateway_host, settings.gateway_port
    try:
        run(_bind(host, port))
    except (OSError, UnicodeError) as error:
        problem, _, advice = listen_problem(host, port, error).rpartition(": ")
        return Finding("port", "fail", problem, advice)
    return Finding("port", "ok", f"{authority(host, port)} is free")


async def _bind(host: str, port: int) -> None:
    """Take every address of the host, as the server does, and give them back unused."""
    loop = asyncio.get_running_loop()
    (await loop.create_server(asyncio.Protocol, host, port, start_serving=False)).close()


def check_model_files(settings: Settings) -> Finding:
    """Downloaded and starter models that the settings name are as they came."""
    problems = check_locked(settings)
    if problems:
        advice = "download the damaged models again, or restore their files"
        return Finding("model files", "fail", "; ".join(problems), advice)
    return Finding(
        "model files", "ok", "every model in use of which a checksum is recorded is whole"
    )


def check_speech_model(settings: Settings) -> Finding:
    """The speech recognition model loads."""
    return _loaded("speech recognition", load_speech_model, settings, "STT_MODEL")


def check_chat_model(settings: Settings) -> Finding:
    """The chat model loads."""
    return _loaded("chat model", load_chat_model, settings, "LLM_MODEL")


def check_chat_service(settings: Settings) -> Finding:
    """The chat service answers, where LLM_MODE lets it be asked."""
    if settings.llm_mode == "local":
        return Finding("chat service", "ok", "none; LLM_MODE=local asks none")
    status: Status = "fail" if settings.llm_mode == "remote" else "warn"
    try:
        return Finding("chat service", "ok", ask_chat_service(settings))
    except ConfigError as error:
        return Finding("chat service", status, str(error), "correct that setting")
    except ChatError as error:
        advice = "until it answers, callers hear an apology"
        if settings.llm_mode == "fallback":
            advice += " when the local model fails"
        return Finding("chat service", status, str(error), advice)


def check_voices(settings: Settings) -> Finding:
    """The voice of every language loads."""
    return _loaded("voices", load_voices, settings, "TTS_VOICE")


CHECKS: tuple[Check, ...] = (
    check_python,
    check_packages,
    check_compiler,
    check_cpu,
    check_gpu,
    check_memory,
    check_disk,
    check_port,
    check_model_files,
    check_speech_model,
    check_chat_model,
    check_chat_service,
    check_voices,
)

# These load models, each in a process of its own.
LOADING: tuple[Check, ...] = (check_speech_model, check_chat_model, check_voices)


def _loaded(
    name: str, load: Callable[[Settings], str], settings: Settings, variable: str
) -> Finding:
    try:
        return Finding(name, "ok", load(settings))
    except ImportError as error:
        return Finding(name, "fail", str(error), INSTALL)
    except (ModelError, OSError) as error:
        return Finding(name, "fail", str(error), f"check {variable} and MODELS_DIR")
    except ConfigError as error:
        return Finding(name, "fail", str(error), "correct that setting")


def _missing(requirement: str) -> str | None:
    """What is wrong with a requirement like ``msgspec>=0.19``; None when it is met."""
    match = re.match(r"([\w.-]+)(?:\[.*?])?\s*(?:>=\s*([\d.]+))?", requirement)
    if match is None:
        return None
    name, wanted = match[1], match[2]
    try:
        found = importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return f"{name} is not installed"
    if wanted and _numbers(found) < _numbers(wanted):
        return f"{name} {found} is too old, {wanted} or newer is needed"
    return None


def _numbers(version: str) -> tuple[int, ...]:
    match = re.match(r"\d+(?:\.\d+)*", version)
    return tuple(int(part) for part in match[0].split(".")) if match else ()


def _gib(size: int) -> str:
    return f"{size / GIB:.1f} GiB"
