"""The Hugging Face hub, or a mirror of it: what a repository holds, and fetching one file.

Everything goes through huggingface_hub, which reads HF_ENDPOINT, HF_TOKEN, HF_HUB_OFFLINE and the
proxy variables. Its ``hf_hub_download`` throws a partial file away when the process ends; ours are
kept, so only its parts below that are used: metadata, and a transfer that goes on at an offset.
"""

from __future__ import annotations

import io
import os
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from huggingface_hub import constants, get_hf_file_metadata, get_session, hf_hub_url
from huggingface_hub.errors import (
    EntryNotFoundError,
    GatedRepoError,
    HfHubHTTPError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.file_download import http_get
from huggingface_hub.utils import build_hf_headers  # type: ignore[attr-defined]

from gateway.errors import ModelError
from gateway.models.catalogue import CatalogueModel
from gateway.models.checksums import Checksum, checksum_of_etag

# The HTTP library under huggingface_hub changes between its versions; this is its base error.
_HttpError: type[BaseException] = HfHubHTTPError.__bases__[0]
_http = import_module(_HttpError.__module__.partition(".")[0])
# Of what breaks a transfer, http_get goes on by itself after all but these; it calls itself for
# that, so not without an end.
_BROKEN: tuple[type[BaseException], ...] = (
    _http.ReadError,
    _http.WriteError,
    RecursionError,
    HfHubHTTPError,
)
_BREAKS = 5
# What a server or a proxy answers that may have time for us a little later. After 429 the library
# waits by itself.
_BUSY = (500, 502, 503, 504)

_TOKEN = "check HF_TOKEN, or unset it"
_ADVICE = {
    401: _TOKEN,
    403: _TOKEN,
    407: "a proxy wants another name and password than HTTPS_PROXY or HTTP_PROXY gives",
}

CHUNK = 64 * 1024
"""Bytes that are written at a time; a cut loses less than this."""

_GO_ON = "what was downloaded is kept: run the same command again to go on"


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """A file on the hub.

    Attributes:
        name: what it is called where it is placed.
        size: bytes.
    """

    name: str
    url: str
    size: int
    checksum: Checksum


@dataclass(frozen=True, slots=True)
class RemoteModel:
    """A model on the hub, all files from one commit.

    Attributes:
        commit: None when the server did not say.
    """

    name: str
    entry: CatalogueModel
    commit: str | None
    files: tuple[RemoteFile, ...]


class _Part(io.BufferedRandom):
    """What is there of a file. http_get writes all that comes, and starts over whenever a server
    ignores the offset, without an end; this is the end of both.
    """

    def __init__(self, path: Path, file: RemoteFile, endpoint: str) -> None:
        super().__init__(io.FileIO(path, "r+"))
        self._file, self._endpoint, self._restarts = file, endpoint, 0

    def write(self, data: Any, /) -> int:
        """Write on.

        Raises:
            ModelError: more comes than was announced.
        """
        if self.tell() + len(data) > self._file.size:
            raise ModelError(
                f"more than the {self._file.size} bytes that were announced came for "
                f"{self._file.name}; something between here and {self._endpoint} (proxy, mirror) "
                "changes or replaces it"
            )
        return super().write(data)

    def truncate(self, size: int | None = None, /) -> int:
        """Start over.

        Raises:
            ModelError: that was done often.
        """
        self._restarts += 1
        if self._restarts > _BREAKS:
            raise ModelError(
                f"the connection to {self._endpoint} breaks before all of {self._file.name} came, "
                "and the server gives no rest of a file, only all of it; try another network or "
                "mirror (HF_ENDPOINT), or install a bundle: --from-bundle FILE.tar"
            )
        return super().truncate(size)


class Hub:
    """Asks one hub.

    Args:
        endpoint: its address; HF_ENDPOINT or the public hub when None.
    """

    def __init__(self, endpoint: str | None = None) -> None:
        self.endpoint = endpoint or constants.ENDPOINT

    def look_up(self, name: str, entry: CatalogueModel) -> RemoteModel:
        """Size and checksum of every file of a model.

        Raises:
            ModelError: the hub cannot be reached, or has no such model; says what to do.
        """
        _require_client()
        revision, files = entry.revision, []
        commit: str | None = None
        for file_name, path in zip(entry.files, entry.paths, strict=True):
            url = hf_hub_url(entry.repo, path, revision=revision, endpoint=self.endpoint)
            with hub_errors(self.endpoint, f"{entry.repo}/{path}"):
                found = get_hf_file_metadata(url, endpoint=self.endpoint)
            checksum = checksum_of_etag(found.etag)
            if checksum is None or found.size is None:
                raise ModelError(
                    f"{self.endpoint} gives no checksum or size for {entry.repo}/{path}; "
                    "HF_ENDPOINT must name the Hugging Face hub or a full mirror of it"
                )
            # The rest from the same commit, should the branch move meanwhile.
            commit = commit or found.commit_hash
            revision = commit or revision
            files.append(RemoteFile(file_name, url, found.size, checksum))
        return RemoteModel(name, entry, commit, tuple(files))

    def fetch(self, file: RemoteFile, part: Path) -> None:
        """Append to ``part`` what it lacks of a file, with a progress bar; checks no content.

        What was received stays in ``part`` whatever happens.

        Raises:
            ModelError: the transfer failed.
            OSError: the disk failed.
        """
        part.touch()
        # The address on this hub, not the storage it forwards to: that one expires.
        # Identity, so that offsets count bytes of the file.
        headers = {**build_hf_headers(), "Accept-Encoding": "identity"}
        # The library's own are 10 MB, and it drops the one that a cut falls into.
        constants.DOWNLOAD_CHUNK_SIZE = CHUNK
        with (
            hub_errors(self.endpoint, file.name),
            _Part(part, file, self.endpoint) as target,
        ):
            if target.seek(0, os.SEEK_END) > file.size:
                target.seek(0)
                target.truncate()
            breaks = 0
            while True:
                offset = target.tell()
                try:
                    http_get(
                        file.url,
                        target,
                        resume_size=offset,
                        headers=headers,
                        expected_size=file.size,
                        displayed_filename=file.name,
                    )
                    break
                except _BROKEN as error:
                    if (
                        isinstance(error, HfHubHTTPError)
                        and error.response.status_code not in _BUSY
                    ):
                        raise
                    breaks = 1 if target.tell() > offset else breaks + 1
                    if breaks > _BREAKS:
                        raise
                    time.sleep(breaks)
            # Before it gets its final name, which stands for a whole file.
            target.flush()
            os.fsync(target.fileno())


@contextmanager
def hub_errors(endpoint: str, what: str) -> Iterator[None]:
    """Say of each failure of a transfer what to do about it.

    Raises:
        ModelError: for every error of the hub or the network.
        OSError: the disk failed.
    """
    try:
        yield
    except OfflineModeIsEnabled as error:
        raise ModelError(
            "HF_HUB_OFFLINE is set, so nothing is downloaded; unset it, or install a bundle: "
            "voice-gateway models download --from-bundle FILE.tar"
        ) from error
    except GatedRepoError as error:
        raise ModelError(
            f"{what} is given only to those who accepted its terms: accept them on its page at "
            f"{endpoint} and set HF_TOKEN"
        ) from error
    except (RepositoryNotFoundError, RevisionNotFoundError, EntryNotFoundError) as error:
        raise _not_found(endpoint, what) from error
    except HfHubHTTPError as error:
        status = error.response.status_code
        if status == 404:
            raise _not_found(endpoint, what) from error
        advice = _ADVICE.get(status, "try again later")
        raise ModelError(f"{endpoint} answered {status} for {what}; {advice}; {_GO_ON}") from error
    except _HttpError as error:
        raise ModelError(
            f"the connection to {endpoint} failed for {what} ({error or type(error).__name__}); "
            f"check the network, HTTPS_PROXY and HF_ENDPOINT; {_GO_ON}. Without a network, install "
            "a bundle: --from-bundle FILE.tar"
        ) from error
    except (ValueError, _http.InvalidURL) as error:
        raise ModelError(
            f"{endpoint} cannot be asked for {what} ({error}); check HF_ENDPOINT and HF_TOKEN"
        ) from error
    except OSError as error:
        if error.errno is not None:
            raise
        # http_get's own: fewer bytes came than were announced.
        raise ModelError(f"the transfer of {what} ended early; {_GO_ON}") from error


def _require_client() -> None:
    """Have the library make its HTTP client, which it does once, out of the environment.

    Raises:
        ModelError: a proxy or a file of certificates cannot be used.
    """
    proxies = urllib.request.getproxies()
    # Those that the library reads; among the others is NO_PROXY, which is no address.
    if not all(_is_address(proxies.get(scheme, "")) for scheme in ("http", "https", "all")):
        raise _network_settings("a proxy has an address that is not valid")
    try:
        get_session()
    except (ImportError, OSError, ValueError, _http.InvalidURL) as error:
        raise _network_settings(str(error)) from error


def _is_address(proxy: str) -> bool:
    """Whether a proxy's address can be read: the library's error would show part of a password."""
    try:
        _ = urlsplit(proxy if "://" in proxy else f"http://{proxy}").port
    except ValueError:
        return False
    return proxy.isprintable()


def _network_settings(problem: str) -> ModelError:
    return ModelError(
        f"the network settings of the environment cannot be used ({problem}); check HTTPS_PROXY, "
        "HTTP_PROXY and ALL_PROXY (http://…, not socks; in a password special characters are "
        "written as %23 and the like), and SSL_CERT_FILE"
    )


def _not_found(endpoint: str, what: str) -> ModelError:
    return ModelError(
        f"{what} was not found at {endpoint}, or is private: it may have been renamed (another "
        "repository can be named in MODELS_DIR/catalogue.toml), or HF_ENDPOINT is no full mirror"
    )
