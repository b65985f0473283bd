"""Loading each configured model once, for `doctor`; the engines are imported only then."""

from __future__ import annotations

import asyncio
import time

from gateway.settings import Settings


def load_speech_model(settings: Settings) -> str:
    """Load the speech recognition model; says which one and how long it took.

    Raises:
        ModelError: the model cannot be used.
    """
    from gateway.engines.whisper import WhisperSettings, WhisperTranscriber

    async def load() -> None:
        model = await WhisperTranscriber.load(
            WhisperSettings(
                model_path=settings.stt_path,
                languages=settings.languages,
                device=settings.stt_device,
                compute_type=settings.compute_type,
                threads=settings.threads,
                window=settings.stt_window,
            )
        )
        await model.close()

    started = time.monotonic()
    asyncio.run(load())
    return _told(str(settings.stt_path), started)


def load_chat_model(settings: Settings) -> str:
    """Load the chat model; says which one and how long it took.

    Raises:
        ModelError: the model cannot be used.
    """
    from gateway.engines.llama import LlamaChat, LlamaSettings

    async def load() -> None:
        model = LlamaChat(
            LlamaSettings(
                model=settings.llm_path,
                n_ctx=settings.llm_context,
                threads=settings.threads,
                n_gpu_layers=settings.llm_gpu_layers,
            )
        )
        await model.close()

    started = time.monotonic()
    asyncio.run(load())
    return _told(str(settings.llm_path), started)


def load_voices(settings: Settings) -> str:
    """Load the voice of every language; says which and how long it took.

    Raises:
        ModelError: a voice cannot be used.
    """
    from gateway.engines.piper import PiperSettings, PiperSynthesizer
    from gateway.engines.piper_voice import VoiceSettings

    voices = {code: VoiceSettings(path) for code, path in settings.voice_paths.items()}

    async def load() -> None:
        synthesizer = await PiperSynthesizer.load(PiperSettings(voices))
        await synthesizer.close()

    started = time.monotonic()
    asyncio.run(load())
    return _told(", ".join(str(path) for path in settings.voice_paths.values()), started)


def _told(what: str, started: float) -> str:
    return f"{what}, loaded in {time.monotonic() - started:.1f} s"
