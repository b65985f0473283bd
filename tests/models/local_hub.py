"""A hub on the loopback interface that speaks as much of the hub's protocol as downloads use.

As on the real hub, large files are forwarded to a second server, in an answer that carries their
checksum and size, and small ones to a cache of the hub itself, which gives theirs. Faults can be
asked for: cuts, other bytes, refusals, ignored offsets.
"""

from __future__ import annotations

import hashlib
import re
import socket
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

COMMIT = "0123456789abcdef0123456789abcdef01234567"
LARGE = (".bin", ".gguf", ".onnx")


@dataclass(frozen=True)
class Request:
    """One request as a server saw it."""

    server: str
    method: str
    path: str
    offset: str | None
    authorization: str | None


@dataclass
class LocalHub:
    """What the servers hold and what they are to do.

    Attributes:
        files: content by ``repo/path``.
        cuts: by name of a file, after how many bytes the connection breaks, once for each entry.
        resets: a connection that breaks is reset, as by a router that forgot it.
        served: other bytes than announced, by ``repo/path``.
        refusals: HTTP status by ``repo/path``.
        busy: HTTP statuses by ``repo/path``, each for one transfer of its content.
        transfers: ``repo/path`` and offset of each request for content.
    """

    files: dict[str, bytes] = field(default_factory=dict)
    cuts: dict[str, list[int]] = field(default_factory=dict)
    served: dict[str, bytes] = field(default_factory=dict)
    refusals: dict[str, int] = field(default_factory=dict)
    busy: dict[str, list[int]] = field(default_factory=dict)
    resets: bool = False
    ignores_ranges: bool = False
    gives_checksums: bool = True
    gated: bool = False
    requests: list[Request] = field(default_factory=list)
    transfers: list[tuple[str, str | None]] = field(default_factory=list)
    url: str = ""
    storage_url: str = ""

    def forget(self) -> None:
        """Forget the requests until now."""
        self.requests.clear()
        self.transfers.clear()

    def offsets(self, name: str) -> list[str | None]:
        """The offsets that were asked for of a file, one for each transfer of its content."""
        return [offset for key, offset in self.transfers if key.endswith(f"/{name}")]


@contextmanager
def run_local_hub() -> Iterator[LocalHub]:
    """Serve until the block ends."""
    hub = LocalHub()
    servers = [
        ThreadingHTTPServer(("127.0.0.1", 0), _handler(hub, name)) for name in ("hub", "storage")
    ]
    hub.url, hub.storage_url = (f"http://127.0.0.1:{server.server_port}" for server in servers)
    threads = [Thread(target=server.serve_forever, args=(0.01,)) for server in servers]
    for thread in threads:
        thread.start()
    try:
        yield hub
    finally:
        for server in servers:
            server.shutdown()
            server.server_close()
        for thread in threads:
            thread.join()


def _handler(hub: LocalHub, server_name: str) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        timeout = 20

        def do_HEAD(self) -> None:
            self.answer()

        def do_GET(self) -> None:
            self.answer()

        def answer(self) -> None:
            hub.requests.append(
                Request(
                    server_name,
                    self.command,
                    self.path,
                    self.headers["Range"],
                    self.headers["Authorization"],
                )
            )
            match = re.fullmatch(r"(/cache)?/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", self.path)
            if match is None:
                self.refuse(404, "")
                return
            cached, repo, revision, path = match.groups()
            key = f"{repo}/{path}"
            if key in hub.refusals:
                self.refuse(hub.refusals[key], "")
            elif hub.gated:
                self.refuse(403, "GatedRepo")
            elif not any(name.startswith(f"{repo}/") for name in hub.files):
                self.refuse(404, "RepoNotFound")
            elif revision not in ("main", COMMIT):
                self.refuse(404, "RevisionNotFound")
            elif key not in hub.files:
                self.refuse(404, "EntryNotFound")
            elif server_name == "hub" and path.endswith(LARGE):
                self.forward(hub.files[key])
            elif server_name == "hub" and not cached:
                self.send_response(307)
                self.send_header("Location", f"/cache/{repo}/resolve/{COMMIT}/{path}")
                self.send_header("Content-Length", "0")
                self.end_headers()
            else:
                self.send_file(key)

        def refuse(self, status: int, code: str) -> None:
            self.send_response(status)
            if code:
                self.send_header("X-Error-Code", code)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def forward(self, content: bytes) -> None:
            self.send_response(302)
            self.send_header("Location", hub.storage_url + self.path)
            self.send_header("X-Repo-Commit", COMMIT)
            if hub.gives_checksums:
                self.send_header("X-Linked-Etag", f'"{hashlib.sha256(content).hexdigest()}"')
            self.send_header("X-Linked-Size", str(len(content)))
            self.send_header("Content-Length", "0")
            self.end_headers()

        def send_file(self, key: str) -> None:
            if self.command == "GET" and hub.busy.get(key):
                self.refuse(hub.busy[key].pop(0), "")
                return
            announced = hub.files[key]
            content = hub.served.get(key, announced)
            start = 0
            offset = re.fullmatch(r"bytes=(\d+)-", self.headers["Range"] or "")
            if offset and not hub.ignores_ranges:
                start = int(offset[1])
                self.send_response(206)
                end = f"{len(content) - 1}/{len(content)}"
                self.send_header("Content-Range", f"bytes {start}-{end}")
            else:
                self.send_response(200)
            header = b"blob %d\0" % len(announced)
            self.send_header("ETag", f'W/"{hashlib.sha1(header + announced).hexdigest()}"')
            self.send_header("X-Repo-Commit", COMMIT)
            self.send_header("Content-Length", str(len(content) - start))
            self.end_headers()
            if self.command == "GET":
                hub.transfers.append((key, self.headers["Range"]))
                self.send_content(key, content, start)

        def send_content(self, key: str, content: bytes, start: int) -> None:
            cuts = hub.cuts.get(key.rpartition("/")[2])
            if not cuts:
                self.wfile.write(content[start:])
                return
            self.wfile.write(content[start : start + cuts.pop(0)])
            self.wfile.flush()
            if hub.resets:
                time.sleep(0.05)  # what was sent before would be lost with the connection
                at_once = struct.pack("ii", 1, 0)
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, at_once)
                self.connection.close()
            else:
                self.connection.shutdown(socket.SHUT_RDWR)

        def log_message(self, format: str, *args: object) -> None:
            pass

    return Handler
