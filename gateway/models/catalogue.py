"""What can be downloaded: the models and profiles of catalogue.toml, and of one beside the models.

``MODELS_DIR/catalogue.toml`` has the same form; what it names is added, or replaces ours.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Literal

import msgspec

from gateway.errors import ModelError
from gateway.models.disk import disk_error

Kind = Literal["stt", "llm", "tts"]

KIND_TITLES: Mapping[Kind, str] = {
    "stt": "speech recognition model",
    "llm": "chat model",
    "tts": "voice",
}

# \Z, not $: a name that ends in a line break is none. No leading dot, so never ".." or hidden.
# Not "starter": in the settings that means the models that come with the gateway.
Name = Annotated[
    str,
    msgspec.Meta(pattern=r"^(?!starter\Z)[A-Za-z0-9_][A-Za-z0-9._-]*\Z", max_length=100),
]
# Those of models only, and one line each: a bundle of strangers brings them too. LLM_MODE is not
# one: it decides whether what callers say leaves the machine.
ModelSettings = dict[
    Annotated[str, msgspec.Meta(pattern=r"^(?!LLM_MODE\Z)(STT|LLM|TTS)_[A-Z_]+\Z")],
    Annotated[str, msgspec.Meta(pattern=r"^[^\x00-\x1f\x7f]*\Z")],
]
_Folder = Annotated[str, msgspec.Meta(pattern=r"^([A-Za-z0-9_][A-Za-z0-9._-]*(/(?=.)|\Z))*\Z")]
_Repo = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9._-]+/[A-Za-z0-9._-]+\Z")]

FROM_BUNDLE = "voice-gateway models download --from-bundle FILE.tar"

_BUILT_IN = Path(__file__).with_name("catalogue.toml")


class CatalogueModel(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A model on the hub.

    Attributes:
        files: names of the files inside ``folder`` of the repository; all are needed.
        revision: branch, tag or commit; the commit it stands for is recorded.
        size_mb: all files together, in 1,000,000 bytes, rounded.
        licence: of the weights, in the words of their publisher.
        languages: ISO 639-1 codes of what the gateway can use it for.
    """

    kind: Kind
    repo: _Repo
    files: Annotated[tuple[Name, ...], msgspec.Meta(min_length=1)]
    size_mb: Annotated[float, msgspec.Meta(gt=0, le=1e9)]
    licence: str
    languages: Annotated[tuple[str, ...], msgspec.Meta(min_length=1)]
    folder: _Folder = ""
    revision: str = "main"

    @property
    def size(self) -> int:
        """All files together, in bytes, rounded."""
        return round(self.size_mb * 1_000_000)

    @property
    def paths(self) -> list[str]:
        """Paths of the files in the repository."""
        return [f"{self.folder}/{name}" if self.folder else name for name in self.files]


class Profile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Models that go together on one kind of machine, and the settings they want beside."""

    title: str
    models: tuple[str, ...]
    settings: ModelSettings = {}


class Catalogue(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Everything that can be downloaded by name."""

    profiles: dict[Name, Profile] = {}
    models: dict[Name, CatalogueModel] = {}

    def choose(self, names: Sequence[str]) -> dict[str, CatalogueModel]:
        """The models that names of models and profiles stand for, each once, in order.

        Raises:
            ModelError: a name is not known; says which are like it.
        """
        chosen: dict[str, CatalogueModel] = {}
        for name in names:
            wanted = self.profiles[name].models if name in self.profiles else [name]
            for model in wanted:
                if model not in self.models:
                    known = [*self.profiles, *self.models]
                    raise ModelError(
                        f"no model or profile is called {model!r}{did_you_mean(model, known)}; "
                        "voice-gateway models list shows all"
                    )
                chosen[model] = self.models[model]
        return chosen

    def settings_of(self, names: Sequence[str]) -> dict[str, str]:
        """The settings that the named profiles want beside their models."""
        found: dict[str, str] = {}
        for name in names:
            if name in self.profiles:
                found |= self.profiles[name].settings
        return found

    def of_kind(self, kind: Kind) -> list[str]:
        """Names of the models of a kind."""
        return [name for name, model in self.models.items() if model.kind == kind]


def load_catalogue(models_dir: Path) -> Catalogue:
    """Our catalogue, with what the one in the folder of the models adds.

    Raises:
        ModelError: the added one cannot be read.
    """
    built_in = _read(_BUILT_IN)
    added_file = models_dir / "catalogue.toml"
    try:
        if not added_file.is_file():
            return built_in
    except OSError as error:
        raise disk_error(error, added_file) from error
    added = _read(added_file)
    models = built_in.models | added.models
    for name, profile in added.profiles.items():
        for model in profile.models:
            if model not in models:
                raise ModelError(
                    f"{added_file}: the profile {name!r} names {model!r}, and no model is called "
                    f"that{did_you_mean(model, models)}"
                )
    return Catalogue(built_in.profiles | added.profiles, models)


def in_catalogue(models_dir: Path, name: str) -> bool:
    """Whether a model can be downloaded by its name; where the catalogue cannot be read, the
    download tells so.
    """
    try:
        return name in load_catalogue(models_dir).models
    except ModelError:
        return True


def how_to_obtain(models_dir: Path, name: str) -> str:
    """What brings a model, or brings it again: bundles bring those of other catalogues too."""
    if in_catalogue(models_dir, name):
        return f"run: voice-gateway models download {name}"
    return f"install its bundle again: {FROM_BUNDLE}"


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """A question in brackets with the names most like a name; nothing when none is like it."""
    folded = {candidate.lower(): candidate for candidate in known}
    nearest = difflib.get_close_matches(name.lower(), folded, n=3, cutoff=0.5)
    inside = [key for key in folded if name and name.lower() in key and key not in nearest]
    offered = [folded[key] for key in (nearest + inside)[:3]]
    return f" (did you mean {' or '.join(offered)}?)" if offered else ""


def _read(path: Path) -> Catalogue:
    try:
        return msgspec.toml.decode(path.read_bytes(), type=Catalogue)
    except OSError as error:
        raise disk_error(error, path) from error
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise ModelError(f"{path} is not a model catalogue: {error}") from error
