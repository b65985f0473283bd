"""Who may import what (docs/architecture.md §2), read from the sources without running them."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "gateway"
FILES = sorted(PACKAGE.rglob("*.py"))

SHARED = {"gateway.errors", "gateway.events", "gateway.audio", "gateway.logs", "gateway.metrics"}

# Package -> what of the gateway its files may import, besides their own package.
ALLOWED: dict[str, set[str]] = {
    "audio": set(),
    "conversation": {"gateway.audio", "gateway.events"},
    "protocols": {"gateway.audio", "gateway.events", "gateway.errors"},
    "engines": {"gateway.audio", "gateway.errors", "gateway.metrics"},
    "receptionist": {"gateway.engines.base", "gateway.errors"},
    "calls": SHARED
    | {
        "gateway.conversation",
        "gateway.receptionist",
        "gateway.engines.base",
        "gateway.protocols.base",
        "gateway.store",
        "gateway.recording.tape",
    },
    "recording": SHARED | {"gateway.conversation", "gateway.__version__"},
    "servers": SHARED | {"gateway.protocols", "gateway.calls"},
    "replay": SHARED
    | {
        "gateway.conversation",
        "gateway.calls",
        "gateway.engines.base",
        "gateway.protocols.base",
        "gateway.recording",
        "gateway.loading",
        "gateway.simulator.virtual_time",
        "gateway.__version__",
    },
}

AUDIO_LIBRARIES = {"numpy", "soxr", "webrtcvad"}
SOCKET_LIBRARIES = {"socket", "websockets", "asyncio", "http", "ssl"}
IMPURE = {"asyncio", "threading", "time", "socket", "logging"}
MODEL_LIBRARIES = {"faster_whisper", "ctranslate2", "llama_cpp", "piper", "onnxruntime", "openai"}


def imports(path: Path) -> Iterator[tuple[str, bool]]:
    """Full names that a file imports, and whether the import of the file imports them too."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    later = {
        inner
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        top = node not in later
        match node:
            case ast.Import():
                yield from ((alias.name, top) for alias in node.names)
            case ast.ImportFrom(level=0, module=str(module)):
                if module == "gateway":
                    yield from ((f"gateway.{alias.name}", top) for alias in node.names)
                else:
                    yield module, top


def within(name: str, package: str) -> bool:
    return name == package or name.startswith(package + ".")


def layer(path: Path) -> str:
    parts = path.relative_to(PACKAGE).parts
    return parts[0] if len(parts) > 1 else ""


def name_of(path: Path) -> str:
    return str(path.relative_to(PACKAGE))


in_layers = pytest.mark.parametrize("path", [f for f in FILES if layer(f) in ALLOWED], ids=name_of)
everywhere = pytest.mark.parametrize("path", FILES, ids=name_of)


def in_layer(*layers: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("path", [f for f in FILES if layer(f) in layers], ids=name_of)


@in_layers
def test_a_layer_imports_only_layers_below_it(path: Path) -> None:
    allowed = ALLOWED[layer(path)] | {f"gateway.{layer(path)}"}
    ours = {name for name, _ in imports(path) if within(name, "gateway")}
    assert {name for name in ours if not any(within(name, ok) for ok in allowed)} == set()


@everywhere
def test_relative_imports_are_not_used(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    assert not [n for n in ast.walk(tree) if isinstance(n, ast.ImportFrom) and n.level]


@everywhere
def test_nobody_imports_the_composition_root(path: Path) -> None:
    if name_of(path) not in ("cli.py", "__main__.py", "bench/cli.py", "bench/served.py"):
        assert not [name for name, _ in imports(path) if within(name, "gateway.app")]


@in_layer("audio")
def test_audio_is_numbers_only(path: Path) -> None:
    top = {name.partition(".")[0] for name, _ in imports(path)}
    libraries = top - set(sys.stdlib_module_names) - {"gateway"}
    assert libraries <= AUDIO_LIBRARIES and not top & IMPURE


@in_layer("conversation")
def test_the_conversation_has_no_clock_thread_or_loop(path: Path) -> None:
    top = {name.partition(".")[0] for name, _ in imports(path)}
    assert not top & IMPURE
    assert top - set(sys.stdlib_module_names) <= {"gateway", "numpy"}


@in_layer("protocols")
def test_protocols_do_no_input_or_output(path: Path) -> None:
    assert not {name.partition(".")[0] for name, _ in imports(path)} & SOCKET_LIBRARIES


@everywhere
def test_a_model_library_is_imported_only_by_engines(path: Path) -> None:
    """Elsewhere only inside a function that looks at the installation, never on import."""
    found = {name.partition(".")[0] for name, top in imports(path) if top} & MODEL_LIBRARIES
    assert not found or layer(path) == "engines"


def catches_all(handler: ast.ExceptHandler) -> bool:
    kinds = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
    return any(
        kind is None
        or ast.unparse(kind).removeprefix("builtins.") in ("Exception", "BaseException")
        for kind in kinds
    )


@everywhere
def test_unknown_exceptions_are_swallowed_at_marked_boundaries_only(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    lines = text.splitlines()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.ExceptHandler) and catches_all(node):
            # Cleaning up and raising on, or raising a better error, swallows nothing.
            raises = isinstance(node.body[-1], ast.Raise)
            assert raises or "# boundary" in lines[node.lineno - 1], f"line {node.lineno}"


@in_layer("calls")
def test_calls_name_no_engine_and_no_carrier(path: Path) -> None:
    text = path.read_text(encoding="utf-8").lower()
    assert not [name for name in ("whisper", "llama", "piper", "twilio") if name in text]


@everywhere
def test_files_stay_small(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 400
