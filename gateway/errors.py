"""The errors that several packages share; a few derive their own beside the code that raises them.

GatewayError
├── ConfigError            a setting, profile or model file is wrong; the text says what to do
│   └── ModelError         a model file is missing, damaged, of the wrong format or kind
├── ProtocolError          a client broke the wire protocol; has a code for the wire
├── CapacityError          a new call cannot be admitted now
└── EngineError            a model failed while serving a call
    ├── TranscriptionError
    ├── ChatError
    │   └── ChatBusyError  the chat model is well but has no room for a reply
    └── SynthesisError
"""

from __future__ import annotations


class GatewayError(Exception):
    """Base of all errors the gateway raises on purpose."""


class ConfigError(GatewayError):
    """Configuration that cannot work; the message says what was expected and what to do."""


class ModelError(ConfigError):
    """A model file that is missing, damaged, or not of the format its engine reads."""


class ProtocolError(GatewayError):
    """A message that breaks the wire protocol.

    Attributes:
        code: stable machine-readable code of docs/protocols.md §1.6 (for example ``bad_json``).
        call_id: the call it concerns, or None when that cannot be known.
    """

    def __init__(self, code: str, message: str, call_id: str | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.call_id = call_id


class CapacityError(GatewayError):
    """The gateway is full or draining: the call is refused before it starts."""


class EngineError(GatewayError):
    """A model failed while serving one request; the call goes on."""


class TranscriptionError(EngineError):
    """Speech recognition failed."""


class ChatError(EngineError):
    """The chat model failed."""


class ChatBusyError(ChatError):
    """The chat model is well but has no room for this reply."""


class SynthesisError(EngineError):
    """Speech synthesis failed."""
