"""Command line: ``python -m scripts.starter stt|llm|tts|all --minutes N``."""

import argparse
import math
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Protocol

_IMAGES = (".png", ".jpg", ".pdf", ".svg", ".webp")


class _Recipe(Protocol):
    def require_what_fits(self) -> None: ...

    def run(self) -> Path: ...


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m scripts.starter", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    for name in ("stt", "llm", "tts", "all"):
        command = commands.add_parser(name, help=f"train and export: {name}")
        command.set_defaults(init=None, decoder_minutes=0.0, processes=1, draw=0, confusions=None)
        command.set_defaults(keep=0.0, tiny=False)
        minutes = _minutes if name == "stt" else _some_minutes
        command.add_argument("--minutes", type=minutes, required=True, help="of training, each")
        command.add_argument("--device", choices=("cpu", "cuda"), default="cpu", help="not of tts")
        command.add_argument("--out", type=Path, default=Path(".training"))
        if name != "tts":
            command.add_argument(
                "--draw", type=_at_least(0), help="another number, other sentences"
            )
        if name in ("stt", "llm"):
            command.add_argument("--init", type=_existing, help="model or checkpoint to go on from")
            command.add_argument("--processes", type=_at_least(1), help="cores to use, not by tts")
        if name in ("stt", "all"):
            command.add_argument("--decoder-minutes", type=_minutes, help="after these, of stt")
        if name in ("llm", "all"):
            command.add_argument("--confusions", type=_existing, help="misread words, for llm")
            command.add_argument("--layers", type=_at_least(2), help="of the chat model")
        if name == "stt":
            command.add_argument("--keep", type=_share, help="share of --init in the result")
        if name in ("stt", "tts"):
            command.add_argument("--tiny", action="store_true", help="a little data, as a trial")
    check = commands.add_parser("check", help="measure a finished model through the real library")
    check.add_argument("what", choices=("stt", "llm", "tts"))
    check.add_argument("model", type=_existing, help="folder (stt, tts) or file (llm)")
    check.add_argument("--data", type=Path, default=Path(".training/test"))
    check.add_argument("--show", action="store_true", help="print the replies (llm)")
    check.add_argument("--calls", type=_at_least(1), default=60, help="of each kind (llm)")
    check.add_argument(
        "--tool-turns", type=_at_least(0), default=0, help="count malformed calls (llm)"
    )
    sheet = commands.add_parser("sheet", help="draw spectrograms of the voices")
    sheet.add_argument("voices", type=Path)
    sheet.add_argument("out", type=Path, help="image file")
    confusions = commands.add_parser("confusions", help="collect words that the recogniser misread")
    confusions.add_argument("model", type=Path)
    confusions.add_argument("data", type=Path, help="a set of speech, without suffix")
    confusions.add_argument("out", type=Path)
    return parser


def _arguments() -> argparse.Namespace:
    parser = _parser()
    arguments = parser.parse_args()
    if mistake := _mistake(arguments):
        parser.error(mistake)
    return arguments


def _mistake(arguments: argparse.Namespace) -> str | None:
    """What does not fit together, before hours are spent on it."""
    init: Path | None = getattr(arguments, "init", None)
    if getattr(arguments, "device", "cpu") == "cuda" and not _has_card():
        return "--device cuda: PyTorch finds no graphics card here"
    if arguments.command == "llm" and init is not None:
        if not init.is_file() or init.suffix not in (".gguf", ".pt"):
            return f"--init {init}: expected a GGUF file or a checkpoint"
    if arguments.command == "stt":
        if init is not None and not (init.is_dir() or init.suffix == ".pt"):
            return f"--init {init}: expected a model's folder or a checkpoint"
        if arguments.keep and init is None:
            return "--keep is a share of what the training begins from: expected --init too"
        if not (arguments.minutes or init):
            return "--minutes 0 leaves the decoder of a start to be trained: expected --init too"
        if not (arguments.minutes or arguments.decoder_minutes):
            return "nothing to do: expected more than 0 of --minutes or of --decoder-minutes"
    if arguments.command in ("check", "sheet", "confusions"):
        return _mistaken_files(arguments)
    try:
        for recipe in _recipes(arguments):
            recipe.require_what_fits()
    except (ValueError, RuntimeError) as error:
        return str(error)
    return _no_place("--out", arguments.out)


def _no_place(option: str, folder: Path) -> str | None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        return f"{option} {folder}: expected a folder, or where one can be made ({error.strerror})"
    return None if os.access(folder, os.W_OK) else f"{option} {folder} cannot be written"


def _mistaken_files(arguments: argparse.Namespace) -> str | None:
    what = getattr(arguments, "what", arguments.command)
    if what == "llm" and not _is_gguf(arguments.model):
        return f"{arguments.model}: expected a GGUF file"
    if what in ("stt", "confusions") and not (arguments.model / "model.bin").is_file():
        return f"{arguments.model}: expected a recogniser's folder, with a model.bin"
    if what in ("tts", "sheet"):
        voices: Path = arguments.model if what == "tts" else arguments.voices
        if not any(voices.glob("*.onnx")):
            return f"there is no .onnx file in {voices}"
    if what == "confusions":
        files = [arguments.data.with_suffix(suffix) for suffix in (".jsonl", ".bin")]
        if missing := [str(path) for path in files if not path.is_file()]:
            return f"there is no {missing[0]}"
    if what == "stt":
        return _no_place("--data", arguments.data)
    if what == "sheet" and arguments.out.suffix not in _IMAGES:
        return f"{arguments.out}: expected an image file: {', '.join(_IMAGES)}"
    if what in ("sheet", "confusions"):
        if arguments.out.is_dir():
            return f"{arguments.out} is a folder, expected a file to write"
        if not arguments.out.parent.is_dir():
            return f"there is no folder {arguments.out.parent}"
    return None


def _is_gguf(path: Path) -> bool:
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(4) == b"GGUF"


def _has_card() -> bool:
    import torch

    return torch.cuda.is_available()


def _number(text: str) -> float:
    """Not a number when it is none, so that it is in no range."""
    try:
        return float(text)
    except ValueError:
        return math.nan


def _minutes(text: str) -> float:
    if not 0 <= (minutes := _number(text)) < math.inf:
        raise argparse.ArgumentTypeError(f"expected 0 or more minutes, not {text}")
    return minutes


def _some_minutes(text: str) -> float:
    if not 0 < (minutes := _number(text)) < math.inf:
        raise argparse.ArgumentTypeError(f"expected more than 0 minutes, not {text}")
    return minutes


def _share(text: str) -> float:
    if not 0 <= (share := _number(text)) <= 1:
        raise argparse.ArgumentTypeError(f"expected a share from 0 to 1, not {text}")
    return share


def _at_least(least: int) -> Callable[[str], int]:
    def whole(text: str) -> int:
        if not text.isdecimal() or int(text) < least:
            raise argparse.ArgumentTypeError(f"expected {least} or more, not {text}")
        return int(text)

    return whole


def _existing(path: str) -> Path:
    if not Path(path).exists():
        raise argparse.ArgumentTypeError(f"there is no {path}")
    return Path(path)


def _recipes(arguments: argparse.Namespace) -> Iterator[_Recipe]:
    what, minutes, device = arguments.command, arguments.minutes, arguments.device
    init, tiny = arguments.init, arguments.tiny
    # No real training goes on from a trial.
    out = arguments.out / "tiny" if tiny else arguments.out
    if what in ("tts", "all"):
        from .tts.recipe import Recipe as Tts

        yield Tts(out / "tts", minutes, tiny=tiny)
    if what in ("stt", "all"):
        from .stt.recipe import TINY
        from .stt.recipe import Recipe as Stt

        recipe = Stt(
            out / "stt",
            minutes,
            device,
            init,
            draw=arguments.draw,
            decoder_minutes=arguments.decoder_minutes,
            processes=arguments.processes,
            keep=arguments.keep,
        )
        yield replace(recipe, sets=1, sizes=TINY, heard=400) if tiny else recipe
    if what in ("llm", "all"):
        from .llm.recipe import Recipe as Llm

        yield Llm(
            out / "llm",
            minutes,
            device,
            init,
            arguments.confusions,
            arguments.draw,
            arguments.processes,
            arguments.layers,
        )


def _check(arguments: argparse.Namespace) -> None:
    if arguments.what == "stt":
        from .stt.recipe import check as check_stt

        check_stt(arguments.model, arguments.data)
    elif arguments.what == "llm":
        from .llm.recipe import check as check_llm

        check_llm(arguments.model, arguments.calls, arguments.show, arguments.tool_turns)
    else:
        from .tts.recipe import check as check_tts

        check_tts(arguments.model)


def main() -> None:
    """Run one command."""
    try:
        _run()
    except ModuleNotFoundError as error:
        sys.exit(f"{error}; install what the recipes need: pip install -e '.[starter]'")
    except KeyboardInterrupt:
        sys.exit("interrupted; a training goes on when the same command is given again")


def _run() -> None:
    # Before torch is loaded. Batches have ever new shapes, and oneDNN keeps code and memory for
    # 1024 of them: the chat model's training grew to 13 GB in a quarter of an hour, so to 5.
    os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "64")
    arguments = _arguments()
    if arguments.command == "check":
        _check(arguments)
    elif arguments.command == "confusions":
        from .stt.confusions import collect

        collect(arguments.model, arguments.data, arguments.out)
    elif arguments.command == "sheet":
        from .tts.sheet import draw_sheet

        draw_sheet(arguments.voices, arguments.out)
    else:
        for recipe in _recipes(arguments):
            print(recipe.run())


if __name__ == "__main__":
    main()
