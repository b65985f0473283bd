"""Downloads: models appear whole or not at all, go on after a cut, and failures say what to do."""

from __future__ import annotations

import errno
import hashlib
import os
import re
import shutil
import socket
import traceback
import types
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import filelock
import pytest
from huggingface_hub import constants

from gateway.errors import ModelError
from gateway.models import hub as hub_module
from gateway.models.catalogue import Catalogue
from gateway.models.download import download
from gateway.models.hub import Hub
from gateway.models.store import ModelStore
from tests.models.conftest import CHUNK, noise
from tests.models.local_hub import COMMIT, LocalHub

ALWAYS = 50
REAL_CHUNK = hub_module.CHUNK


class Downloads:
    """Downloads from the local hub, with what was reported."""

    def __init__(self, store: ModelStore, hub: LocalHub, catalogue: Catalogue) -> None:
        self.store, self.hub, self.catalogue = store, hub, catalogue
        self.lines: list[str] = []

    def run(self, *names: str) -> None:
        models = self.catalogue.choose(names)
        download(self.store, Hub(self.hub.url), models, self.lines.append)

    def fails(self, *names: str) -> str:
        with pytest.raises(ModelError) as failure:
            self.run(*names)
        assert "\n" not in str(failure.value)
        return str(failure.value)

    def visible(self) -> list[str]:
        """Files under their final names."""
        paths = [p for kind in ("stt", "llm", "tts") for p in self.store.root.glob(f"{kind}/**/*")]
        return sorted(str(p.relative_to(self.store.root)) for p in paths)

    def parts(self) -> list[Path]:
        return sorted(self.store.root.glob(".incoming/*/parts/*"))


@pytest.fixture
def downloads(store: ModelStore, hub: LocalHub, catalogue: Catalogue) -> Downloads:
    return Downloads(store, hub, catalogue)


def test_a_model_is_placed_and_recorded(downloads: Downloads) -> None:
    downloads.run("hearing", "speaking")
    assert downloads.visible() == [
        "stt/hearing",
        "stt/hearing/config.json",
        "stt/hearing/model.bin",
        "tts/speaking",
        "tts/speaking/irina.onnx",
        "tts/speaking/irina.onnx.json",
    ]
    content = downloads.hub.files["speech/small/model.bin"]
    placed = downloads.store.root / "stt/hearing/model.bin"
    assert placed.read_bytes() == content
    locked = downloads.store.read().models["hearing"]
    assert (locked.repo, locked.commit, locked.licence) == ("speech/small", COMMIT, "MIT")
    file = locked.files["model.bin"]
    assert (file.sha256, file.size) == (hashlib.sha256(content).hexdigest(), len(content))
    assert file.mtime_ns == placed.stat().st_mtime_ns
    assert not (downloads.store.root / ".incoming").exists()


def test_all_files_come_from_the_commit_of_the_first(downloads: Downloads) -> None:
    downloads.run("hearing")
    model = [r.path for r in downloads.hub.requests if r.path.endswith("model.bin")]
    assert model and all(f"/resolve/{COMMIT}/" in path for path in model)


def test_a_model_that_is_there_is_not_transferred_again(downloads: Downloads) -> None:
    downloads.run("hearing")
    downloads.hub.forget()
    downloads.run("hearing")
    assert all(request.method == "HEAD" for request in downloads.hub.requests)
    assert downloads.lines[-1] == "hearing is already there and whole"


def test_a_model_without_a_record_is_only_recorded(downloads: Downloads) -> None:
    downloads.run("hearing")
    downloads.store.lock_path.unlink()
    downloads.hub.forget()
    downloads.run("hearing")
    assert all(request.method == "HEAD" for request in downloads.hub.requests)
    assert list(downloads.store.read().models) == ["hearing"]


def test_only_the_damaged_file_is_transferred_again(downloads: Downloads) -> None:
    downloads.run("hearing")
    model = downloads.store.root / "stt/hearing/model.bin"
    model.write_bytes(noise(9, 20_000))
    downloads.hub.forget()
    downloads.run("hearing")
    assert model.read_bytes() == downloads.hub.files["speech/small/model.bin"]
    assert downloads.hub.offsets("model.bin") == [None]
    assert downloads.hub.offsets("config.json") == []


def test_a_short_cut_is_bridged_at_the_offset_that_was_reached(downloads: Downloads) -> None:
    downloads.hub.cuts["model.bin"] = [7 * CHUNK]
    downloads.run("hearing")
    assert downloads.hub.offsets("model.bin") == [None, f"bytes={7 * CHUNK}-"]


def test_a_later_run_goes_on_where_a_failed_one_stopped(downloads: Downloads) -> None:
    downloads.hub.cuts["chat.gguf"] = [12 * CHUNK] + [0] * ALWAYS
    message = downloads.fails("talking")
    assert "the connection to" in message and "run the same command again to go on" in message
    [part] = downloads.parts()
    assert part.read_bytes() == downloads.hub.files["chat/small/chat.gguf"][: 12 * CHUNK]
    assert downloads.visible() == [] and downloads.store.read().models == {}

    downloads.hub.cuts.clear()
    downloads.hub.forget()
    downloads.run("talking")
    assert downloads.hub.offsets("chat.gguf") == [f"bytes={12 * CHUNK}-"]
    placed = downloads.store.root / "llm/talking/chat.gguf"
    assert placed.read_bytes() == downloads.hub.files["chat/small/chat.gguf"]


def test_connections_that_break_early_make_progress(
    downloads: Downloads, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the size of the pieces that is used in earnest."""
    monkeypatch.setattr(hub_module, "CHUNK", REAL_CHUNK)
    content = noise(4, 1_000_000)
    downloads.hub.files["chat/small/chat.gguf"] = content
    downloads.hub.cuts["chat.gguf"] = [100_000, *[0] * 10]
    downloads.fails("talking")
    assert downloads.parts()[0].stat().st_size >= 100_000 - REAL_CHUNK > 0
    downloads.hub.cuts["chat.gguf"] = [100_000] * ALWAYS
    downloads.run("talking")
    assert (downloads.store.root / "llm/talking/chat.gguf").read_bytes() == content


def test_any_number_of_breaks_is_bridged(downloads: Downloads) -> None:
    content = noise(5, 600 * CHUNK)
    downloads.hub.files["chat/small/chat.gguf"] = content
    downloads.hub.cuts["chat.gguf"] = [CHUNK] * 600
    downloads.run("talking")
    assert (downloads.store.root / "llm/talking/chat.gguf").read_bytes() == content


def test_a_server_that_ignores_offsets_and_always_breaks_is_given_up(downloads: Downloads) -> None:
    downloads.hub.ignores_ranges = True
    downloads.hub.cuts["chat.gguf"] = [7 * CHUNK] * ALWAYS
    assert "gives no rest of a file" in downloads.fails("talking")
    assert len(downloads.hub.transfers) < 10
    downloads.hub.cuts.clear()
    downloads.run("talking")


def test_more_bytes_than_announced_are_not_written(downloads: Downloads) -> None:
    key = "chat/small/chat.gguf"
    downloads.hub.served[key] = downloads.hub.files[key] + noise(6, 300 * CHUNK)
    message = downloads.fails("talking")
    assert "more than the 30004 bytes that were announced" in message
    [part] = downloads.parts()
    assert part.stat().st_size <= 30004 and downloads.visible() == []
    downloads.hub.served.clear()
    downloads.run("talking")
    assert downloads.visible() == ["llm/talking", "llm/talking/chat.gguf"]


def test_a_connection_that_is_reset_goes_on_at_the_offset_that_was_reached(
    downloads: Downloads,
) -> None:
    downloads.hub.resets = True
    downloads.hub.cuts["model.bin"] = [7 * CHUNK, 0, 3 * CHUNK]
    downloads.run("hearing")
    assert downloads.visible()[-1] == "stt/hearing/model.bin"
    first, *others = downloads.hub.offsets("model.bin")
    assert first is None and len(others) == 3 and None not in others


def test_connections_that_are_always_reset_are_given_up(downloads: Downloads) -> None:
    downloads.hub.resets = True
    downloads.hub.cuts["chat.gguf"] = [0] * ALWAYS
    assert "run the same command again to go on" in downloads.fails("talking")
    assert len(downloads.hub.cuts["chat.gguf"]) > ALWAYS - 10


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_server_that_is_busy_for_a_while_is_asked_again(
    downloads: Downloads, status: int
) -> None:
    key = "chat/small/chat.gguf"
    downloads.hub.cuts["chat.gguf"] = [7 * CHUNK]
    downloads.hub.busy[key] = [status] * 5
    downloads.run("talking")
    assert (downloads.store.root / "llm/talking/chat.gguf").read_bytes() == downloads.hub.files[key]
    assert downloads.hub.busy[key] == []


def test_a_server_that_stays_busy_is_given_up(downloads: Downloads) -> None:
    key = "chat/small/chat.gguf"
    downloads.hub.busy[key] = [503] * ALWAYS
    assert "answered 503" in downloads.fails("talking")
    assert len(downloads.hub.busy[key]) > ALWAYS - 10


def test_a_refusal_in_a_transfer_is_final(downloads: Downloads) -> None:
    key = "chat/small/chat.gguf"
    downloads.hub.busy[key] = [403] * ALWAYS
    assert "answered 403" in downloads.fails("talking")
    assert len(downloads.hub.busy[key]) == ALWAYS - 1


def test_files_that_somebody_put_beside_a_model_are_not_deleted(downloads: Downloads) -> None:
    mine = downloads.store.root / "llm/talking/mine.gguf"
    mine.parent.mkdir(parents=True)
    mine.touch()
    message = downloads.fails("talking")
    assert "holds mine.gguf" in message and "move it elsewhere first" in message
    assert mine.exists() and downloads.hub.transfers == []


def test_files_that_somebody_named_like_those_of_the_model_are_not_deleted(
    downloads: Downloads,
) -> None:
    mine = downloads.store.root / "stt/hearing/model.bin"
    mine.parent.mkdir(parents=True)
    mine.write_bytes(b"mine")
    (mine.parent / "config.json").write_bytes(downloads.hub.files["speech/small/config.json"])
    message = downloads.fails("hearing")
    assert "holds model.bin, which" in message and "move it elsewhere first" in message
    assert mine.read_bytes() == b"mine" and downloads.hub.transfers == []


def test_a_file_in_the_place_of_a_model_is_not_deleted(downloads: Downloads) -> None:
    mine = downloads.store.root / "llm/talking"
    mine.parent.mkdir(parents=True)
    mine.write_bytes(b"GGUF")
    message = downloads.fails("talking")
    assert f"{mine} is no folder of a model" in message and "move it elsewhere first" in message
    assert mine.read_bytes() == b"GGUF" and downloads.hub.transfers == []


def test_a_model_of_another_kind_with_the_same_name_lends_no_file_names(
    downloads: Downloads, catalogue: Catalogue
) -> None:
    downloads.run("talking")
    mine = downloads.store.root / "tts/talking/chat.gguf"
    mine.parent.mkdir(parents=True)
    mine.write_bytes(b"mine")
    renamed = {"talking": catalogue.models["speaking"]}
    with pytest.raises(ModelError, match=r"holds chat\.gguf"):
        download(downloads.store, Hub(downloads.hub.url), renamed, print)
    assert mine.exists()


def test_a_file_is_on_the_disk_before_it_gets_its_final_name(
    downloads: Downloads, synced: list[int]
) -> None:
    downloads.run("talking")
    assert len(downloads.hub.files["chat/small/chat.gguf"]) in synced


def test_files_that_were_complete_before_a_cut_are_kept(downloads: Downloads) -> None:
    downloads.hub.cuts["irina.onnx.json"] = [0] * ALWAYS
    downloads.fails("speaking")
    stray = downloads.store.incoming("speaking") / "files" / "of-an-older-version"
    stray.write_text("")
    downloads.hub.cuts.clear()
    downloads.hub.forget()
    downloads.run("speaking")
    assert "tts/speaking/of-an-older-version" not in downloads.visible()
    assert downloads.hub.offsets("irina.onnx") == []
    assert downloads.hub.offsets("irina.onnx.json") == [None]


def test_a_server_that_ignores_offsets_starts_over(downloads: Downloads) -> None:
    downloads.hub.ignores_ranges = True
    downloads.hub.cuts["model.bin"] = [7 * CHUNK]
    downloads.run("hearing")
    placed = downloads.store.root / "stt/hearing/model.bin"
    assert placed.read_bytes() == downloads.hub.files["speech/small/model.bin"]


def test_a_kept_part_that_was_damaged_is_fetched_once_more(downloads: Downloads) -> None:
    downloads.hub.cuts["model.bin"] = [7 * CHUNK] + [0] * ALWAYS
    downloads.fails("hearing")
    [part] = downloads.parts()
    part.write_bytes(bytes(7 * CHUNK))
    downloads.hub.cuts.clear()
    downloads.hub.forget()
    downloads.run("hearing")
    assert downloads.hub.offsets("model.bin") == [f"bytes={7 * CHUNK}-", None]


def test_a_part_that_is_too_long_is_thrown_away(downloads: Downloads) -> None:
    downloads.hub.cuts["model.bin"] = [7 * CHUNK] + [0] * ALWAYS
    downloads.fails("hearing")
    [part] = downloads.parts()
    part.write_bytes(bytes(90_000))
    downloads.hub.cuts.clear()
    downloads.run("hearing")
    placed = downloads.store.root / "stt/hearing/model.bin"
    assert placed.read_bytes() == downloads.hub.files["speech/small/model.bin"]


@pytest.mark.parametrize("path", ["speech/small/model.bin", "speech/small/config.json"])
def test_other_bytes_than_announced_are_refused(downloads: Downloads, path: str) -> None:
    downloads.hub.served[path] = bytes(len(downloads.hub.files[path]))
    message = downloads.fails("hearing")
    assert "wrong checksum" in message and "proxy, mirror" in message
    assert downloads.visible() == [] and downloads.parts() == []


def test_a_shorter_file_than_announced_is_refused(downloads: Downloads) -> None:
    content = downloads.hub.files["chat/small/chat.gguf"]
    downloads.hub.served["chat/small/chat.gguf"] = content[:5000]
    assert "ended early" in downloads.fails("talking")
    assert downloads.visible() == []


def test_models_before_a_failing_one_stay(downloads: Downloads) -> None:
    downloads.hub.cuts["chat.gguf"] = [0] * ALWAYS
    downloads.fails("hearing", "talking")
    assert list(downloads.store.read().models) == ["hearing"]
    assert downloads.visible() == [
        "stt/hearing",
        "stt/hearing/config.json",
        "stt/hearing/model.bin",
    ]


@pytest.mark.parametrize(
    ("missing", "names"),
    [
        (["speech/small/config.json", "speech/small/model.bin"], "speech/small/config.json"),
        (["speech/small/model.bin"], "speech/small/model.bin"),
    ],
)
def test_a_repository_or_file_that_is_not_there_is_named(
    downloads: Downloads, missing: Sequence[str], names: str
) -> None:
    for path in missing:
        del downloads.hub.files[path]
    message = downloads.fails("hearing")
    assert f"{names} was not found at {downloads.hub.url}" in message
    assert "catalogue.toml" in message


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (404, "was not found"),
        (503, "answered 503 .*try again later"),
        (401, "answered 401 .*HF_TOKEN"),
        (407, "answered 407 .*a proxy wants another name and password"),
    ],
)
def test_a_refusal_of_the_hub_is_told(downloads: Downloads, status: int, words: str) -> None:
    downloads.hub.refusals["chat/small/chat.gguf"] = status
    assert re.search(words, downloads.fails("talking"))


def test_a_model_with_terms_says_how_to_accept_them(downloads: Downloads) -> None:
    downloads.hub.gated = True
    message = downloads.fails("talking")
    assert "accept them on its page" in message and "HF_TOKEN" in message


def test_a_hub_without_checksums_is_not_trusted(downloads: Downloads) -> None:
    downloads.hub.gives_checksums = False
    assert "gives no checksum" in downloads.fails("talking")


def test_no_network_says_what_to_check(downloads: Downloads) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        downloads.hub.url = f"http://127.0.0.1:{unused.getsockname()[1]}"
        message = downloads.fails("talking")
    assert "the connection to" in message and "HF_ENDPOINT" in message
    assert "--from-bundle" in message


@pytest.mark.usefixtures("no_client")
@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("ALL_PROXY", "socks5://127.0.0.1:1"),
        ("SSL_CERT_FILE", "/no/such/file"),
        ("SSL_CERT_FILE", __file__),
    ],
)
def test_network_settings_that_cannot_be_used_are_told(
    downloads: Downloads, monkeypatch: pytest.MonkeyPatch, variable: str, value: str
) -> None:
    monkeypatch.setenv(variable, value)
    message = downloads.fails("talking")
    assert "network settings" in message and variable in message and "MODELS_DIR" not in message


@pytest.mark.usefixtures("no_client")
@pytest.mark.parametrize(
    "address",
    [
        "http://proxy:port",
        "http://user:top#secret@proxy:3128",
        "user:top/secret@proxy:3128",
        "http://user:top[secret@proxy:3128",
        "http://user:secret@proxy:3128\r",
    ],
)
def test_a_proxy_with_a_bad_address_is_told_without_its_password(
    downloads: Downloads, monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", address)
    with pytest.raises(ModelError) as failure:
        downloads.run("talking")
    shown = "".join(traceback.format_exception(failure.value))
    assert "HTTPS_PROXY" in shown and "written as %23" in shown
    assert not re.search("top|secret", shown)


@pytest.mark.usefixtures("no_client")
def test_the_list_of_servers_without_a_proxy_is_not_taken_for_an_address(
    downloads: Downloads, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://user:p%23s@proxy:3128")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1,example.org:x")
    downloads.run("talking")


@pytest.mark.parametrize("end", ["\r", "\x7f"])
def test_the_address_of_a_hub_with_a_character_that_cannot_be_seen_is_told(
    downloads: Downloads, end: str
) -> None:
    """Such as a line of a file that was edited on Windows ends in."""
    with pytest.raises(ModelError, match="cannot be asked .*check HF_ENDPOINT"):
        download(downloads.store, Hub(downloads.hub.url + end), downloads.catalogue.models, print)


def test_a_token_that_cannot_be_sent_is_told(
    downloads: Downloads, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "héllo")
    message = downloads.fails("talking")
    assert "check HF_ENDPOINT and HF_TOKEN" in message and "llo" not in message


def test_offline_mode_points_to_bundles(
    downloads: Downloads, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    message = downloads.fails("talking")
    assert "HF_HUB_OFFLINE" in message and "--from-bundle" in message


def test_the_token_goes_to_the_hub_only(
    downloads: Downloads, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    downloads.run("talking")
    seen = {(r.server, r.authorization) for r in downloads.hub.requests}
    assert seen == {("hub", "Bearer hf_secret"), ("storage", None)}


def test_too_little_room_is_told_before_anything_is_transferred(
    downloads: Downloads, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = types.SimpleNamespace(free=10_000_000)
    monkeypatch.setattr(shutil, "disk_usage", lambda place: usage)
    message = downloads.fails("hearing", "talking")
    assert "64 MB must stay free" in message and "10 MB are free" in message
    assert "MODELS_DIR" in message
    assert all(request.method == "HEAD" for request in downloads.hub.requests)


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (errno.ENOSPC, "disk of"),
        (errno.EROFS, "cannot be read or written"),
        (errno.EFBIG, "exFAT"),
        (errno.EIO, "error"),
    ],
)
def test_a_disk_that_fails_on_the_way_is_told_and_the_part_kept(
    downloads: Downloads, monkeypatch: pytest.MonkeyPatch, code: int, words: str
) -> None:
    def http_get(url: str, target: Any, **options: Any) -> None:
        target.write(b"GGUF")
        raise OSError(code, "input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(hub_module, "http_get", http_get)
        assert words in downloads.fails("talking")
    assert downloads.visible() == [] and downloads.parts()[0].read_bytes() == b"GGUF"
    downloads.run("talking")
    assert downloads.hub.offsets("chat.gguf") == ["bytes=4-"]


def test_a_kind_of_models_on_another_disk_is_told_and_what_came_is_kept(
    downloads: Downloads, monkeypatch: pytest.MonkeyPatch
) -> None:
    def rename(source: Path, target: Path) -> Path:
        raise OSError(errno.EXDEV, "Invalid cross-device link", str(source), None, str(target))

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", rename)
        message = downloads.fails("talking")
    assert f"moved to {downloads.store.root / 'llm/talking'}, on another disk" in message
    assert "must be on the disk of MODELS_DIR" in message
    downloads.hub.forget()
    downloads.run("talking")
    assert downloads.hub.offsets("chat.gguf") == []


def test_a_folder_that_cannot_be_written_is_told(
    downloads: Downloads, monkeypatch: pytest.MonkeyPatch
) -> None:
    def acquire(lock: object, **options: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", "/models/.lock")

    monkeypatch.setattr(filelock.FileLock, "acquire", acquire)
    message = downloads.fails("talking")
    assert "/models/.lock cannot be read or written" in message and "MODELS_DIR" in message


def test_a_file_where_the_folder_should_be_is_told(downloads: Downloads) -> None:
    downloads.store.root.write_text("not a folder")
    message = downloads.fails("talking")
    assert str(downloads.store.root) in message and "set MODELS_DIR to a folder" in message


def test_two_downloads_at_once_are_refused(downloads: Downloads) -> None:
    with downloads.store.exclusive():
        assert "another download or removal is running" in downloads.fails("talking")
    downloads.run("talking")


def test_an_interrupt_keeps_what_was_received(
    downloads: Downloads, monkeypatch: pytest.MonkeyPatch
) -> None:
    def http_get(url: str, target: Any, **options: Any) -> None:
        target.write(b"GGUF")
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(hub_module, "http_get", http_get)
        downloads.run("talking")
    assert downloads.visible() == []
    downloads.run("talking")
    assert downloads.hub.offsets("chat.gguf") == ["bytes=4-"]


def test_a_model_is_never_seen_half(downloads: Downloads, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whenever a file has arrived, the final folder is either not there or complete."""
    seen: list[list[str]] = []
    fetch = Hub.fetch

    def watched(self: Hub, file: Any, part: Path) -> None:
        fetch(self, file, part)
        seen.append(downloads.visible())

    monkeypatch.setattr(Hub, "fetch", watched)
    downloads.run("hearing", "speaking")
    whole = ["stt/hearing", "stt/hearing/config.json", "stt/hearing/model.bin"]
    assert seen == [[], [], whole, whole]


def test_a_disk_without_second_names_is_copied_on(
    downloads: Downloads, monkeypatch: pytest.MonkeyPatch
) -> None:
    downloads.run("hearing")
    config = downloads.store.root / "stt/hearing/config.json"
    (downloads.store.root / "stt/hearing/model.bin").unlink()

    def link(source: Path, target: Path) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", link)
    downloads.run("hearing")
    assert config.read_bytes() == downloads.hub.files["speech/small/config.json"]
