"""Makes each engine from the settings; the model libraries are imported only then."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.models.check import require_models
from gateway.settings import Settings

if TYPE_CHECKING:
    from gateway.engines.llama import LlamaChat
    from gateway.engines.piper import PiperSynthesizer
    from gateway.engines.whisper import WhisperTranscriber


def engine_threads(settings: Settings) -> int:
    """Threads of each engine.

    Recognition and chat take turns in one call but overlap across calls: half of the cores each
    keeps them from waiting for one another's threads, and voices fit in between.
    """
    return max(1, settings.threads // 2)


async def load_transcriber(settings: Settings) -> WhisperTranscriber:
    """Load and warm the speech recognition model.

    Raises:
        ModelError: it cannot be used; one line that says what to do.
    """
    from gateway.engines.whisper import WhisperSettings, WhisperTranscriber

    require_models(settings, "stt")
    return await WhisperTranscriber.load(
        WhisperSettings(
            model_path=settings.stt_path,
            languages=settings.languages,
            device=settings.stt_device,
            compute_type=settings.compute_type,
            threads=engine_threads(settings),
            window=settings.stt_window,
        )
    )


async def load_chat(settings: Settings) -> LlamaChat:
    """Load the chat model.

    Raises:
        ModelError: it cannot be used; one line that says what to do.
    """
    from gateway.engines.bridge import WorkerPool
    from gateway.engines.llama import LlamaChat, LlamaSettings

    require_models(settings, "llm")
    pool = WorkerPool("load-chat", 1)
    try:
        return await pool.run(
            LlamaChat,
            LlamaSettings(
                model=settings.llm_path,
                n_ctx=settings.llm_context,
                threads=engine_threads(settings),
                n_gpu_layers=settings.llm_gpu_layers,
            ),
        )
    finally:
        await pool.close()


async def load_voices(settings: Settings) -> PiperSynthesizer:
    """Load, warm and level the voice of every language.

    Raises:
        ModelError: a voice cannot be used; one line that says what to do.
    """
    from gateway.engines.piper import PiperSettings, PiperSynthesizer
    from gateway.engines.piper_voice import VoiceSettings

    require_models(settings, "tts")
    voices = {code: VoiceSettings(path) for code, path in settings.voice_paths.items()}
    return await PiperSynthesizer.load(PiperSettings(voices, workers=engine_threads(settings)))
