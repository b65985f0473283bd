"""The checks of `doctor`: each names what is wrong and what to do."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import re
import shutil
import socket
import sys
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from pydantic import SecretStr

from gateway import doctor
from gateway.doctor import CHECKS, Finding, run_checks
from gateway.doctor_memory import BASE, CALL, needed_memory
from gateway.errors import ModelError
from gateway.settings import Settings, load_settings
from tests.engines.gguf_files import Given, write_gguf


def configured(**values: Any) -> Settings:
    return load_settings(None).model_copy(update=values)


def test_every_check_has_a_name_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("load_speech_model", "load_chat_model", "load_voices"):
        monkeypatch.setattr(doctor, name, lambda settings: "loaded")
    monkeypatch.setattr(doctor, "LOADING", ())  # another process would not see that
    findings = list(run_checks(configured(gateway_port=0)))
    assert len({finding.name for finding in findings}) == len(CHECKS) == len(findings)
    for finding in findings:
        assert finding.detail
        assert bool(finding.advice) == (finding.status != "ok"), finding


def test_an_old_python_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "version_info", (3, 10, 9))
    finding = doctor.check_python(configured())
    assert (finding.status, finding.advice) == ("fail", "install Python 3.11 or newer")


def test_missing_and_old_packages_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def version(name: str) -> str:
        if name == "here":
            return "1.10.0rc1"
        raise importlib.metadata.PackageNotFoundError(name)

    def requires(name: str) -> list[str]:
        return ["here>=1.9", "here>=2", "gone>=1", "here", 'dev-only>=1; extra == "dev"']

    monkeypatch.setattr(importlib.metadata, "requires", requires)
    monkeypatch.setattr(importlib.metadata, "version", version)
    assert doctor.check_packages(configured()) == Finding(
        "packages",
        "fail",
        "here 1.10.0rc1 is too old, 2 or newer is needed; gone is not installed",
        f"in the gateway's folder run: {sys.executable} -m pip install -e .",
    )


def test_no_compiler_is_only_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    assert doctor.check_compiler(configured()).status == "warn"


def test_a_cpu_without_the_fast_instructions_is_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    monkeypatch.setattr(doctor, "cpu_features", lambda: frozenset({"sse4_2", "fma"}))
    finding = doctor.check_cpu(configured())
    assert finding.status == "warn" and finding.detail.endswith("without avx2 f16c")
    monkeypatch.setattr(doctor, "cpu_features", frozenset)
    assert doctor.check_cpu(configured()).status == "ok"


def test_a_gpu_that_is_asked_for_but_not_there_is_a_warning(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import ctranslate2
    import llama_cpp

    monkeypatch.setattr(ctranslate2, "get_cuda_device_count", lambda: 0)
    monkeypatch.setattr(llama_cpp, "llama_supports_gpu_offload", lambda: False)
    assert doctor.check_gpu(configured()).status == "ok"
    assert "STT_DEVICE=cpu" in doctor.check_gpu(configured(stt_device="cuda")).advice
    assert "LLM_GPU_LAYERS=0" in doctor.check_gpu(configured(llm_gpu_layers=-1)).advice


def test_too_little_memory_for_the_models_is_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = tmp_path / "large.gguf"
    with model.open("wb") as file:
        file.truncate(4 * doctor.GIB)
    settings = configured(llm_model=str(model), models_dir=tmp_path)
    monkeypatch.setattr(doctor, "available_memory", lambda: 2 * doctor.GIB)
    finding = doctor.check_memory(settings)
    assert finding.status == "warn"
    assert finding.detail == "2.0 GiB free, about 4.4 GiB needed"
    monkeypatch.setattr(doctor, "available_memory", lambda: None)
    assert doctor.check_memory(settings).status == "ok"
    there = settings.model_copy(update={"llm_gpu_layers": -1})
    finding = doctor.check_memory(there)
    assert finding.detail.startswith("about 0.4 GiB needed, without the chat model")


# Qwen2.5 7B: 56 KiB for a token, as docs/models.md says.
QWEN: dict[str, Given] = {
    "general.architecture": "qwen2",
    "qwen2.block_count": 28,
    "qwen2.embedding_length": 3584,
    "qwen2.attention.head_count": 28,
    "qwen2.attention.head_count_kv": 4,
}


def test_the_chat_model_needs_memory_for_its_cache_too(tmp_path: Path) -> None:
    model = write_gguf(tmp_path, QWEN)
    settings = configured(
        models_dir=tmp_path, stt_model="none", tts_voice="none", llm_model=str(model)
    )

    def cache(**changes: object) -> int:
        fixed = BASE + CALL * settings.gateway_max_calls + model.stat().st_size
        return needed_memory(settings.model_copy(update=changes)) - fixed

    assert cache() == 8192 * 56 * 1024
    assert cache(llm_context=16384) == 2 * cache()
    assert cache(llm_kv_type="q8_0") == cache() * 17 // 32
    write_gguf(tmp_path, {**QWEN, "qwen2.attention.key_length": 256})
    assert cache() == 8192 * 28 * 4 * (256 + 128) * 2
    write_gguf(tmp_path, {**QWEN, "qwen2.attention.head_count_kv": [4, 0] * 14})
    assert cache() == 8192 * 28 * 1024
    model.write_bytes(b"")
    assert cache() == 0


def test_voices_count_three_times_and_one_of_two_languages_once(tmp_path: Path) -> None:
    voice = tmp_path / "voice.onnx"
    voice.write_bytes(bytes(1000))
    (tmp_path / "stt").mkdir()
    (tmp_path / "stt" / "model.bin").write_bytes(bytes(500))
    settings = configured(
        models_dir=tmp_path,
        stt_model=str(tmp_path / "stt"),
        llm_mode="remote",
        tts_voice=str(voice),
        gateway_max_calls=1,
    )
    assert needed_memory(settings) == BASE + CALL + 500 + 3000


def test_a_full_disk_is_a_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "LOW_DISK", 1 << 60)
    finding = doctor.check_disk(configured(models_dir=tmp_path / "not" / "there"))
    assert finding.status == "warn" and str(tmp_path) in finding.detail


def test_a_port_in_use_fails_and_says_which_setting_to_change() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        finding = doctor.check_port(configured(gateway_port=port))
        assert finding.status == "fail" and "GATEWAY_PORT" in finding.advice
    assert doctor.check_port(configured(gateway_port=port)).status == "ok"


def test_a_port_fails_that_is_in_use_on_another_address_of_the_host(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def resolve(host: str, port: int, *_: object, **__: object) -> list[Any]:
        """Two addresses, as "localhost" may be; they differ in what every system has: the port."""
        kind = (socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "")
        return [(*kind, ("127.0.0.1", 0)), (*kind, ("127.0.0.1", port))]

    monkeypatch.setitem(sys.modules, "uvloop", None)  # which would resolve the name itself
    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        settings = configured(gateway_host="two.test", gateway_port=taken.getsockname()[1])
        finding = doctor.check_port(settings)
        assert finding.status == "fail" and "GATEWAY_PORT" in finding.advice
    assert doctor.check_port(settings).status == "ok"


def check_that_ends_its_process(settings: Settings) -> Finding:
    os._exit(134)


def test_a_model_that_ends_the_process_costs_its_own_line_only(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As llama.cpp and CTranslate2 do with some damaged files."""
    checks = (check_that_ends_its_process, doctor.check_python)
    monkeypatch.setattr(doctor, "CHECKS", checks)
    monkeypatch.setattr(doctor, "LOADING", checks[:1])
    first, second = run_checks(configured())
    assert first.status == "fail" and "ended the process" in first.detail and first.advice
    assert second.status == "ok"


def test_an_address_of_another_machine_fails() -> None:
    for host in ("192.0.2.1", "a..b"):
        finding = doctor.check_port(configured(gateway_host=host))
        assert finding.status == "fail" and "GATEWAY_HOST" in finding.advice


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for field in Settings.model_fields:
        monkeypatch.delenv(field.upper(), raising=False)


MODELS: list[tuple[Callable[[Settings], Finding], str]] = [
    (doctor.check_speech_model, "STT_MODEL"),
    (doctor.check_chat_model, "LLM_MODEL"),
    (doctor.check_voices, "TTS_VOICE"),
]


@pytest.mark.parametrize(("check", "variable"), MODELS)
def test_a_model_that_is_missing_fails(
    check: Callable[[Settings], Finding], variable: str, tmp_path: Path
) -> None:
    missing = str(tmp_path / "missing")
    finding = check(configured(stt_model=missing, llm_model=missing, tts_voice=missing))
    assert finding.status == "fail" and str(tmp_path) in finding.detail
    assert variable in finding.advice


@pytest.mark.parametrize("error", [ModelError("damaged"), ImportError("no module"), OSError("io")])
def test_a_model_that_does_not_load_fails(
    error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    def load(settings: Settings) -> str:
        raise error

    monkeypatch.setattr(doctor, "load_chat_model", load)
    finding = doctor.check_chat_model(configured())
    assert (finding.status, finding.detail) == ("fail", str(error))


def test_a_check_that_breaks_is_a_failure_and_the_others_still_run(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def check_disk(settings: Settings) -> Finding:
        raise PermissionError(13, "Permission denied", "/models")

    monkeypatch.setattr(doctor, "CHECKS", (check_disk, doctor.check_python))
    broken, python = run_checks(configured())
    assert (broken.name, broken.status) == ("disk", "fail")
    assert "Permission denied" in broken.detail and broken.advice
    assert python.status == "ok"


def test_models_that_cannot_be_read_are_left_to_their_own_checks(
    tmp_path: Path, deny: Callable[[str], None]
) -> None:
    deny("stat")
    settings = configured(models_dir=tmp_path, stt_model="x" * 300, llm_model="there")
    assert doctor.check_memory(settings).name == "memory"
    assert doctor.check_disk(settings).name == "disk"


def test_where_a_chat_service_answers_no_local_model_is_checked(tmp_path: Path) -> None:
    settings = configured(models_dir=tmp_path, llm_mode="remote", llm_model="missing")
    finding = doctor.check_chat_model(settings)
    assert (finding.status, finding.detail) == ("ok", "none; LLM_MODE=remote loads no model here")


@pytest.fixture
def service() -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """A chat service that wants the key "right", by its base URL, and what it was asked."""
    asked: list[dict[str, Any]] = []

    class Service(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200 if self.headers["Authorization"] == "Bearer right" else 401)
            self.end_headers()
            self.wfile.write(b'data: {"choices":[{"index":0,"delta":{"content":"Yes"}}]}\n\n')

        def log_message(self, *_: object) -> None: ...

    with HTTPServer(("127.0.0.1", 0), Service) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/v1", asked
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(("mode", "status"), [("remote", "fail"), ("fallback", "warn")])
def test_a_chat_service_is_asked_as_a_call_would_and_a_wrong_key_is_told(
    mode: str, status: str, service: tuple[str, list[dict[str, Any]]]
) -> None:
    url, asked = service
    right = configured(
        llm_mode=mode, openai_api_key=SecretStr("right"), openai_base_url=url, llm_max_tokens=77
    )
    finding = doctor.check_chat_service(right)
    assert finding.status == "ok"
    assert re.fullmatch(
        r"gpt-4\.1-mini at 127\.0\.0\.1: first word after \d+\.\d s", finding.detail
    )
    assert asked[0]["max_tokens"] == 77
    assert [m["content"] for m in asked[0]["messages"]] == ["Answer in one word.", "Are you there?"]
    wrong = right.model_copy(update={"openai_api_key": SecretStr("wrong")})
    finding = doctor.check_chat_service(wrong)
    assert finding.status == status and "apology" in finding.advice
    assert finding.detail.endswith("answered with status 401; check OPENAI_API_KEY")
    finding = doctor.check_chat_service(configured(llm_mode=mode))
    assert finding.status == status and "OPENAI_API_KEY" in finding.detail


def test_a_chat_service_that_nothing_may_be_sent_to_is_not_asked(
    service: tuple[str, list[dict[str, Any]]],
) -> None:
    url, asked = service
    settings = configured(openai_api_key=SecretStr("right"), openai_base_url=url)
    assert doctor.check_chat_service(settings).status == "ok"
    assert not asked


@pytest.mark.parametrize(("check", "variable"), MODELS)
def test_the_starter_models_load(check: Callable[[Settings], Finding], variable: str) -> None:
    settings = configured()
    if not settings.stt_path.exists():
        pytest.skip("this checkout has no starter models")
    finding = check(settings)
    assert finding.status == "ok", finding
    assert finding.detail.count("loaded in") == (3 if variable == "TTS_VOICE" else 1)
