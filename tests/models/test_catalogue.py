"""The catalogue: what it names is complete and fits together, and it can be extended."""

from __future__ import annotations

import ast
from collections.abc import Callable
from pathlib import Path

import pytest

from gateway.errors import ModelError
from gateway.models.catalogue import Catalogue, did_you_mean, load_catalogue
from gateway.settings import SUPPORTED_LANGUAGES, load_settings

PACKAGE = Path(__file__).parents[2] / "gateway"
NOWHERE = Path("/nonexistent")

ADDED = """
[models.mine]
kind = "tts"
repo = "me/voices"
files = ["mine.onnx", "mine.onnx.json"]
size_mb = 1
licence = "CC0"
languages = ["en"]

[profiles.small]
title = "mine"
models = ["mine", "whisper-base"]
"""


def test_every_profile_has_all_kinds_and_a_voice_for_each_language() -> None:
    catalogue = load_catalogue(NOWHERE)
    assert list(catalogue.profiles) == ["laptop", "workstation", "gpu"]
    for name in catalogue.profiles:
        models = catalogue.choose([name]).values()
        assert [model.kind for model in models] == ["stt", "llm", "tts", "tts", "tts"]
        spoken = [model.languages for model in models if model.kind == "tts"]
        assert spoken == [(code,) for code in SUPPORTED_LANGUAGES]


def test_the_laptop_models_fit_into_its_memory() -> None:
    models = load_catalogue(NOWHERE).choose(["laptop"]).values()
    assert sum(model.size for model in models) < 2_500_000_000


def test_profiles_ask_for_settings_that_exist() -> None:
    catalogue = load_catalogue(NOWHERE)
    for name in catalogue.profiles:
        for variable in catalogue.settings_of([name]):
            assert hasattr(load_settings(None), variable.lower())


def test_every_model_has_the_files_that_its_engine_reads() -> None:
    for model in load_catalogue(NOWHERE).models.values():
        suffixes = {Path(name).suffix for name in model.files}
        wanted = {"stt": {".bin", ".json"}, "llm": {".gguf"}, "tts": {".onnx", ".json"}}
        assert wanted[model.kind] <= suffixes
        # A folder with one model file: that is how its name is resolved.
        assert sum(name.endswith((".bin", ".gguf", ".onnx")) for name in model.files) == 1


def test_names_stand_for_models_and_profiles_each_model_once() -> None:
    chosen = load_catalogue(NOWHERE).choose(["whisper-small", "laptop", "ru_RU-irina-medium"])
    assert list(chosen) == [
        "whisper-small",
        "qwen2.5-1.5b-instruct",
        "en_US-ljspeech-medium",
        "ar_JO-kareem-medium",
        "ru_RU-dmitri-medium",
        "ru_RU-irina-medium",
    ]


@pytest.mark.parametrize(
    ("name", "offered"),
    [
        ("whisper-smal", "whisper-small"),
        ("Workstation", "workstation"),
        ("irina", "ru_RU-irina-medium"),
        ("qwen", "qwen2.5-1.5b-instruct"),
    ],
)
def test_an_unknown_name_offers_what_is_like_it(name: str, offered: str) -> None:
    with pytest.raises(ModelError, match=f"{name!r}.*did you mean.*{offered}"):
        load_catalogue(NOWHERE).choose([name])


def test_nothing_is_offered_when_nothing_is_alike() -> None:
    assert did_you_mean("xyzzy", ["whisper-small"]) == ""
    assert did_you_mean("", ["whisper-small"]) == ""


def test_a_catalogue_beside_the_models_is_added(tmp_path: Path) -> None:
    (tmp_path / "catalogue.toml").write_text(ADDED)
    assert list(load_catalogue(tmp_path).choose(["small"])) == ["mine", "whisper-base"]


@pytest.mark.parametrize(
    "change",
    [
        ("[models.mine]", "[models.'../mine']"),
        ("[models.mine]", "[models.starter]"),
        ('"mine.onnx",', '"../mine.onnx",'),
        ('"mine.onnx",', '"a/mine.onnx",'),
        ('"me/voices"', '"voices"'),
        ('"tts"', '"TTS"'),
        ("size_mb = 1", 'folder = "../x"\nsize_mb = 1'),
        ("size_mb = 1", 'folder = "/x"\nsize_mb = 1'),
        ("size_mb = 1", "size = 1"),
        ("size_mb = 1", "size_mb = inf"),
        ("size_mb = 1", "size_mb = " + 5000 * "["),
        ("[models.mine]", "[models.mine"),
    ],
)
def test_a_catalogue_that_is_not_valid_is_told(tmp_path: Path, change: tuple[str, str]) -> None:
    (tmp_path / "catalogue.toml").write_text(ADDED.replace(*change))
    with pytest.raises(ModelError, match=r"catalogue\.toml is not a model catalogue"):
        load_catalogue(tmp_path)


def test_a_profile_with_a_misspelt_model_is_told_with_its_name(tmp_path: Path) -> None:
    (tmp_path / "catalogue.toml").write_text(ADDED.replace("whisper-base", "whisper-bas"))
    problem = r"catalogue\.toml: the profile 'small' names 'whisper-bas', .*mean whisper-base"
    with pytest.raises(ModelError, match=problem):
        load_catalogue(tmp_path)


def test_a_folder_that_cannot_be_read_is_told(tmp_path: Path, deny: Callable[[str], None]) -> None:
    deny("is_file")
    with pytest.raises(ModelError, match=r"catalogue\.toml cannot be read.*MODELS_DIR"):
        load_catalogue(tmp_path)


@pytest.mark.parametrize(
    "setting",
    [
        'OPENAI_BASE_URL = "http://x"',
        'STT_DEVICE = "a\\nb"',
        '"STT_X\\n" = "a"',
        'LLM_MODE = "remote"',
    ],
)
def test_a_profile_sets_nothing_but_models(tmp_path: Path, setting: str) -> None:
    profile = f'[profiles.p]\ntitle = ""\nmodels = []\nsettings = {{ {setting} }}\n'
    (tmp_path / "catalogue.toml").write_text(profile)
    with pytest.raises(ModelError, match="is not a model catalogue"):
        load_catalogue(tmp_path)


def test_only_the_download_command_can_reach_the_hub() -> None:
    """Nothing is ever downloaded while calls are served."""
    users: dict[str, set[str]] = {"huggingface_hub": set(), "gateway.models.hub": set()}
    for path in PACKAGE.rglob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        types_only = {
            inner
            for node in tree.body
            if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
            for inner in ast.walk(node)
        }
        for node in ast.walk(tree):
            if node in types_only:
                continue
            match node:
                case ast.Import():
                    names = [alias.name for alias in node.names]
                case ast.ImportFrom(module=str(module)):
                    names = [module, *(f"{module}.{alias.name}" for alias in node.names)]
                case _:
                    continue
            for library, found in users.items():
                if any(f"{name}.".startswith(f"{library}.") for name in names):
                    found.add(path.relative_to(PACKAGE).as_posix())
    assert users == {
        "huggingface_hub": {"models/hub.py"},
        "gateway.models.hub": {"models/cli.py"},
    }


def test_an_empty_catalogue_is_one(tmp_path: Path) -> None:
    assert Catalogue().choose([]) == {} and Catalogue().of_kind("stt") == []
