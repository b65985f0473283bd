"""Where models lie on disk: what a name in the settings stands for."""

from __future__ import annotations

import os
from pathlib import Path

from gateway.errors import ConfigError

STARTER = "starter"
"""Name of the small models that come with the gateway."""

NOT_HIDDEN = "[!.]*"
"""Pattern of the names that do not begin with a dot; macOS puts a ``._NAME`` beside each file on a
disk with exFAT."""

_PROJECT = Path(__file__).resolve().parent.parent


class ModelPaths:
    """Resolves ``starter``, the name of a downloaded model, or a path; the models may be missing.

    Args:
        models_dir: a relative one is taken from the working directory if it is there, else from
            the project, so that the gateway finds its models wherever it is started.

    Raises:
        ConfigError: it is in the home of a user who is not known.
    """

    def __init__(self, models_dir: Path) -> None:
        models_dir = expanded(models_dir)
        if str(models_dir).startswith("~"):
            raise ConfigError(
                f"there is no such user for MODELS_DIR={models_dir}; give the path of a folder"
            )
        if not models_dir.is_absolute() and not os.path.isdir(models_dir):
            models_dir = _PROJECT / models_dir
        self.root = models_dir

    def stt(self, name: str) -> Path:
        """Directory of a speech recognition model."""
        if name == STARTER:
            return self.starter / "stt"
        return path_meant(name) or self.root / "stt" / name

    def llm(self, name: str) -> Path:
        """GGUF file of a chat model."""
        if name == STARTER:
            return self.starter / "llm" / "model.gguf"
        return path_meant(name) or self._file("llm", name, ".gguf")

    def voice(self, name: str, language: str) -> Path:
        """ONNX file of a voice; ``starter`` has one for each language."""
        if name == STARTER:
            return self.starter / "tts" / f"{language}.onnx"
        return path_meant(name) or self._file("tts", name, ".onnx")

    def installed(self, kind: str) -> list[str]:
        """Names that stand for a model of a kind, "stt", "llm" or "tts"; the starter's first."""
        folder = self.root / kind
        entries = sorted(folder.iterdir()) if folder.is_dir() else []
        names = [e.name if e.is_dir() else e.stem for e in entries if _is_model(e, kind)]
        return [STARTER, *names]

    @property
    def starter(self) -> Path:
        """Folder of the models that come with the gateway, wherever the others lie."""
        beside, ours = self.root / STARTER, _PROJECT / "models" / STARTER
        # os.path tells of a folder that cannot be read too; nothing is raised here.
        return ours if os.path.isdir(ours) and not os.path.isdir(beside) else beside

    def _file(self, kind: str, name: str, suffix: str) -> Path:
        """The file of a name given with or without its suffix, or alone in its own directory."""
        place = self.root / kind / name
        file = place if name.endswith(suffix) else place.with_name(name + suffix)
        folder = place if os.path.exists(place) else place.with_name(name.removesuffix(suffix))
        if os.path.isdir(folder):
            files = sorted(folder.glob(f"{NOT_HIDDEN}{suffix}"))
            if len(files) == 1:
                return files[0]
        return file


def path_meant(name: str) -> Path | None:
    """The path that a setting gives, or None when it gives the name of a model."""
    separators = {"/", os.sep, os.altsep or os.sep}
    is_path = name.startswith(("~", ".")) or any(s in name for s in separators)
    return expanded(Path(name)) if is_path else None


def expanded(path: Path) -> Path:
    """A path with the home folder for its ``~``; as it is when there is no such user."""
    return Path(os.path.expanduser(path))


def _is_model(entry: Path, kind: str) -> bool:
    if entry.name.startswith("."):
        return False
    return entry.is_dir() or entry.suffix == {"llm": ".gguf", "tts": ".onnx"}.get(kind)
