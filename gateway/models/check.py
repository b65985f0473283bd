"""Whether the configured models are there, whole and for their language; needs no network.

The engines check what is inside the files while they load; this comes before, and knows names.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from gateway.errors import ModelError
from gateway.model_paths import NOT_HIDDEN, STARTER, path_meant
from gateway.models.catalogue import (
    KIND_TITLES,
    Kind,
    did_you_mean,
    how_to_obtain,
    in_catalogue,
    load_catalogue,
)
from gateway.models.disk import megabytes
from gateway.models.lockfile import LockedModel
from gateway.models.starter import starter_problems
from gateway.models.store import ModelStore, model_problems
from gateway.settings import Settings

_VARIABLES: dict[Kind, str] = {"stt": "STT_MODEL", "llm": "LLM_MODEL", "tts": "TTS_VOICE"}
_SUFFIXES: dict[Kind, str] = {"llm": ".gguf", "tts": ".onnx"}

_LFS_POINTER = b"version https://git-lfs"


@dataclass(frozen=True, slots=True)
class ConfiguredModel:
    """A model that the settings name.

    Attributes:
        name: as the setting gives it; may be a path.
        path: what is loaded: a directory for speech recognition, else a file.
        languages: ISO 639-1 codes of what it is used for.
    """

    kind: Kind
    name: str
    path: Path
    languages: tuple[str, ...]


def configured_models(settings: Settings) -> list[ConfiguredModel]:
    """Every model that the settings use; a voice once for each of its languages."""
    languages, voices = settings.languages, settings.voice_paths
    chat = ConfiguredModel("llm", settings.llm_model, settings.llm_path, languages)
    return [
        ConfiguredModel("stt", settings.stt_model, settings.stt_path, languages),
        *([chat] if settings.llm_mode != "remote" else []),
        *(
            ConfiguredModel("tts", name, voices[language], (language,))
            for language, name in settings.voice_names.items()
        ),
    ]


def models_in_use(settings: Settings) -> set[tuple[Kind, str]]:
    """Kind and name of every model that the settings use: as it was downloaded, however the
    settings name it, or else as they do.

    Raises:
        ModelError: the lock file is damaged.
    """
    store = ModelStore(settings.models.root)
    found = ((model, _locked(store, model)) for model in configured_models(settings))
    return {(model.kind, locked[0] if locked else model.name) for model, locked in found}


def require_models(settings: Settings, kind: Kind) -> None:
    """Check that the models of a kind exist, are as they were downloaded, and speak the language
    they are used for.

    Blocking: a file that was touched since its download is read whole.

    Raises:
        ModelError: one is not; one line that says what to do.
    """
    store = ModelStore(settings.models.root)
    for model in configured_models(settings):
        if model.kind != kind:
            continue
        try:
            _require(settings, store, model)
        except OSError as error:
            raise ModelError(
                f"{_VARIABLES[kind]}={model.name} cannot be read ({error.strerror}); correct the "
                "name, or the permissions of its files and folders"
            ) from error


def _require(settings: Settings, store: ModelStore, model: ConfiguredModel) -> None:
    if model.name != STARTER and not model.path.exists():
        if path_meant(model.name) is None:
            raise _unknown(settings, model)
        _require_no_repository(settings, model)
    _require_form(model)
    if model.name != STARTER:
        _require_whole(store, model)
    if model.kind == "tts":
        _require_language(settings, model)


def check_locked(settings: Settings) -> list[str]:
    """One line for each file of a configured model that is not as it was downloaded.

    A downloaded file whose size and time are as recorded is taken for whole; others, and the
    starter's, are read. Of models that were put there by hand nothing is recorded.
    """
    store, models = ModelStore(settings.models.root), configured_models(settings)
    starter = [path for model in models if model.name == STARTER for path in _places(model)]
    damaged = starter_problems(settings.models.starter, starter) or []
    try:
        in_use = dict(found for model in models if (found := _locked(store, model)))
    except ModelError as error:
        return [*damaged, str(error)]
    lines = [line for name, locked in in_use.items() for line in _damage(store, name, locked)]
    return [*damaged, *lines]


def _damage(store: ModelStore, name: str, locked: LockedModel) -> list[str]:
    return [
        f"{problem}; {how_to_obtain(store.root, name)}"
        for problem in model_problems(store, name, locked)
    ]


def _require_whole(store: ModelStore, model: ConfiguredModel) -> None:
    found = _locked(store, model)
    if found is not None and (problems := _damage(store, *found)):
        raise ModelError(problems[0])


def describe_models(settings: Settings, kind: Kind) -> str:
    """Name, size, licence, languages and state of the checksums of the configured models.

    Raises:
        ModelError: the lock file is damaged.
    """
    store = ModelStore(settings.models.root)
    by_name: dict[str, list[ConfiguredModel]] = {}
    for model in configured_models(settings):
        if model.kind == kind:
            by_name.setdefault(model.name, []).append(model)
    starter = settings.models.starter
    return "; ".join(_describe(store, starter, models) for models in by_name.values())


def _describe(store: ModelStore, starter: Path, models: list[ConfiguredModel]) -> str:
    """One model, or the starter's voices: a name that stands for a file of each language."""
    first = models[0]
    places = {path for model in models for path in _places(model)}
    size = megabytes(sum(file.stat().st_size for path in places for file in _files(path)))
    found = _locked(store, first)
    if found is not None:
        name, locked = found
        state = _state(model_problems(store, name, locked))
        return f"{name} ({size}, {locked.licence}, {' '.join(locked.languages)}, {state})"
    languages = " ".join(dict.fromkeys(code for model in models for code in model.languages))
    if first.name == STARTER:
        state = _state(starter_problems(starter, places))
        return f"{STARTER} ({size}, MIT, {languages}, {state})"
    spoken = _spoken(first.path) if first.kind == "tts" else None
    known = "licence and languages not known" if spoken is None else f"licence not known, {spoken}"
    return f"{first.name} ({size}, {known}, {_state(None)})"


def _state(problems: list[str] | None) -> str:
    if problems is None:
        return "no checksum recorded"
    return "checksum wrong" if problems else "checksum ok"


def _places(model: ConfiguredModel) -> list[Path]:
    """The folder of a model, or its files, be they there or not."""
    return [model.path, _configuration(model.path)] if model.kind == "tts" else [model.path]


def _configuration(voice: Path) -> Path:
    return Path(f"{voice}.json")


def _files(place: Path) -> Iterator[Path]:
    yield from (path for path in (place, *place.glob(NOT_HIDDEN)) if path.is_file())


def _locked(store: ModelStore, model: ConfiguredModel) -> tuple[str, LockedModel] | None:
    """Name and record of a configured model that was downloaded, however it is named."""
    # os.path follows links as far as they can be followed, and raises nothing.
    real = os.path.realpath(model.path)
    for name, locked in store.read().models.items():
        folder = store.folder(locked.kind, name)
        placed = [folder] if locked.kind == "stt" else [folder / file for file in locked.files]
        if locked.kind == model.kind and real in map(os.path.realpath, placed):
            return name, locked
    return None


def _unknown(settings: Settings, model: ConfiguredModel) -> ModelError:
    kind, name = model.kind, model.name
    variable, root = _VARIABLES[kind], settings.models.root
    if kind in _SUFFIXES and (root / kind / name).is_dir():
        placed = name in ModelStore(root).read().models or in_catalogue(root, name)
        again = f", or {how_to_obtain(root, name)}" if placed else ""
        return ModelError(
            f"{variable}={name}: {root / kind / name} does not hold exactly one "
            f"{_SUFFIXES[kind]} file; give the path of the file{again}"
        )
    catalogue = load_catalogue(root)
    if name in catalogue.models:
        meant = catalogue.models[name].kind
        if meant != kind:
            return ModelError(
                f"{variable}={name}: that is a {KIND_TITLES[meant]} ({_VARIABLES[meant]}), "
                f"expected a {KIND_TITLES[kind]}"
            )
        return ModelError(
            f"{variable}={name} is not downloaded; run: voice-gateway models download {name}"
        )
    if Path(name).exists():
        return ModelError(
            f"{variable}={name} is looked up as a name in {root / kind}; "
            f"for {name} in this folder write {variable}=./{name}"
        )
    known = [*settings.models.installed(kind), *catalogue.of_kind(kind)]
    return ModelError(
        f"{variable}={name}: there is no such model in {root / kind}{did_you_mean(name, known)}; "
        "voice-gateway models list shows all"
    )


def _require_no_repository(settings: Settings, model: ConfiguredModel) -> None:
    """The name of a repository looks like a path."""
    catalogue = load_catalogue(settings.models.root)
    names = [name for name, known in catalogue.models.items() if known.repo == model.name]
    if names:
        raise ModelError(
            f"{_VARIABLES[model.kind]}={model.name} is a repository; its name here is "
            f"{' or '.join(names)}: voice-gateway models download gets it"
        )


def _require_form(model: ConfiguredModel) -> None:
    """A folder where one is expected, else a file; whether they are there the engines tell."""
    variable, path, suffix = _VARIABLES[model.kind], model.path, _SUFFIXES.get(model.kind)
    if suffix is None:
        if path.is_file():
            raise ModelError(
                f"{variable}={model.name} is a file; expected the folder of a CTranslate2 Whisper "
                "model, with model.bin and config.json in it"
            )
        return
    if path.is_dir():
        raise ModelError(f"{variable}={model.name} is a folder; expected a {suffix} file")
    if path.is_file():
        # A chat model's file may be called anything; the engine looks inside.
        if model.kind == "tts" and path.suffix != suffix:
            raise ModelError(f"{variable}={model.name}: expected a file that ends in {suffix}")
        with path.open("rb") as file:
            if file.read(len(_LFS_POINTER)) == _LFS_POINTER:
                raise ModelError(
                    f"{variable}={model.name} is a Git LFS pointer, not the file itself; "
                    "fetch it with: git lfs pull"
                )


def _require_language(settings: Settings, model: ConfiguredModel) -> None:
    [language] = model.languages
    starter = model.name == STARTER
    found = None if starter else _locked(ModelStore(settings.models.root), model)
    spoken = list(found[1].languages) if found else [s for s in [_spoken(model.path)] if s]
    if not spoken or language in spoken:
        return
    fitting = [
        name
        for name, known in load_catalogue(settings.models.root).models.items()
        if known.kind == "tts" and language in known.languages
    ]
    raise ModelError(
        f"TTS_VOICE gives {language!r} the voice {model.name}, which speaks {' '.join(spoken)}; "
        f"give each language its own (TTS_VOICE=en=…,ar=…,ru=…), for {language!r} for example "
        f"{' or '.join([STARTER, *fitting])}"
    )


def _spoken(voice: Path) -> str | None:
    """The language that a voice's configuration names, ISO 639-1; None when it names none."""
    try:
        config = json.loads(_configuration(voice).read_bytes())
        language = config["language"]
        return re.split("[-_]", language.get("family") or language["code"])[0].lower()
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        # What is wrong with the file is for the engine to say.
        return None
