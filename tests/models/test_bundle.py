"""Bundles: what was downloaded arrives whole on another machine, and anything else is refused."""

from __future__ import annotations

import errno
import gzip
import hashlib
import io
import json
import os
import random
import shutil
import tarfile
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gateway.errors import ModelError
from gateway.models.bundle import install, pack
from gateway.models.catalogue import Catalogue
from gateway.models.store import ModelStore, model_problems
from tests.models.conftest import FILES, fill

Content = list[tuple[tarfile.TarInfo, bytes]]


@pytest.fixture
def bundle(store: ModelStore, catalogue: Catalogue, tmp_path: Path) -> Path:
    fill(store, catalogue, "hearing", "speaking")
    path = tmp_path / "models.tar"
    pack(store, [], path, print)
    return path


@pytest.fixture
def other(tmp_path: Path) -> ModelStore:
    """The models of the machine without a network."""
    return ModelStore(tmp_path / "other" / "models")


def left(store: ModelStore) -> list[str]:
    """Everything in the folder but the lock against other processes."""
    paths = (str(path.relative_to(store.root)) for path in store.root.rglob("*"))
    return sorted(path for path in paths if path != ".lock")


def contents(bundle: Path) -> Content:
    with tarfile.open(bundle) as tar:
        return [(m, f.read() if (f := tar.extractfile(m)) else b"") for m in tar.getmembers()]


def rewrite(bundle: Path, members: Content) -> None:
    with tarfile.open(bundle, "w") as tar:
        for member, data in members:
            if member.isreg():
                member.size = len(data)
            tar.addfile(member, io.BytesIO(data))


def member(name: str, kind: bytes = tarfile.REGTYPE, target: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


def refused(bundle: Path, store: ModelStore) -> str:
    """The reason; nothing may be left of the attempt."""
    before = left(store)
    with pytest.raises(ModelError) as failure:
        install(store, bundle, print)
    assert left(store) == before
    assert "\n" not in str(failure.value)
    return str(failure.value)


def test_a_bundle_brings_all_that_was_downloaded(
    bundle: Path, store: ModelStore, other: ModelStore
) -> None:
    assert list(install(other, bundle, print).models) == ["hearing", "speaking"]
    for path in ("stt/hearing/model.bin", "stt/hearing/config.json", "tts/speaking/irina.onnx"):
        assert (other.root / path).read_bytes() == (store.root / path).read_bytes()
    here, there = store.read().models["hearing"], other.read().models["hearing"]
    assert (here.commit, here.licence) == (there.commit, there.licence)
    assert {n: f.sha256 for n, f in here.files.items()} == {
        n: f.sha256 for n, f in there.files.items()
    }
    assert not (other.root / ".incoming").exists()


def test_a_bundle_replaces_a_damaged_model_and_keeps_others(
    bundle: Path, store: ModelStore, catalogue: Catalogue
) -> None:
    fill(store, catalogue, "talking")
    (store.root / "stt/hearing/model.bin").write_bytes(b"damaged")
    install(store, bundle, print)
    model = store.root / "stt/hearing/model.bin"
    assert model.read_bytes() == FILES["speech/small/model.bin"]
    assert sorted(store.read().models) == ["hearing", "speaking", "talking"]


def test_equal_models_give_equal_bundles(bundle: Path, store: ModelStore, tmp_path: Path) -> None:
    pack(store, ["hearing", "speaking"], tmp_path / "again.tar", print)
    assert (tmp_path / "again.tar").read_bytes() == bundle.read_bytes()


def test_a_bundle_can_hold_some_models_only(
    bundle: Path, store: ModelStore, other: ModelStore
) -> None:
    pack(store, ["speaking"], bundle, print)
    assert list(install(other, bundle, print).models) == ["speaking"]


def test_a_damaged_model_is_not_packed(bundle: Path, store: ModelStore) -> None:
    before = bundle.read_bytes()
    (store.root / "stt/hearing/model.bin").write_bytes(b"damaged")
    with pytest.raises(ModelError, match=r"has 7 bytes.*models download hearing"):
        pack(store, [], bundle, print)
    assert bundle.read_bytes() == before


def test_a_damaged_model_of_a_bundle_is_not_packed(
    bundle: Path, other: ModelStore, tmp_path: Path
) -> None:
    install(other, bundle, print)
    (other.root / "stt/hearing/model.bin").write_bytes(b"damaged")
    with pytest.raises(ModelError, match=r"install its bundle again: .* --from-bundle FILE\.tar"):
        pack(other, ["hearing"], tmp_path / "new.tar", print)


def test_nothing_to_pack_and_nowhere_to_pack_to(
    bundle: Path, store: ModelStore, other: ModelStore, tmp_path: Path
) -> None:
    with pytest.raises(ModelError, match="nothing is downloaded yet"):
        pack(other, [], tmp_path / "new.tar", print)
    with pytest.raises(ModelError, match="hearin"):
        pack(store, ["hearin"], tmp_path / "new.tar", print)
    assert not (tmp_path / "new.tar").exists()
    other.folder("stt", "hearing").mkdir(parents=True)
    with pytest.raises(ModelError, match=r"not in lock\.json.*from a bundle .*--from-bundle FILE"):
        pack(other, [], tmp_path / "new.tar", print)


@pytest.mark.parametrize(
    ("target", "words"),
    [
        ("", "is a folder"),
        (".", "is a folder"),
        ("..", "is a folder"),
        ("folder", "is a folder"),
        ("no/folder/x.tar", "there is no folder"),
        ("file/x.tar", "there is no folder"),
    ],
)
def test_a_target_that_cannot_be_written_is_told_first(
    bundle: Path,
    store: ModelStore,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    target: str,
    words: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("folder").mkdir()
    Path("file").touch()
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(ModelError, match=words):
        pack(store, [], Path(target), lambda line: pytest.fail(line))
    assert sorted(tmp_path.rglob("*")) == before


def test_a_folder_where_nothing_may_be_written_is_told_first(
    bundle: Path, store: ModelStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    with pytest.raises(ModelError, match="cannot be written; choose another folder"):
        pack(store, [], tmp_path / "new.tar", lambda line: pytest.fail(line))


def test_a_pack_that_fails_tells_the_target_and_leaves_nothing(
    bundle: Path, store: ModelStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def addfile(*args: object) -> None:
        raise OSError(errno.EFBIG, "File too large")

    monkeypatch.setattr(tarfile.TarFile, "addfile", addfile)
    before = sorted(tmp_path.iterdir())
    with pytest.raises(ModelError, match=r"too large for the disk of .*new\.tar.*exFAT"):
        pack(store, [], tmp_path / "new.tar", print)
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize("pid", [4_999_999, os.getpid()], ids=["of nobody", "of this process"])
def test_what_a_killed_pack_left_is_removed_before_room_is_checked(
    bundle: Path, store: ModelStore, monkeypatch: pytest.MonkeyPatch, pid: int
) -> None:
    """Room there is only without it, and what others pack meanwhile stays."""
    left_over = bundle.with_name(f".models.tar.{pid}.part")
    of_others = [f".models.tar.{os.getppid()}.part", f".my.tar.{pid}.part", ".models.tar.x.part"]
    for name in (left_over.name, *of_others):
        bundle.with_name(name).touch()
    room_unless(left_over, monkeypatch)
    pack(store, [], bundle, print)
    assert not left_over.exists()
    assert all(bundle.with_name(name).exists() for name in of_others)


def room_unless(left_over: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The disk is full while there is a file."""

    def disk_usage(place: Path) -> types.SimpleNamespace:
        return types.SimpleNamespace(free=0 if left_over.exists() else 10**9)

    monkeypatch.setattr(shutil, "disk_usage", disk_usage)


def test_what_a_killed_installation_left_is_removed_before_room_is_checked(
    bundle: Path, other: ModelStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    left_over = other.unpacking("speaking") / "files" / "irina.onnx"
    left_over.parent.mkdir(parents=True)
    left_over.touch()
    room_unless(left_over, monkeypatch)
    assert list(install(other, bundle, print).models) == ["hearing", "speaking"]
    assert not (other.root / ".incoming").exists()


def test_a_bundle_brings_the_settings_of_its_profile(
    bundle: Path, store: ModelStore, other: ModelStore
) -> None:
    pack(store, [], bundle, print, {"STT_DEVICE": "cuda"})
    assert install(other, bundle, print).settings == {"STT_DEVICE": "cuda"}


def test_room_is_checked_before_packing_and_before_installing(
    bundle: Path, store: ModelStore, other: ModelStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda place: types.SimpleNamespace(free=1000))
    with pytest.raises(ModelError, match="are needed"):
        pack(store, [], bundle, print)
    assert "are needed" in refused(bundle, other)


HOSTILE: list[tuple[Callable[[], tarfile.TarInfo], str]] = [
    (lambda: member("../../evil"), "leaves its folder"),
    (lambda: member("stt/hearing/../../evil"), "leaves its folder"),
    (lambda: member("stt\\..\\..\\evil"), "leaves its folder"),
    (lambda: member("/etc/evil"), "absolute name"),
    (lambda: member("C:/evil"), "absolute name"),
    (lambda: member("stt/hearing/model.bin", tarfile.SYMTYPE, "/etc/passwd"), "is a link"),
    (lambda: member("stt/hearing/model.bin", tarfile.LNKTYPE, "../../evil"), "is a link"),
    (lambda: member("stt/hearing/model.bin", tarfile.CHRTYPE), "not a regular file"),
    (lambda: member("stt/hearing/model.bin", tarfile.BLKTYPE), "not a regular file"),
    (lambda: member("stt/hearing/model.bin", tarfile.FIFOTYPE), "not a regular file"),
    (lambda: member("stt/hearing", tarfile.DIRTYPE), "not a regular file"),
    (lambda: member("stt/hearing/extra.bin"), "not announced"),
    (lambda: member("lock.json"), "not announced"),
    (lambda: member("stt/hearing/config.json"), "comes twice"),
]


@pytest.mark.parametrize(("make", "reason"), HOSTILE, ids=[reason for _, reason in HOSTILE])
def test_a_member_that_we_would_not_make_is_refused(
    bundle: Path, other: ModelStore, make: Callable[[], tarfile.TarInfo], reason: str
) -> None:
    head, config, *rest = contents(bundle)
    rewrite(bundle, [head, config, (make(), b""), *rest])
    message = refused(bundle, other)
    assert reason in message and "nothing was installed" in message
    assert not list(other.root.parent.rglob("evil"))


def test_changed_bytes_are_refused(bundle: Path, other: ModelStore) -> None:
    members = contents(bundle)
    info, data = members[-2]
    members[-2] = (info, bytes(len(data)))
    rewrite(bundle, members)
    assert "wrong checksum" in refused(bundle, other)


def test_another_length_is_refused(bundle: Path, other: ModelStore) -> None:
    members = contents(bundle)
    info, data = members[-2]
    members[-2] = (info, data + b"more")
    rewrite(bundle, members)
    assert "not as long as announced" in refused(bundle, other)


def test_a_bundle_without_its_last_member_is_refused(bundle: Path, other: ModelStore) -> None:
    rewrite(bundle, contents(bundle)[:-1])
    assert "is incomplete" in refused(bundle, other)


@pytest.mark.parametrize("seed", range(12))
def test_a_bundle_with_wrong_bits_brings_the_right_bytes_or_nothing(
    bundle: Path, other: ModelStore, seed: int
) -> None:
    """The heads of the members and the list among them, where most can go wrong."""
    content, chance = bytearray(bundle.read_bytes()), random.Random(seed)
    for limit in (len(content), 4096):
        content[chance.randrange(limit)] ^= 1 << chance.randrange(8)
    bundle.write_bytes(content)
    try:
        installed = list(install(other, bundle, print).models)
    except ModelError:
        assert left(other) == []
        return
    assert installed == ["hearing", "speaking"]
    placed = (other.root / "stt/hearing/model.bin").read_bytes()
    assert placed == FILES["speech/small/model.bin"]


@pytest.mark.parametrize("size", [0, 100, 700, 3000, 15_000, 30_000])
def test_a_bundle_that_was_cut_is_refused(bundle: Path, other: ModelStore, size: int) -> None:
    bundle.write_bytes(bundle.read_bytes()[:size])
    assert "bundle" in refused(bundle, other) or size > 1000


def extended(kind: bytes, body: bytes, announced: int | None = None) -> bytes:
    """An extended header, which tarfile reads by itself, and a member after it."""
    head = member("x", kind)
    head.size = len(body) if announced is None else announced
    after = member("bundle.json").tobuf()
    return head.tobuf() + body + bytes(-len(body) % 512) + after + bytes(1024)


def record(key: str, value: str) -> bytes:
    """A line of a PAX header: its own length comes first."""
    line = f" {key}={value}\n"
    length = next(n for n in range(len(line), 10_000) if n == len(str(n)) + len(line))
    return f"{length}{line}".encode()


SPARSE = b"".join(record(f"GNU.sparse.{key}", "a,b") for key in ("map", "size"))


@pytest.mark.parametrize(
    "content",
    [
        extended(tarfile.XHDTYPE, SPARSE),
        extended(tarfile.XHDTYPE, b"99999999999999999999 a=b\n"),
        extended(tarfile.XGLTYPE, b"99999999999999999999 a=b\n"),
        extended(tarfile.GNUTYPE_LONGNAME, b"", 3 << 30),
        extended(tarfile.GNUTYPE_LONGLINK, b"", 3 << 30),
        extended(tarfile.XHDTYPE, b"", 3 << 30),
        extended(tarfile.GNUTYPE_LONGNAME, b"x" * 512)[:1024] * 3000,
        gzip.compress(b"a" * 1000),
    ],
    ids=["sparse", "length", "global", "long name", "long link", "long", "chain", "gzip"],
)
def test_a_tar_that_cannot_be_read_is_told_as_damage(
    bundle: Path, other: ModelStore, content: bytes
) -> None:
    bundle.write_bytes(content)
    message = refused(bundle, other)
    assert "is damaged or incomplete, or is no plain tar" in message


def test_an_older_installation_stays_when_a_bundle_is_refused(
    bundle: Path, store: ModelStore
) -> None:
    rewrite(bundle, contents(bundle)[:-1])
    refused(bundle, store)
    assert sorted(store.read().models) == ["hearing", "speaking"]


def changed(path: str, value: Any) -> Callable[[dict[str, Any]], None]:
    def change(manifest: dict[str, Any]) -> None:
        *keys, last = path.split("/")
        place = manifest
        for key in keys:
            place = place[key]
        place[last] = value

    return change


def renamed(manifest: dict[str, Any]) -> None:
    manifest["models"]["../../evil"] = manifest["models"].pop("hearing")


def renamed_file(manifest: dict[str, Any]) -> None:
    files = manifest["models"]["hearing"]["files"]
    files["../evil"] = files.pop("model.bin")


@pytest.mark.parametrize(
    "change",
    [
        renamed,
        renamed_file,
        changed("version", 2),
        changed("models", {}),
        changed("models/hearing/kind", "../.."),
        changed("models/hearing/files", {}),
        changed("models/hearing/files/model.bin", {"sha256": "x", "size": 1, "mtime_ns": 0}),
        changed("models/hearing/files/model.bin/size", 10**400),
        changed("models/hearing/files/model.bin/size", 1 << 51),
        changed("settings", {"OPENAI_BASE_URL": "http://evil"}),
        changed("settings", {"STT_DEVICE": "a\nGATEWAY_HOST=0.0.0.0"}),
        changed("settings", {"LLM_MODE": "remote"}),
        changed("unknown", 1),
    ],
)
def test_a_manifest_that_is_not_valid_is_refused(
    bundle: Path, other: ModelStore, change: Callable[[dict[str, Any]], None]
) -> None:
    [(info, data), *rest] = contents(bundle)
    manifest = json.loads(data)
    change(manifest)
    rewrite(bundle, [(info, json.dumps(manifest).encode()), *rest])
    assert "bundle.json is not valid" in refused(bundle, other)


def test_a_manifest_that_is_too_long_is_refused(bundle: Path, other: ModelStore) -> None:
    [(info, data), *rest] = contents(bundle)
    rewrite(bundle, [(info, data + b" " * 1_000_000), *rest])
    assert "refused" in refused(bundle, other)


@pytest.mark.parametrize("first", [member("bundle.json", tarfile.SYMTYPE, "x"), member("other")])
def test_a_tar_that_is_no_bundle_is_refused(
    bundle: Path, other: ModelStore, first: tarfile.TarInfo
) -> None:
    rewrite(bundle, [(first, b"")])
    assert "is not a bundle" in refused(bundle, other)


def test_a_bundle_that_is_not_there_is_told(other: ModelStore, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="No such file"):
        install(other, tmp_path / "missing.tar", print)


def test_a_second_model_that_cannot_be_placed_takes_the_first_back(
    bundle: Path, store: ModelStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All models of a bundle or none, also when the disk fails between two of them."""
    old = hashlib.sha256((store.root / "stt/hearing/model.bin").read_bytes()).hexdigest()
    rename = Path.rename

    def failing(self: Path, target: Path) -> Path:
        if Path(target) == store.root / "tts/speaking" and self.name == "files":
            raise OSError(28, "No space left on device")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", failing)
    with pytest.raises(ModelError, match="full"):
        install(store, bundle, print)
    monkeypatch.undo()
    assert_as_before(store, old)


@pytest.mark.parametrize("calls", [1, 2, 3, 4])
def test_an_interrupt_while_models_are_placed_takes_them_back(
    bundle: Path, store: ModelStore, monkeypatch: pytest.MonkeyPatch, calls: int
) -> None:
    """After each of the renames: two models, and each replaces one."""
    old = (store.root / "stt/hearing").stat().st_ino
    rename, done = Path.rename, 0

    def interrupted(self: Path, target: Path) -> Path:
        nonlocal done
        moved = rename(self, target)
        done += 1
        if done == calls:
            raise KeyboardInterrupt
        return moved

    monkeypatch.setattr(Path, "rename", interrupted)
    with pytest.raises(KeyboardInterrupt):
        install(store, bundle, print)
    monkeypatch.undo()
    assert (store.root / "stt/hearing").stat().st_ino == old
    assert_as_before(store, hashlib.sha256(FILES["speech/small/model.bin"]).hexdigest())


def test_models_that_cannot_be_recorded_are_taken_back(
    bundle: Path, store: ModelStore, other: ModelStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def write(self: ModelStore, lock: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    old = (store.root / "stt/hearing").stat().st_ino
    monkeypatch.setattr(ModelStore, "write", write)
    with pytest.raises(ModelError, match="is full; free some.*run the same command again$"):
        install(store, bundle, print)
    assert (store.root / "stt/hearing").stat().st_ino == old
    with pytest.raises(ModelError):
        install(other, bundle, print)
    assert not list(other.root.glob("*/*/*"))


def assert_as_before(store: ModelStore, old: str) -> None:
    placed = (store.root / "stt/hearing/model.bin").read_bytes()
    assert hashlib.sha256(placed).hexdigest() == old
    assert not [
        p for name, m in store.read().models.items() for p in model_problems(store, name, m)
    ]
    assert (store.root / "tts/speaking/irina.onnx").exists()
    assert not (store.root / ".incoming").exists()


def test_files_that_somebody_put_beside_a_model_are_not_deleted(
    bundle: Path, store: ModelStore
) -> None:
    mine = store.root / "stt/hearing/mine.txt"
    mine.touch()
    with pytest.raises(ModelError, match=r"holds mine\.txt, .* move it elsewhere first"):
        install(store, bundle, print)
    assert mine.exists()


def test_files_that_somebody_named_like_those_of_the_model_are_not_deleted(
    bundle: Path, other: ModelStore
) -> None:
    mine = other.root / "stt/hearing/model.bin"
    mine.parent.mkdir(parents=True)
    mine.write_bytes(b"mine")
    with pytest.raises(ModelError, match=r"holds model\.bin, .* move it elsewhere first"):
        install(other, bundle, print)
    assert mine.read_bytes() == b"mine"


def test_a_model_without_a_record_is_installed_again(bundle: Path, store: ModelStore) -> None:
    store.lock_path.unlink()
    install(store, bundle, print)
    assert sorted(store.read().models) == ["hearing", "speaking"]


def test_a_bundle_is_written_where_a_link_leads(bundle: Path, store: ModelStore) -> None:
    stick = bundle.parent / "stick"
    stick.mkdir()
    link = bundle.parent / "link.tar"
    link.symlink_to(stick / "real.tar")
    pack(store, [], link, print)
    assert link.is_symlink()
    assert (stick / "real.tar").read_bytes() == bundle.read_bytes()


def test_a_pipe_or_a_device_is_not_replaced_by_a_bundle(store: ModelStore, bundle: Path) -> None:
    pipe = bundle.parent / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(ModelError, match="is a device or a pipe .* name a file"):
        pack(store, [], pipe, print)
    assert pipe.is_fifo()


def test_a_model_that_changes_while_it_is_packed_is_told_at_once(
    store: ModelStore, bundle: Path
) -> None:
    model = store.root / "stt/hearing/model.bin"

    def change(_line: str) -> None:
        model.write_bytes(bytes(model.stat().st_size))

    target = bundle.parent / "another.tar"
    with pytest.raises(ModelError, match="was changed while it was packed"):
        pack(store, [], target, change)
    assert not target.exists() and not list(bundle.parent.glob(".another.tar*"))


def test_a_bundle_is_on_the_disk_before_it_gets_its_name(
    store: ModelStore, bundle: Path, synced: list[int]
) -> None:
    pack(store, [], bundle, print)
    assert bundle.stat().st_size in synced


def test_a_bundle_whose_disk_fails_is_not_taken_for_the_disk_of_the_models(
    other: ModelStore,
) -> None:
    broken = Path("/proc/self/mem")  # opens, and cannot be read from its beginning
    if not broken.exists():
        pytest.skip("needs the file system of Linux's processes")
    with pytest.raises(ModelError, match=f"the bundle {broken} cannot be read .*copy it again"):
        install(other, broken, print)
