"""A client in another language, which knows only the four messages, completes a call."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
from pathlib import Path

import pytest

from gateway.app import Gateway
from gateway.settings import Settings, load_settings
from gateway.simulator.accuracy import count_word_errors
from gateway.simulator.conversations import Conversation, load_conversations
from gateway.simulator.report import MAX_WORD_ERROR_RATE

CLIENT_DIR = Path(__file__).parent / "node"
CLIENT_TIMEOUT_S = 90


@pytest.fixture(scope="module")
def node() -> str:
    """Path of the node program, with the client's one package installed."""
    program, npm = shutil.which("node"), shutil.which("npm")
    if program is None or npm is None:
        pytest.skip("Node.js with npm is not installed (Debian: apt-get install nodejs npm)")
    if not (CLIENT_DIR / "node_modules" / "ws").is_dir():
        install = [npm, "install", "--no-audit", "--no-fund", "--no-save"]
        done = subprocess.run(install, cwd=CLIENT_DIR, capture_output=True, text=True)
        if done.returncode:
            pytest.skip(f"npm could not install the client's package: {done.stderr.strip()[-300:]}")
    return program


@pytest.fixture
def settings(monkeypatch: pytest.MonkeyPatch) -> Settings:
    """The starter models on a free port."""
    monkeypatch.setenv("GATEWAY_PORT", "0")
    return load_settings(None)


def test_a_node_client_completes_a_call(node: str, settings: Settings) -> None:
    conversation = load_conversations()[0]
    heard = json.loads(asyncio.run(_call(node, settings, conversation)))
    said = conversation.lines[0].text
    assert count_word_errors([(said, heard["caller"])]).rate <= MAX_WORD_ERROR_RATE
    assert heard["assistant"]
    assert heard["audioBytes"] > 0


async def _call(node: str, settings: Settings, conversation: Conversation) -> str:
    """What the client prints about its call: it fails on anything it does not know."""
    recording = conversation.lines[0].path
    async with Gateway(settings) as gateway:
        await gateway.ready()
        client = await asyncio.create_subprocess_exec(
            node,
            *("client.mjs", gateway.url, str(recording), conversation.language),
            cwd=CLIENT_DIR,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        try:
            out, err = await asyncio.wait_for(client.communicate(), CLIENT_TIMEOUT_S)
        finally:
            if client.returncode is None:
                client.kill()
    assert client.returncode == 0, err.decode()
    return out.decode()
