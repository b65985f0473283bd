"""Verifying and removing: what was tampered with is found, and removal leaves nothing."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path

import filelock
import pytest

from gateway.errors import ModelError
from gateway.models import lockfile
from gateway.models.catalogue import Catalogue
from gateway.models.download import download
from gateway.models.hub import Hub
from gateway.models.store import ModelStore, model_problems, without_record
from gateway.models.verify import refresh_times, remove, verify
from tests.models.conftest import fill
from tests.models.local_hub import LocalHub

MODEL = "stt/hearing/model.bin"


@pytest.fixture
def filled(store: ModelStore, catalogue: Catalogue) -> ModelStore:
    fill(store, catalogue, "hearing", "talking")
    return store


def verified(store: ModelStore, *names: str) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    whole = verify(store, names, found.__setitem__)
    assert whole == (not any(found.values()))
    return found


def quick(store: ModelStore) -> list[str]:
    return model_problems(store, "hearing", store.read().models["hearing"])


def tamper(path: Path, keep_time: bool) -> None:
    """Change a byte, and no size."""
    times = path.stat()
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    if keep_time:
        os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


def test_what_was_downloaded_is_whole(filled: ModelStore) -> None:
    assert verified(filled) == {"hearing": [], "talking": []}
    assert verified(filled, "talking") == {"talking": []}


@pytest.mark.parametrize("keep_time", [True, False])
def test_a_tampered_file_is_found(filled: ModelStore, keep_time: bool) -> None:
    tamper(filled.root / MODEL, keep_time)
    [problem] = verified(filled)["hearing"]
    assert MODEL in problem and "its checksum is another" in problem
    # The quick check of every start trusts size and time alone.
    assert bool(quick(filled)) is not keep_time


def test_a_truncated_file_is_found_at_every_start(filled: ModelStore) -> None:
    os.truncate(filled.root / MODEL, 123)
    assert verified(filled)["hearing"] == quick(filled)
    assert "has 123 bytes instead of 20000" in quick(filled)[0]


def test_a_missing_file_is_found_at_every_start(filled: ModelStore) -> None:
    (filled.root / MODEL).unlink()
    assert verified(filled)["hearing"] == quick(filled)
    assert "is missing" in quick(filled)[0]


def test_a_file_that_cannot_be_read_is_told(
    filled: ModelStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def sha256_of(path: Path) -> str:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(lockfile, "sha256_of", sha256_of)
    assert "cannot be read (Input/output error)" in verified(filled)["hearing"][0]


def test_the_quick_check_reads_no_file_whose_size_and_time_are_known(
    filled: ModelStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lockfile, "sha256_of", lambda path: "read")
    assert quick(filled) == []


def test_a_copied_model_is_read_once_and_known_from_then_on(
    filled: ModelStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    os.utime(filled.root / MODEL, ns=(1, 1))
    assert quick(filled) == []
    refresh_times(filled)
    assert filled.read().models["hearing"].files["model.bin"].mtime_ns == 1
    monkeypatch.setattr(lockfile, "sha256_of", lambda path: "read again")
    assert quick(filled) == []


def test_times_of_a_damaged_model_are_not_recorded(filled: ModelStore) -> None:
    os.utime(filled.root / "llm/talking/chat.gguf", ns=(1, 1))
    tamper(filled.root / MODEL, keep_time=False)
    refresh_times(filled)
    assert quick(filled)


def test_times_cannot_be_recorded_where_nothing_can_be_written(
    filled: ModelStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def acquire(lock: object, **options: object) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(filelock.FileLock, "acquire", acquire)
    refresh_times(filled)
    os.utime(filled.root / MODEL, ns=(1, 1))
    with pytest.raises(ModelError, match="cannot be read or written"):
        refresh_times(filled)
    with pytest.raises(ModelError, match="cannot be read or written"):
        remove(filled, "hearing")


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b'{"version": 2}', b'{"version": 1, "models": {"../x": {}}}']
)
def test_a_damaged_lock_file_says_what_to_do(filled: ModelStore, content: bytes) -> None:
    filled.lock_path.write_bytes(content)
    with pytest.raises(ModelError, match=r"lock\.json is damaged .* delete it and run"):
        filled.read()


def test_a_lock_file_that_cannot_be_read_is_not_taken_for_damaged(
    filled: ModelStore, deny: Callable[[str], None]
) -> None:
    deny("read_bytes")
    with pytest.raises(ModelError, match=r"lock\.json cannot be read.*owner") as failure:
        filled.read()
    assert "delete" not in str(failure.value)


def test_a_folder_that_cannot_be_read_is_told(
    filled: ModelStore, deny: Callable[[str], None]
) -> None:
    filled.incoming("speaking").mkdir(parents=True)
    deny("iterdir")
    with pytest.raises(ModelError, match=r"\.incoming cannot be read"):
        filled.unfinished()
    with pytest.raises(ModelError, match="stt cannot be read"):
        filled.unrecorded()


def test_models_whose_record_was_lost_are_told_from_those_that_are_not_there(
    filled: ModelStore,
) -> None:
    filled.lock_path.unlink()
    assert filled.unrecorded() == ["hearing", "talking"]
    for act in (verified, remove):
        with pytest.raises(ModelError, match=r"not in lock\.json.*models download talking"):
            act(filled, "talking")
    with pytest.raises(ModelError, match="is not downloaded"):
        remove(filled, "speaking")
    assert (filled.root / MODEL).is_file()


def test_a_model_of_a_bundle_whose_record_was_lost_is_to_be_installed_again(
    filled: ModelStore,
) -> None:
    filled.lock_path.unlink()
    (filled.root / "llm/other").mkdir()
    both = without_record(filled, filled.unrecorded())
    assert both.startswith("not in lock.json, so not known to be whole: hearing, other, talking; ")
    assert "by: voice-gateway models download hearing talking; what came from a bundle" in both
    assert both.endswith("by: voice-gateway models download --from-bundle FILE.tar")
    only = without_record(filled, ["other"])
    assert "--from-bundle" in only and "without a transfer" not in only


def test_a_name_that_is_not_downloaded_offers_what_is_like_it(filled: ModelStore) -> None:
    with pytest.raises(ModelError, match=r"'hering' is not downloaded \(did you mean hearing\?\)"):
        verified(filled, "hering")
    with pytest.raises(ModelError, match="'hering' is not downloaded"):
        remove(filled, "hering")


def test_a_removed_model_leaves_nothing(filled: ModelStore) -> None:
    remove(filled, "hearing")
    assert list(filled.read().models) == ["talking"]
    assert not (filled.root / "stt/hearing").exists()
    assert not (filled.root / ".incoming").exists()


def test_files_that_somebody_put_beside_a_model_are_not_removed(filled: ModelStore) -> None:
    mine = filled.root / "llm/talking/my-lora.gguf"
    mine.touch()
    with pytest.raises(ModelError, match=r"holds my-lora\.gguf, .* move it elsewhere first"):
        remove(filled, "talking")
    assert verified(filled, "talking") == {"talking": []}
    mine.rename(filled.root / "my-lora.gguf")
    (filled.root / "llm/talking/.DS_Store").touch()
    remove(filled, "talking")
    assert not (filled.root / "llm/talking").exists()


def test_a_model_whose_files_are_gone_can_be_removed(filled: ModelStore) -> None:
    for path in (filled.root / "stt/hearing").iterdir():
        path.unlink()
    (filled.root / "stt/hearing").rmdir()
    remove(filled, "hearing")
    assert list(filled.read().models) == ["talking"]


def test_an_unfinished_download_can_be_removed(
    filled: ModelStore, hub: LocalHub, catalogue: Catalogue
) -> None:
    hub.cuts["irina.onnx"] = [0] * 50
    with pytest.raises(ModelError):
        download(filled, Hub(hub.url), catalogue.choose(["speaking"]), print)
    assert filled.unfinished() == {"speaking"}
    remove(filled, "speaking")
    assert filled.unfinished() == set()


def test_what_a_killed_installation_of_a_bundle_left_is_unfinished_and_can_be_removed(
    filled: ModelStore,
) -> None:
    for name in ("speaking", "talking"):
        (filled.unpacking(name) / "files").mkdir(parents=True)
    assert filled.unfinished() == {"speaking", "talking"}
    remove(filled, "speaking")
    assert filled.unfinished() == {"talking"} <= set(filled.read().models)
    remove(filled, "talking")
    assert not (filled.root / ".incoming").exists()


def test_what_an_operating_system_hides_is_no_model(filled: ModelStore) -> None:
    (filled.root / "stt/.Trashes").mkdir()
    (filled.root / ".incoming/.DS_Store").mkdir(parents=True)
    assert filled.unrecorded() == []
    assert filled.unfinished() == set()


@pytest.mark.parametrize("name", ["../secret", "..", ".", "/", "stt/hearing"])
def test_nothing_outside_is_removed(filled: ModelStore, name: str) -> None:
    secret = filled.root.parent / "secret"
    secret.mkdir()
    with pytest.raises(ModelError, match="is not downloaded"):
        remove(filled, name)
    assert secret.is_dir() and verified(filled)


def test_a_removal_frees_a_full_disk_and_is_finished_by_a_second_one(
    filled: ModelStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(at: ModelStore | Path, *_args: object, **_kwargs: object) -> None:
        if isinstance(at, ModelStore) or not at.exists():
            raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(ModelStore, "write", full)
        patch.setattr(Path, "mkdir", full)
        with pytest.raises(ModelError, match="is full"):
            remove(filled, "hearing")
    assert not (filled.root / "stt/hearing").exists(), "its room is what the next try needs"
    assert "hearing" in filled.read().models
    remove(filled, "hearing")
    assert "hearing" not in filled.read().models


def test_a_lock_file_that_cannot_be_written_leaves_no_part_of_it(
    filled: ModelStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_fd: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        filled.write(filled.read())
    assert sorted(path.name for path in filled.root.glob("lock.json*")) == ["lock.json"]


def test_removing_what_was_never_there_makes_no_folder(tmp_path: Path) -> None:
    store = ModelStore(tmp_path / "new")
    with pytest.raises(ModelError, match="is not downloaded"):
        remove(store, "hearing")
    assert not store.root.exists()


def test_times_are_left_alone_while_another_process_changes_the_models(
    filled: ModelStore,
) -> None:
    os.utime(filled.root / MODEL)
    before = filled.lock_path.read_bytes()
    with filled.exclusive():
        refresh_times(filled)
    assert filled.lock_path.read_bytes() == before
    refresh_times(filled)
    assert filled.lock_path.read_bytes() != before


def test_a_folder_whose_entries_cannot_be_looked_at_is_told(
    filled: ModelStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of which a user may read the names and no more."""
    is_dir = Path.is_dir

    def denied(self: Path) -> bool:
        if self.parent.name == "stt":
            raise PermissionError(errno.EACCES, "Permission denied", str(self))
        return is_dir(self)

    monkeypatch.setattr(Path, "is_dir", denied)
    with pytest.raises(ModelError, match="cannot be read or written"):
        filled.unrecorded()
