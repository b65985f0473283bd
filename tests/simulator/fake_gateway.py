"""A gateway that answers as told, over a real socket."""

from __future__ import annotations

import base64
import json

from websockets.asyncio.server import ServerConnection

from gateway.audio.pcm import decode_s16le, encode_s16le
from tests.simulator.voices import tone


def audio_out(call_id: str = "c1") -> str:
    chunk = base64.b64encode(encode_s16le(tone(0.1))).decode()
    return json.dumps({"type": "audio_out", "callId": call_id, "chunk": chunk})


def transcript(role: str, text: str, call_id: str = "c1") -> str:
    """A transcript message."""
    return json.dumps({"type": "transcript", "callId": call_id, "role": role, "text": text})


class FakeGateway:
    """Answers the first words of each call as told."""

    def __init__(self, replies: list[str], close_code: int | None = None) -> None:
        self.inits: list[dict[str, str]] = []
        self._replies = replies
        self._close_code = close_code

    async def handle(self, socket: ServerConnection) -> None:
        """Serve one connection."""
        spoken = answered = False
        async for text in socket:
            message = json.loads(text)
            if message["type"] == "init":
                self.inits.append(message)
                continue
            loud = bool(decode_s16le(base64.b64decode(message["chunk"])).any())
            if spoken and not loud and not answered:
                answered = True
                for reply in self._replies:
                    await socket.send(reply)
                if self._close_code:
                    await socket.close(self._close_code, "because")
            spoken = spoken or loud
