"""The example of the README, as it is written there."""

from __future__ import annotations

import asyncio
import json
import re
import sys
from pathlib import Path

import pytest
from websockets.asyncio.server import ServerConnection, serve

ROOT = Path(__file__).parent.parent
SAID = ROOT / "gateway" / "simulator" / "recordings" / "en-1-hours.wav"


@pytest.mark.parametrize("code", [1000, 1001])
def test_the_whole_client_ends_well_when_the_gateway_ends_the_call(
    tmp_path: Path, code: int
) -> None:
    async def answer(ws: ServerConnection) -> None:
        call_id = json.loads(await ws.recv())["callId"]
        await ws.recv()
        said = {"type": "transcript", "callId": call_id, "role": "assistant", "text": "Goodbye."}
        await ws.send(json.dumps(said))
        await ws.close(code)

    async def test() -> tuple[int | None, bytes, bytes]:
        async with serve(answer, "127.0.0.1", 0) as server:
            port = next(iter(server.sockets)).getsockname()[1]
            (example,) = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.S)
            client = tmp_path / "client.py"
            client.write_text(example.replace(":8765/", f":{port}/"))
            pipe = asyncio.subprocess.PIPE
            process = await asyncio.create_subprocess_exec(
                sys.executable, str(client), str(SAID), stdout=pipe, stderr=pipe
            )
            async with asyncio.timeout(60):
                out, err = await process.communicate()
            return process.returncode, out, err

    assert asyncio.run(test()) == (0, b"assistant Goodbye.\n", b"")
