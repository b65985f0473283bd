"""What the errors of a chat service say: which part of a request it does not take, what to do."""

from __future__ import annotations

import re
from collections.abc import Iterable

from httpx2 import ConnectError, ProxyError
from openai import APIConnectionError, APIError, APIStatusError, APITimeoutError, OpenAIError

TOKEN_LIMITS = ("max_tokens", "max_completion_tokens")
"""What the longest reply is called: at most services, and at those that refuse that."""

_REQUEST_IS_WRONG = frozenset({400, 413, 422, 500})
"""What services say of options and conversations that they do not take; 500 is llama.cpp's."""

_TOO_LONG = re.compile(r"context[ _](length|size|window)", re.IGNORECASE)
"""Of the refusals of a conversation that the model has no room for; others cost no turns."""

_ROLES = re.compile(r"\brole|alternat|prefill", re.IGNORECASE)
"""Of the refusals of a conversation for who speaks when: at first, twice in a row, or last."""

_CODE = re.compile(r"[A-Za-z_]{1,40}|\d{3}")
"""Of a refusal for machines: too short for words of the conversation or a key."""

_ADVICE = {
    400: "; LOG_LEVEL=DEBUG shows what it said",
    401: "; check OPENAI_API_KEY",
    402: "; the account's credit is used up",
    403: "; check what OPENAI_API_KEY may do",
    404: "; check OPENAI_BASE_URL and OPENAI_MODEL",
    405: "; check OPENAI_BASE_URL",
    429: "; its rate limit or the account's quota is used up",
}


def words(error: OpenAIError) -> str:
    """All that the service said; the text of the error has only what lies where OpenAI puts it."""
    return str(getattr(error, "body", None) or error)


def is_about_request(error: APIStatusError) -> bool:
    """Whether a service refused something of the request; the page of a server that is down, with
    words like ``role="main"``, says nothing about it.
    """
    return error.status_code in _REQUEST_IS_WRONG and not words(error).startswith("<")


def refused_option(options: Iterable[str], error: APIStatusError) -> str | None:
    """The option that a service names as the reason of a refusal; of several, the one that it is
    easiest to do without: Claude takes temperature or top_p, but not both.
    """
    usual, other = TOKEN_LIMITS
    text = words(error)
    for name in sorted(options, key="top_p".__ne__):
        named = re.search(rf"[`'\"]{name}\b" if name == "stop" else rf"\b{name}\b", text)
        if (other in text) if name == usual else (named or name == error.param):
            return name
    return None


def is_too_long(error: APIStatusError) -> bool:
    """Whether a service refused a conversation for its length: there is no common code for it."""
    return _TOO_LONG.search(words(error)) is not None


def is_about_roles(error: APIStatusError) -> bool:
    """Whether a service refused a conversation for who speaks when."""
    return _ROLES.search(words(error)) is not None


def reason(error: OpenAIError) -> str:
    """What went wrong, behind the name of the service, and the next step. No words of the service,
    which may repeat the conversation or the key.
    """
    match error:
        case APIStatusError(status_code=status):
            advice = _ADVICE.get(status, _ADVICE[400] if status < 500 else "")
            return f"answered with status {status}{_code(error)}{advice}"
        case APITimeoutError():
            return "gave no answer in time"
        case APIConnectionError(__cause__=ProxyError() as cause):
            return f"cannot be reached (the proxy said {cause})"
        case APIConnectionError(__cause__=ConnectError() as cause):
            untrusted = "issuer" in str(cause) or "self-signed" in str(cause)
            advice = "; name its authority's certificate in SSL_CERT_FILE" if untrusted else ""
            return f"cannot be reached ({cause}){advice}"
        case APIConnectionError():
            return "broke the connection off"
        case APIError():
            return f"broke off with an error{_code(error)}{_ADVICE[400]}"
        case _:
            return "broke off with an error"


def _code(error: APIError) -> str:
    """The service's own code in brackets, or nothing."""
    code = str(error.code)
    return f" ({code})" if error.code is not None and _CODE.fullmatch(code) else ""
