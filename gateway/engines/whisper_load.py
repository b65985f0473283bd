"""Opens a CTranslate2 Whisper model directory, and says what to do when that cannot work."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import ctranslate2
import numpy as np
from faster_whisper import WhisperModel

from gateway.engines.whisper_window import SHORT_WINDOWS
from gateway.errors import ModelError

Device = Literal["auto", "cpu", "cuda"]

logger = logging.getLogger(__name__)

_CONVERT = "convert it with: ct2-transformers-converter --model NAME --output_dir DIR"
_LFS_MARK = b"version https://git-lfs"
# What Whisper was trained on: 16 kHz, a step of 10 ms, a window of 25 ms, 30 s at once.
_SOUND = (16_000, 160, 400, 30)


def open_whisper(
    path: Path,
    languages: Sequence[str],
    device: Device = "auto",
    compute_type: str = "auto",
    threads: int = 2,
    workers: int = 1,
) -> WhisperModel:
    """Load a model from its directory only; nothing is ever downloaded.

    Args:
        path: directory with model.bin, config.json, tokenizer.json and a vocabulary file.
        languages: ISO 639-1 codes the model must know.
        device: "cuda" without a usable GPU becomes "cpu" with one warning.
        compute_type: a CTranslate2 compute type; "auto" is int8 on a CPU and the GPU's best.
        threads: CPU threads of one batch.
        workers: batches that may run at the same time.

    Raises:
        ModelError: the directory cannot serve; one line that says what to do.
        Exception: anything the libraries raise on damaged files, for `model_errors`.
    """
    _check_files(path)
    config = _read_json(path / "config.json")
    tokenizer = _read_tokenizer(path)
    _check_numbers(path, config, tokenizer)
    tokens = {token["id"]: token["content"].strip("<|>") for token in tokenizer["added_tokens"]}
    listed = [tokens[number] for number in config.get("lang_ids") or () if number in tokens]
    if not listed and len(languages) == 1:
        listed = list(tokens.values())
    _check_languages(path, listed, languages)
    whisper = _on_device(path, device, compute_type, threads, workers)
    if not whisper.model.is_multilingual:  # some of these list languages all the same
        _check_languages(path, ["en"], languages)
    return whisper


def _on_device(
    path: Path, device: Device, compute_type: str, threads: int, workers: int
) -> WhisperModel:
    problem = None
    if device != "cpu" and ctranslate2.get_cuda_device_count():
        try:
            return _open(path, "cuda", compute_type, threads, workers)
        except (RuntimeError, ValueError) as error:
            problem = str(error)
    elif device == "cuda":
        problem = "no CUDA device was found"
    if problem is not None:
        logger.warning("speech recognition falls back to the CPU: %s", problem)
        compute_type = "auto"  # what was chosen for a GPU need not exist on a CPU
    if compute_type == "auto":
        compute_type = "int8"
    known = sorted(ctranslate2.get_supported_compute_types("cpu"))
    if compute_type not in known:
        raise ModelError(
            f"speech model {path} cannot run with compute type {compute_type!r} on this CPU; "
            f"choose one of: {', '.join(known)}"
        )
    return _open(path, "cpu", compute_type, threads, workers)


def _open(path: Path, device: str, compute_type: str, threads: int, workers: int) -> WhisperModel:
    whisper = WhisperModel(
        str(path),
        device=device,
        compute_type=compute_type,
        cpu_threads=threads,
        num_workers=workers,
        local_files_only=True,
    )
    expected = whisper.model.n_mels
    computed = len(whisper.feature_extractor.mel_filters)
    if computed != expected:
        raise ModelError(
            f"speech model {path} reads {expected} mel bands but its preprocessor_config.json "
            f"is missing or says {computed}; download the model's preprocessor_config.json"
        )
    sound = whisper.feature_extractor
    read = (sound.sampling_rate, sound.hop_length, sound.n_fft, sound.chunk_length)
    if read != _SOUND:
        raise ModelError(
            f"speech model {path}: preprocessor_config.json gives sampling_rate, hop_length, n_fft "
            f"and chunk_length as {read}, expected {_SOUND}; download it again"
        )
    # A GPU library that is missing shows only when the model first runs.
    silence = np.zeros((1, expected, SHORT_WINDOWS[0]), np.float32)
    whisper.model.encode(ctranslate2.StorageView.from_array(silence))
    loaded = whisper.model
    logger.info("speech model %s runs on %s with %s", path, loaded.device, loaded.compute_type)
    return whisper


def _check_files(path: Path) -> None:
    if not path.is_dir():
        raise ModelError(
            f"speech model directory {path} does not exist; download a model or correct the path"
        )
    for name in ("model.bin", "config.json", "tokenizer.json"):
        if not (path / name).is_file():
            foreign = any(path.glob("[!.]*.safetensors")) or any(path.glob("pytorch_model*.bin"))
            advice = f"this is a Transformers model: {_CONVERT}" if foreign else "download it again"
            raise ModelError(f"speech model {path} has no {name}; {advice}")
    if not any((path / name).is_file() for name in ("vocabulary.json", "vocabulary.txt")):
        raise ModelError(f"speech model {path} has no vocabulary.json; download it again")
    with (path / "model.bin").open("rb") as file:
        if file.read(len(_LFS_MARK)) == _LFS_MARK:
            raise ModelError(
                f"speech model {path}/model.bin is a Git LFS pointer; run git lfs pull"
            )


def _read_tokenizer(path: Path) -> dict[str, Any]:
    tokenizer = _read_json(path / "tokenizer.json")
    model = tokenizer.get("model")
    if not isinstance(model, dict) or "vocab" not in model or "added_tokens" not in tokenizer:
        raise ModelError(
            f"speech model {path}/tokenizer.json is not a Hugging Face tokenizer; download it again"
        )
    return tokenizer


def _check_languages(path: Path, known: Sequence[str], languages: Sequence[str]) -> None:
    """Of several languages CTranslate2 only detects those that the conversion lists."""
    if not known:
        raise ModelError(
            f"speech model {path}: config.json lists no languages (lang_ids), so that of a caller "
            "cannot be detected; set GATEWAY_LANGUAGES to one, or take config.json from another "
            "conversion of this model"
        )
    missing = [language for language in languages if language not in known]
    if missing or not languages:
        raise ModelError(
            f"speech model {path} does not know the language {', '.join(missing) or '(none set)'}; "
            f"it knows {', '.join(sorted(known))}"
        )


def _check_numbers(path: Path, config: dict[str, Any], tokenizer: dict[str, Any]) -> None:
    """Compare what the files call the same token: CTranslate2 crashes on a number that none has, -1
    too, and hears nonsense with a tokenizer of another model.
    """
    vocabulary = _vocabulary(path)
    for key in ("suppress_ids", "suppress_ids_begin", "lang_ids"):
        beyond = [n for n in config.get(key) or () if not 0 <= n < len(vocabulary)]
        if beyond:
            raise ModelError(
                f"speech model {path}: config.json has {beyond[0]} among {key}, and the vocabulary "
                f"begins at 0 and ends at {len(vocabulary) - 1}; download it again"
            )
    numbers = {token["content"]: token["id"] for token in tokenizer["added_tokens"]}
    numbers |= tokenizer["model"]["vocab"]
    for number, token in enumerate(vocabulary):
        if numbers.get(token, number) != number:
            raise ModelError(
                f"speech model {path}: tokenizer.json numbers {token!r} {numbers[token]} and the "
                f"vocabulary {number}; download both again"
            )


def _vocabulary(path: Path) -> list[str]:
    listed = path / "vocabulary.json"
    if listed.is_file():
        tokens: list[str] = json.loads(listed.read_bytes())
        return tokens
    return (path / "vocabulary.txt").read_text("utf-8").removesuffix("\n").split("\n")


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_bytes())
    except ValueError as error:
        raise ModelError(f"{path} is not valid JSON ({error}); download it again") from error
    if not isinstance(content, dict):
        raise ModelError(f"{path} does not hold a JSON object; download it again")
    return content
