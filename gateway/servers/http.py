"""Pages on the WebSocket port, and what is said to a request that may not upgrade."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from http import HTTPStatus

from websockets.datastructures import Headers
from websockets.http11 import Request, Response

from gateway.calls.load import LoadMonitor
from gateway.calls.registry import CallRegistry
from gateway.servers.origins import AllowedOrigins

logger = logging.getLogger(__name__)

CALL_PATHS = ("/", "/call")
"""Where a client opens the WebSocket of its calls."""

HEALTH_PATH = "/healthz"
READY_PATH = "/readyz"


class Readiness:
    """Which parts of the gateway must be up before it takes calls, and which are.

    Args:
        parts: names of what has to be ready; none means ready from the start.
    """

    def __init__(self, *parts: str) -> None:
        self._parts = dict.fromkeys(parts, False)

    def mark(self, part: str) -> None:
        """Note that a part is ready."""
        self._parts[part] = True

    @property
    def ready(self) -> bool:
        """Everything is up."""
        return all(self._parts.values())

    @property
    def parts(self) -> Mapping[str, bool]:
        """Each part and whether it is up."""
        return dict(self._parts)


class HttpPages:
    """Answers a request before the upgrade; None lets a call through."""

    def __init__(
        self,
        registry: CallRegistry,
        readiness: Readiness,
        load: LoadMonitor | None = None,
        origins: AllowedOrigins | None = None,
    ) -> None:
        self._registry = registry
        self._readiness = readiness
        self._load = load or LoadMonitor()
        self._origins = origins or AllowedOrigins()

    def answer(self, request: Request) -> Response | None:
        """The page for this path, or a refusal, or None for a call that may upgrade."""
        path = request.path.partition("?")[0]
        if path == HEALTH_PATH:
            return text_response(HTTPStatus.OK, "ok\n")
        if path == READY_PATH:
            return self._ready_page()
        if path not in CALL_PATHS:
            paths = f"WebSocket: {' '.join(CALL_PATHS)}\nHTTP: {HEALTH_PATH} {READY_PATH}\n"
            return text_response(HTTPStatus.NOT_FOUND, f"No such path here.\n{paths}")
        if (refusal := self._origins.refusal(request.headers)) is not None:
            logger.info("call refused: %s", refusal)
            return text_response(HTTPStatus.FORBIDDEN, refusal + "\n")
        if not self._readiness.ready:
            waiting = ", ".join(name for name, up in self._readiness.parts.items() if not up)
            return unavailable(f"the gateway is not ready, waiting for: {waiting}")
        return None

    def _ready_page(self) -> Response:
        ready = self._readiness.ready and not self._registry.draining
        body = {
            "ready": ready,
            "draining": self._registry.draining,
            "parts": self._readiness.parts,
            "calls": self._registry.active,
            "max_calls": self._registry.max_calls,
            "free": self._registry.free,
            "level": self._load.level.name.lower(),
            "load": self._load.delays.milliseconds(),
        }
        status = HTTPStatus.OK if ready else HTTPStatus.SERVICE_UNAVAILABLE
        return _response(status, json.dumps(body) + "\n", "application/json")


def text_response(status: HTTPStatus, text: str) -> Response:
    """A plain text answer."""
    return _response(status, text, "text/plain; charset=utf-8")


def unavailable(reason: str) -> Response:
    """503 with its reason: the client may come back."""
    response = text_response(HTTPStatus.SERVICE_UNAVAILABLE, reason + "\n")
    response.headers["Retry-After"] = "5"
    return response


def _response(status: HTTPStatus, text: str, content_type: str) -> Response:
    body = text.encode()
    headers = Headers(
        {
            "Content-Type": content_type,
            "Content-Length": str(len(body)),
            "Cache-Control": "no-store",
            "Connection": "close",
        }
    )
    return Response(status.value, status.phrase, headers, body)
