"""Makes each engine from the settings; the model libraries are imported only then."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING

from gateway.audio.vad import ConfirmedVad, WebRtcVad
from gateway.conversation.segmenter import VoiceDetector
from gateway.errors import ConfigError, GatewayError
from gateway.models.check import require_models
from gateway.receptionist.hotwords import hotwords
from gateway.receptionist.profile import DEFAULT_PROFILE, Profile, load_profile
from gateway.receptionist.tools import receptionist_tools
from gateway.settings import Settings
from gateway.thread_budget import ThreadBudget, thread_budget

if TYPE_CHECKING:
    from gateway.engines.base import ChatModel
    from gateway.engines.llama import LlamaChat
    from gateway.engines.openai import OpenAIChat
    from gateway.engines.piper import PiperSynthesizer
    from gateway.engines.whisper import WhisperTranscriber

log = logging.getLogger(__name__)


def served_profile(settings: Settings) -> Profile:
    """The configured business profile, in the languages that are served.

    Raises:
        ConfigError: it cannot be read, or lacks a served language.
    """
    path = settings.business_profile or DEFAULT_PROFILE
    profile = load_profile(path)
    missing = [code for code in settings.languages if code not in profile]
    if missing:
        tables = ", ".join(f"[{code}]" for code in missing)
        raise ConfigError(
            f"business profile {path} lacks {tables}: add it, or take the language out of"
            " GATEWAY_LANGUAGES"
        )
    return {code: profile[code] for code in settings.languages}


async def load_transcriber(
    settings: Settings, budget: ThreadBudget | None = None
) -> WhisperTranscriber:
    """Load and warm the speech recognition model; ``budget`` is by default its part of all threads.

    Raises:
        ModelError: it cannot be used; one line that says what to do.
    """
    from gateway.engines.whisper import WhisperSettings, WhisperTranscriber

    await asyncio.to_thread(require_models, settings, "stt")
    budget = budget or thread_budget(settings.threads)
    return await WhisperTranscriber.load(
        WhisperSettings(
            model_path=settings.stt_path,
            languages=settings.languages,
            device=settings.stt_device,
            compute_type=settings.compute_type,
            threads=budget.stt,
            workers=budget.stt_workers,
            window=settings.stt_window,
            beam_size=settings.beam_size,
            hotwords=hotwords(served_profile(settings)) if settings.uses_hotwords else {},
        )
    )


async def load_chat(
    settings: Settings, prompt: str = "", budget: ThreadBudget | None = None
) -> ChatModel:
    """The chat model of LLM_MODE; says in the log what will leave this machine.

    Args:
        prompt: system prompt of all calls, prefilled here; empty prefills nothing.
        budget: threads of the local model; by default its part of all threads.

    Raises:
        ModelError: the local model cannot be used; one line that says what to do.
        ConfigError: the system prompt leaves no room for a conversation, the tools of the profile
            cannot become a grammar, or a remote model has no key or no URL.
    """
    remote = chat_service(settings)
    _say_what_leaves(settings, remote)
    if remote is not None and settings.llm_mode == "remote":
        return remote
    try:
        local = await _local_chat(settings, prompt, budget or thread_budget(settings.threads))
    except BaseException:
        if remote is not None:
            await remote.close()
        raise
    if remote is None:
        return local
    from gateway.engines.fallback import FallbackChat

    return FallbackChat(local, remote, first_token_timeout_s=settings.llm_first_token_timeout_s)


async def _local_chat(settings: Settings, prompt: str, budget: ThreadBudget) -> LlamaChat:
    from gateway.engines.bridge import WorkerPool
    from gateway.engines.llama import LlamaChat, LlamaSettings

    await asyncio.to_thread(require_models, settings, "llm")
    _check_tools(settings)
    # Every call has its history in the cache, and some a new reply before the old one has ended.
    sequences = min(256, settings.gateway_max_calls + 8)
    pool = WorkerPool("load-chat", 1)
    try:
        chat = await pool.run(
            LlamaChat,
            LlamaSettings(
                model=settings.llm_path,
                n_ctx=settings.llm_context,
                max_sequences=sequences,
                batch=max(128, sequences),
                max_waiting=max(32, settings.gateway_max_calls),
                threads=budget.chat,
                n_gpu_layers=settings.llm_gpu_layers,
                flash_attention=settings.llm_flash_attention,
                kv_type_k=settings.llm_kv_type,
                kv_type_v=settings.llm_kv_type,
                east_asian=not {"zh", "ja", "ko"}.isdisjoint(settings.languages),
                step_timeout_s=settings.llm_step_timeout_s,
            ),
        )
    finally:
        await pool.close()
    if prompt:
        try:
            chat.check_system_prompt(prompt)
            await chat.warm_up(prompt)
        except GatewayError as error:
            await chat.close()
            raise ConfigError(f"LLM_CONTEXT={settings.llm_context}: {error}") from error
        except BaseException:
            await chat.close()
            raise
    return chat


def _check_tools(settings: Settings) -> None:
    """Refuse at start what would make every reply of every call fail."""
    from gateway.engines.llama_grammar import check_tools

    try:
        check_tools(receptionist_tools(served_profile(settings)))
    except ValueError as error:
        path = settings.business_profile or DEFAULT_PROFILE
        raise ConfigError(
            f"business profile {path}: its services or people cannot be used: {error}"
        ) from error


def chat_service(settings: Settings) -> OpenAIChat | None:
    """The chat service, not yet asked; None where nothing may leave this machine.

    Raises:
        ConfigError: it has no key or no URL.
    """
    if settings.llm_mode == "local":
        return None
    key = settings.openai_api_key.get_secret_value()
    if not key and settings.llm_mode == "remote":
        raise ConfigError(
            "LLM_MODE=remote needs OPENAI_API_KEY; a service that wants no key takes any text"
        )
    if not key:
        return None
    from gateway.engines.openai import OpenAIChat, OpenAISettings

    return OpenAIChat(OpenAISettings(settings.openai_base_url, key, settings.openai_model))


def _say_what_leaves(settings: Settings, remote: OpenAIChat | None) -> None:
    """In the log: where the text of conversations goes."""
    if remote is not None:
        log.warning(
            "LLM_MODE=%s: the text of conversations (no audio) is sent to %s %s",
            settings.llm_mode,
            remote.host,
            "of every turn" if settings.llm_mode == "remote" else "when the local model fails",
        )
    elif settings.llm_mode == "fallback":
        log.warning("LLM_MODE=fallback is off: OPENAI_API_KEY is empty, the chat stays local")


async def load_voices(settings: Settings) -> PiperSynthesizer:
    """Load, warm and level the voice of every language.

    Raises:
        ModelError: a voice cannot be used; one line that says what to do.
    """
    from gateway.engines.piper import PiperSettings, PiperSynthesizer
    from gateway.engines.piper_voice import VoiceSettings

    await asyncio.to_thread(require_models, settings, "tts")
    voices = {code: VoiceSettings(path) for code, path in settings.voice_paths.items()}
    workers = thread_budget(settings.threads).tts
    return await PiperSynthesizer.load(PiperSettings(voices, workers=workers))


def voice_detectors() -> Callable[[], VoiceDetector]:
    """Makes the voice detector of each call; they share one model."""
    from gateway.engines.silero import SileroModel, SileroVad

    model = SileroModel()
    return lambda: ConfirmedVad(WebRtcVad(), SileroVad(model))
