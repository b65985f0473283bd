"""ChatModel over any service that speaks the OpenAI chat protocol. What is said leaves the box."""

from __future__ import annotations

import asyncio
import codecs
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

# The library's HTTP client, which it names in its own interface.
from httpx2 import (
    InvalidURL,
    Limits,
    ReadError,
    RemoteProtocolError,
    RequestError,
    WriteError,
)
from openai import (
    APIConnectionError,
    APIStatusError,
    AsyncOpenAI,
    AsyncStream,
    DefaultAsyncHttpxClient,
    OpenAIError,
)
from openai.types.chat import ChatCompletionChunk

from gateway.engines.alternating import alternating
from gateway.engines.base import ChatMessage, ChatRequest
from gateway.engines.openai_errors import (
    TOKEN_LIMITS,
    is_about_request,
    is_about_roles,
    is_too_long,
    reason,
    refused_option,
    words,
)
from gateway.errors import ChatError, ConfigError

logger = logging.getLogger(__name__)

_CONNECTIONS = Limits(max_connections=1000, max_keepalive_connections=100, keepalive_expiry=60.0)
"""A connection is kept from turn to turn: a new one costs the caller several round trips."""

_CUT_OFF = (ReadError, RemoteProtocolError, WriteError)

_GO_ON = ChatMessage("user", "(Go on where you broke off, without repeating it.)")

_STRICTEST = 2

_SILENT = {
    "length": "spent LLM_MAX_TOKENS before its first word; raise it, or choose an OPENAI_MODEL that"
    " does not think first",
    "content_filter": "kept the reply back by its content filter",
}
"""What a reply without words ended for, where that is an answer to nobody."""


@dataclass(frozen=True, slots=True)
class OpenAISettings:
    """Where the service is.

    Attributes:
        base_url: up to and including the version: ``https://api.openai.com/v1``.
        api_key: never logged.
        model: name of the model there.
        timeout_s: longest wait for the first piece of a reply, and for each one after it. Signs of
            life and thoughts are no pieces: nobody hears them.
    """

    base_url: str
    api_key: str = field(repr=False)
    model: str
    timeout_s: float = 10.0

    @property
    def host(self) -> str:
        """Host name of the service, for logs: no key, no password."""
        return urlsplit(self.base_url).hostname or self.base_url


class _Chunks(AsyncStream[ChatCompletionChunk]):
    """Passes over events without data, which gateways send (``retry: 3000``, ``event: ping``): the
    library takes them for JSON.
    """

    async def _iter_events(self) -> AsyncIterator[Any]:
        async for event in super()._iter_events():
            if event.data:
                yield event


@dataclass(slots=True)
class _Sent:
    """What of one call has left the box, and how many of its oldest turns the service has no room
    for.
    """

    requests: int = 0
    characters: int = 0
    dropped: int = 0


class OpenAIChat:
    """A remote chat model. Requests are not repeated, as a caller cannot wait that long, but for
    one whose connection breaks before any answer: the far end may just then close a kept one.

    Raises:
        ConfigError: the base URL is none, or the environment names a proxy or certificates that
            cannot be used.
    """

    def __init__(self, settings: OpenAISettings) -> None:
        self._settings = settings
        if not _is_address(settings.base_url):
            # Not quoted: it may hold a password.
            raise ConfigError(
                "OPENAI_BASE_URL: expected a URL like https://api.openai.com/v1, without '?' or '#'"
                " (in a password they are written as %3F and %23; of Azure OpenAI it is"
                " https://NAME.openai.azure.com/openai/v1)"
            )
        try:
            http_client = DefaultAsyncHttpxClient(limits=_CONNECTIONS)
        except (ImportError, InvalidURL, OSError, ValueError) as error:
            # That of an address may show parts of a password.
            problem = "an address is none" if isinstance(error, InvalidURL) else error
            raise ConfigError(
                f"the way to the chat service cannot be set up: {problem}; check the variables"
                " HTTPS_PROXY, HTTP_PROXY and ALL_PROXY (expected http://host:port), NO_PROXY and"
                " SSL_CERT_FILE"
            ) from None
        self._client = AsyncOpenAI(
            base_url=settings.base_url,
            api_key=settings.api_key,
            timeout=settings.timeout_s,
            max_retries=0,
            http_client=http_client,
        )
        self._refused: set[str] = set()
        """Options that the service or its model does not take."""
        self._strictness = 0
        """Of the service about who speaks when (see ``_in_form``)."""
        self._sent: dict[str, _Sent] = {}

    @property
    def host(self) -> str:
        """Host name of the service."""
        return self._settings.host

    async def stream(self, request: ChatRequest) -> AsyncGenerator[str, None]:
        """Generate a reply (see ``ChatModel.stream``); closing it closes the connection.

        Raises:
            ChatError: the service cannot be reached, refused, or broke off.
        """
        deadline = self._deadline()
        with self._failures():
            async with asyncio.timeout_at(deadline):
                chunks = await self._open(request)
        answered = spoke = False
        end = ""
        # JSON can cut a character in two, and what is half of one cannot be sent to anybody.
        whole = codecs.getincrementaldecoder("utf-16-le")("replace")
        async with chunks:
            while True:
                with self._failures():
                    try:
                        async with asyncio.timeout_at(deadline):
                            chunk = await anext(chunks)
                    except StopAsyncIteration:
                        break
                    text = whole.decode(_text_of(chunk).encode("utf-16-le", "surrogatepass"))
                    if chunk.choices:
                        answered = True
                        end = str(chunk.choices[0].finish_reason)
                if text:
                    spoke = True
                    yield text
                    deadline = self._deadline()
        if not answered:
            # A log-in page, for one, has status 200 too.
            raise ChatError(
                f"chat service {self._settings.host} sent no reply; check OPENAI_BASE_URL"
            )

        if not spoke and end in _SILENT:
            raise ChatError(f"chat service {self._settings.host} {_SILENT[end]}")

    def promote(self, call_id: str) -> None:
        """A remote service knows no priorities."""

    def forget(self, call_id: str) -> None:
        """Say once what of the call has left the box."""
        sent = self._sent.pop(call_id, None)
        if sent is not None:
            logger.info(
                "call over: %d chat requests with %d characters were sent to %s",
                sent.requests,
                sent.characters,
                self._settings.host,
            )

    async def close(self) -> None:
        """Close all connections."""
        await self._client.close()

    def sent(self, call_id: str) -> tuple[int, int]:
        """Requests and characters of a running call that have left the box."""
        sent = self._sent.get(call_id, _Sent())
        return sent.requests, sent.characters

    def _deadline(self) -> float:
        return asyncio.get_running_loop().time() + self._settings.timeout_s

    @contextmanager
    def _failures(self) -> Iterator[None]:
        """Turn what can go wrong with the service into ChatError.

        The service's own words may repeat the conversation or the key: they are for DEBUG only.
        """
        try:
            yield
        except OpenAIError as error:
            said = words(error).replace(self._settings.api_key, "***")
            logger.debug("chat service %s: %s", self._settings.host, said)
            raise ChatError(f"chat service {self._settings.host} {reason(error)}") from error
        except RequestError as error:  # the library reads the body of a refusal unguarded
            raise ChatError(f"chat service {self._settings.host} broke off its refusal") from error
        except TimeoutError as error:
            raise ChatError(f"chat service {self._settings.host} gave no answer in time") from error
        except (ValueError, TypeError, AttributeError, LookupError, RecursionError) as error:
            # The library looks at nothing that it passes on, and not every service keeps to form.
            raise ChatError(
                f"chat service {self._settings.host} sent what is no chat reply"
                f" ({type(error).__name__})"
            ) from error

    async def _open(self, request: ChatRequest) -> Any:
        """Ask; services differ in what they take, so learn it once. Of a long call the oldest turns
        are left out where the service has no room for all, as the local model does.
        """
        sent = self._sent.setdefault(request.call_id, _Sent())
        system, *turns = request.messages
        repeated = False
        while True:
            options, kept = self._options(request), turns[sent.dropped :]
            strictness = self._strictness
            messages = _in_form([system, *kept], strictness)
            try:
                return await self._create(messages, options, sent)
            except APIConnectionError as error:
                if repeated or not isinstance(error.__cause__, _CUT_OFF):
                    raise
                repeated = True
            except APIStatusError as error:
                if not is_about_request(error):
                    raise
                too_long = is_too_long(error)  # vLLM names the limit of the reply then too
                refused = None if too_long else refused_option(options, error)
                if refused is not None:
                    logger.info("chat service %s: no %s", self._settings.host, refused)
                    self._refused.add(refused)
                elif too_long and len(kept) > 1:
                    sent.dropped += len(kept) // 2
                elif is_about_roles(error) and strictness < _STRICTEST:
                    self._strictness = max(self._strictness, strictness + 1)
                else:
                    raise

    def _options(self, request: ChatRequest) -> dict[str, Any]:
        usual, other = TOKEN_LIMITS
        options: dict[str, Any] = {
            other if usual in self._refused else usual: request.max_tokens,
            "temperature": request.temperature,
        }
        if request.temperature > 0:  # else it means nothing, and Mistral refuses it
            options["top_p"] = request.top_p
        if request.stop:
            options["stop"] = list(request.stop)
        return {name: value for name, value in options.items() if name not in self._refused}

    async def _create(
        self, messages: Sequence[ChatMessage], options: dict[str, Any], sent: _Sent
    ) -> Any:
        sent.requests += 1
        sent.characters += sum(len(message.content) for message in messages)
        plain: Any = [{"role": m.role, "content": m.content} for m in messages]
        return await self._client.post(
            "/chat/completions",
            cast_to=ChatCompletionChunk,
            body={"model": self._settings.model, "messages": plain, "stream": True, **options},
            stream=True,
            stream_cls=_Chunks,
        )


def _in_form(messages: Sequence[ChatMessage], strictness: int) -> Sequence[ChatMessage]:
    """The conversation as a service takes it: as it is; from 1 on in turns, the last of them the
    user's; at ``_STRICTEST`` without a system message too.
    """
    if strictness == 0:
        return messages
    end = [_GO_ON] if messages[-1].role == "assistant" else []
    return alternating([*messages, *end], has_system=strictness < _STRICTEST)


def _is_address(url: str) -> bool:
    """Whether it names a host over HTTP, and nothing behind the path, where the library would put
    the rest of the path; its own errors show parts of a password.
    """
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        return False
    host = parts.hostname or ""
    plain = bool(host) and " " not in host and not parts.query and not parts.fragment
    return plain and parts.scheme in ("http", "https")


def _text_of(chunk: Any) -> str:
    """What a chunk adds to the reply; notes of a content filter have a choice without delta."""
    delta = chunk.choices[0].delta if chunk.choices else None
    text = delta.content if delta is not None else None
    if not isinstance(text, str | None):
        raise TypeError(f"expected text, got {type(text).__name__}")
    return text or ""
