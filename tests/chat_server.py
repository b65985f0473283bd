"""A real OpenAI-compatible chat server on the loopback: llama-cpp-python's own, starter model."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

MODEL = Path(__file__).parent.parent / "models" / "starter" / "llm" / "model.gguf"
KEY = "sk-loopback-test"


@contextmanager
def chat_server() -> Iterator[str]:
    """Serve until the block ends; gives the base URL. Wants KEY."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    options = {"model": MODEL, "host": "127.0.0.1", "port": port, "n_ctx": 2048, "n_threads": 1}
    options |= {"api_key": KEY, "verbose": False}
    command = [sys.executable, "-m", "llama_cpp.server"]
    for name, value in options.items():
        command += [f"--{name}", str(value)]
    server = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, errors="replace"
    )
    try:
        assert server.stderr is not None
        lines: list[str] = []
        for line in server.stderr:
            lines.append(line)
            if "Uvicorn running on" in line:
                break
        else:
            raise RuntimeError("the chat server did not start:\n" + "".join(lines[-20:]))
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        server.kill()
        server.communicate()
