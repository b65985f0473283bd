"""Which web pages may open calls. A browser lets any page open a WebSocket to any host it reaches,
this machine too, and only tells in ``Origin`` whose page it is; telephony bridges send none.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from urllib.parse import urlsplit

from websockets.datastructures import Headers

ANY = "*"
OPAQUE = "null"
"""Origin of a page without an address: a file, or a frame, which any page can make."""

_DEFAULT_PORTS = {"http": 80, "https": 443}
_ORIGIN = re.compile(
    r"([a-z][a-z0-9+.-]*)://(\[[0-9a-f:.]+\]|[^\s\[\]:/?#@\\*,]+)(?::([0-9]{0,5}))?/?",
    re.IGNORECASE,
)


class AllowedOrigins:
    """Lets in who sends no ``Origin``, the pages of the host that is called where that is an
    address, localhost or comes with TLS, and those listed.

    Args:
        listed: ``scheme://host[:port]`` of each further page, ``null``, or ``*`` for all.
    """

    def __init__(self, listed: Iterable[str] = ()) -> None:
        self._listed = frozenset(normalised(origin) for origin in listed)

    def refusal(self, headers: Headers) -> str | None:
        """Why a request with these headers may not open a call; None if it may."""
        origins, hosts = headers.get_all("Origin"), headers.get_all("Host")
        if not origins or ANY in self._listed:
            return None
        if len(origins) == 1 and self._allows(origins[0], hosts):
            return None
        return (
            "expected no 'Origin', one that GATEWAY_ALLOWED_ORIGINS lists, or a page of"
            f" {_shown(hosts) or 'the host that is called'} (with https, or at localhost or an"
            f" address), got {_shown(origins)}"
        )

    def _allows(self, origin: str, hosts: list[str]) -> bool:
        try:
            page = normalised(origin)
            if page in self._listed:
                return True
            scheme = page.partition("://")[0]
            # A proxy with TLS hides the scheme of the call: a host without a port has the one that
            # the page's scheme implies, as the browser meant it.
            own = [page] == [normalised(f"{scheme}://{host}") for host in hosts]
            return own and (scheme == "https" or (scheme == "http" and _cannot_move(page)))
        except ValueError:
            return False


def _cannot_move(page: str) -> bool:
    """Whether its host stays where it is. Any other name may have been somebody's page and resolve
    to this machine a moment later (DNS rebinding); not with TLS, for lack of a certificate.
    """
    host = urlsplit(page).hostname or ""
    if host == "localhost":
        return True
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def normalised(origin: str) -> str:
    """An origin as it is compared: in lower case, without the port that its scheme implies.

    Raises:
        ValueError: it is none.
    """
    if origin.lower() in (ANY, OPAQUE):
        return origin.lower()
    found = _ORIGIN.fullmatch(origin)
    if found is None:
        raise ValueError(f"{origin!r} is no origin")
    scheme, host = found[1].lower(), found[2].lower()
    if host.startswith("["):
        host = f"[{ipaddress.IPv6Address(host[1:-1]).compressed}]"
    elif not host.isascii():
        host = host.encode("idna").decode()  # as browsers send it
    if found[3] and int(found[3]) != _DEFAULT_PORTS.get(scheme):
        host = f"{host}:{int(found[3])}"
    return f"{scheme}://{host}"


def _shown(values: list[str]) -> str:
    """Values of a header, escaped; a browser sends one, which is short."""
    text = ", ".join(map(repr, values))
    return text if len(text) <= 200 else text[:200] + "…"
