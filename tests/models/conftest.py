"""A hub, a folder for models and a small catalogue for each test; the network stays unused."""

from __future__ import annotations

import os
import random
import types
from collections.abc import Iterator
from pathlib import Path

import huggingface_hub
import msgspec
import pytest
from huggingface_hub import constants, file_download
from huggingface_hub.utils import _http

from gateway.models import hub as hub_module
from gateway.models.catalogue import Catalogue
from gateway.models.lockfile import LockedModel, lock_file
from gateway.models.store import ModelStore
from gateway.settings import Settings
from tests.models.local_hub import COMMIT, LocalHub, run_local_hub

CHUNK = 1000


def noise(seed: int, size: int) -> bytes:
    """Bytes that differ with the seed."""
    return random.Random(seed).randbytes(size)


FILES = {
    "speech/small/config.json": b'{"lang_ids": []}',
    "speech/small/model.bin": noise(1, 20_000),
    "chat/small/chat.gguf": b"GGUF" + noise(2, 30_000),
    "voices/all/ru/irina/irina.onnx": noise(3, 10_000),
    "voices/all/ru/irina/irina.onnx.json": b'{"language": {"code": "ru_RU"}}',
}
"""What the local hub holds: the files of the catalogue below, by ``repo/path``."""

CATALOGUE = """
[profiles.tiny]
title = "for tests"
models = ["hearing", "talking", "speaking"]
settings = { LLM_GPU_LAYERS = "-1" }

[models.hearing]
kind = "stt"
repo = "speech/small"
files = ["config.json", "model.bin"]
size_mb = 0.02
licence = "MIT"
languages = ["en", "ar", "ru"]

[models.talking]
kind = "llm"
repo = "chat/small"
files = ["chat.gguf"]
size_mb = 0.03
licence = "Apache-2.0"
languages = ["en", "ar", "ru"]

[models.speaking]
kind = "tts"
repo = "voices/all"
folder = "ru/irina"
files = ["irina.onnx", "irina.onnx.json"]
size_mb = 0.01
licence = "CC0"
languages = ["ru"]
"""


def fill(store: ModelStore, catalogue: Catalogue, *names: str) -> None:
    """Place models as a download does, without one, and the catalogue beside them."""
    store.root.mkdir(parents=True, exist_ok=True)
    (store.root / "catalogue.toml").write_text(CATALOGUE)
    lock = store.read()
    for name in names:
        model = catalogue.models[name]
        folder = store.folder(model.kind, name)
        folder.mkdir(parents=True)
        for file, path in zip(model.files, model.paths, strict=True):
            (folder / file).write_bytes(FILES[f"{model.repo}/{path}"])
        files = {file: lock_file(folder / file) for file in model.files}
        lock.models[name] = LockedModel(
            model.kind, model.repo, COMMIT, model.licence, model.languages, files
        )
    store.write(lock)


def make_client() -> None:
    """The library keeps one client, made from the variables of the environment; not from these."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "SSL_CERT_FILE"):
            patch.delenv(name, raising=False)
            patch.delenv(name.lower(), raising=False)
        huggingface_hub.close_session()
        huggingface_hub.get_session()


@pytest.fixture(autouse=True, scope="session")
def client_without_proxies() -> Iterator[None]:
    make_client()
    yield
    huggingface_hub.close_session()


@pytest.fixture
def no_client() -> Iterator[None]:
    """The test has the library make its client anew."""
    huggingface_hub.close_session()
    yield
    make_client()


@pytest.fixture(autouse=True)
def own_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for field in Settings.model_fields:
        monkeypatch.delenv(field.upper(), raising=False)
    monkeypatch.delenv("HF_TOKEN", raising=False)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_TELEMETRY", True)
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_PROGRESS_BARS", True)
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "no-token"))
    # Set by each transfer; here so that it is set back.
    monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", CHUNK)
    monkeypatch.setattr(hub_module, "CHUNK", CHUNK)
    # The library and we wait before another try.
    for module in (file_download, _http, hub_module):
        monkeypatch.setattr(module, "time", types.SimpleNamespace(sleep=lambda seconds: None))


@pytest.fixture
def hub() -> Iterator[LocalHub]:
    with run_local_hub() as running:
        running.files = dict(FILES)
        yield running


@pytest.fixture
def catalogue() -> Catalogue:
    return msgspec.toml.decode(CATALOGUE, type=Catalogue)


@pytest.fixture
def synced(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Sizes of the files that were brought to the disk, in order."""
    sizes: list[int] = []
    fsync = os.fsync

    def note(fd: int) -> None:
        sizes.append(os.fstat(fd).st_size)
        fsync(fd)

    monkeypatch.setattr(os, "fsync", note)
    return sizes


@pytest.fixture
def store(tmp_path: Path) -> ModelStore:
    return ModelStore(tmp_path / "models")
