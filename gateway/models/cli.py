"""The command line of the models: voice-gateway models list | download | verify | remove."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape

from gateway.errors import ConfigError, ModelError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.models.catalogue import CatalogueModel, Kind
    from gateway.models.hub import Hub
    from gateway.models.store import ModelStore
    from gateway.settings import Settings

EXIT_FAILURE = 1
EXIT_INTERRUPTED = 130

_ENV_FILE = Path(".env")

app = typer.Typer(
    name="models",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    help="""
List, download, verify and remove models.

They lie in the folder of the setting MODELS_DIR; `serve` only reads it and never downloads.
Mirrors and proxies: set HF_ENDPOINT, HTTPS_PROXY; a token for models with terms: HF_TOKEN.
""",
    epilog="""
Examples:

    voice-gateway models download laptop --write-env     all that a laptop needs, and use it

    voice-gateway models download laptop --bundle m.tar  and pack it for a machine without a network

    voice-gateway models download --from-bundle m.tar    install it there
""",
)

Names = Annotated[list[str] | None, typer.Argument(help="Models; all when none is named.")]


@app.command("list")
def list_models() -> None:
    """Show which models there are, which are downloaded, and which the settings use."""
    from rich.table import Table

    from gateway.logs import one_line
    from gateway.models.catalogue import load_catalogue
    from gateway.models.disk import megabytes
    from gateway.models.store import model_problems

    _, store = _settings_and_store()
    catalogue, lock = load_catalogue(store.root), store.read()
    unfinished = store.unfinished()
    used = _used()
    table = Table(title=f"models in {escape(str(store.root))}", pad_edge=False)
    table.add_column("name", no_wrap=True)
    for heading in ("kind", "size", "languages", "licence"):
        table.add_column(heading, overflow="fold")
    # As wide as its longest word; without pad_edge all fits into 80 columns.
    table.add_column("state", min_width=len("downloaded,"), overflow="fold")
    for name in dict.fromkeys([*catalogue.models, *lock.models]):
        locked = lock.models.get(name)
        model = locked or catalogue.models[name]
        size = megabytes(model.size) if locked else f"~{megabytes(model.size)}"
        states = []
        if locked:
            states.append("damaged" if model_problems(store, name, locked) else "downloaded")
        elif name in unfinished:
            states.append("unfinished")
        if (model.kind, name) in used:
            states.append("in use")
        row = [name, model.kind.upper(), size, " ".join(model.languages), model.licence]
        # A bundle's words are a stranger's.
        table.add_row(*(escape(one_line(cell)) for cell in [*row, ", ".join(states)]))
    console = Console()
    console.print(table)
    for name, profile in catalogue.profiles.items():
        total = sum(model.size for model in catalogue.choose([name]).values())
        console.print(
            f"[bold]{escape(name)}[/] (~{megabytes(total)}): {escape(profile.title)}\n"
            f"  {escape(' '.join(profile.models))}",
            highlight=False,
        )


@app.command()
def download(
    names: Annotated[
        list[str] | None,
        typer.Argument(help="Profiles (laptop, workstation, gpu) or models.", show_default=False),
    ] = None,
    bundle: Annotated[
        Path | None,
        typer.Option(help="Then pack them, or without names all there is.", metavar="FILE.tar"),
    ] = None,
    from_bundle: Annotated[
        Path | None,
        typer.Option(help="Install a bundle; needs no network.", metavar="FILE.tar"),
    ] = None,
    write_env: Annotated[
        bool, typer.Option("--write-env", help="Use the models: set them in the file .env.")
    ] = False,
) -> None:
    """Download models, pack them into a bundle, or install a bundle.

    An interrupted download goes on where it stopped when the command is run again; a model appears
    only when it is complete and its checksums are right. Prints the lines of .env to use it.

    Examples:

    `voice-gateway models download whisper-small ru_RU-dmitri-medium`

    `HF_ENDPOINT=https://mirror.example voice-gateway models download workstation`
    """
    names = names or []
    if from_bundle and (names or bundle):
        raise typer.BadParameter("--from-bundle stands alone")
    if not (names or bundle or from_bundle):
        raise typer.BadParameter("name a profile (laptop, workstation, gpu) or models")
    settings, store = _settings_and_store()
    try:
        chosen, extra = _obtain(store, names, bundle, from_bundle)
    except KeyboardInterrupt:
        Console(stderr=True).print("interrupted; run the same command again to go on")
        raise typer.Exit(EXIT_INTERRUPTED) from None
    if chosen:
        _use(settings, store, chosen, extra, write_env)


@app.command()
def verify(names: Names = None) -> None:
    """Compute the checksums of downloaded models again and compare them with lock.json, and those
    of the starter models with what the gateway came with.

    Exit status 1 when a file is missing or not as it was.

    Example: `voice-gateway models verify whisper-small starter`
    """
    from gateway.model_paths import STARTER
    from gateway.models.catalogue import how_to_obtain
    from gateway.models.starter import starter_problems
    from gateway.models.store import without_record
    from gateway.models.verify import refresh_times
    from gateway.models.verify import verify as verify_models

    settings, store = _settings_and_store()
    console = Console()

    def report(name: str, problems: list[str]) -> None:
        for problem in problems:
            console.print(
                f"[bold red]damaged[/] {escape(problem)}", highlight=False, soft_wrap=True
            )
        if not problems:
            console.print(f"[green]whole[/] {escape(name)}", highlight=False)
        elif name != STARTER:
            _report(f"to repair it, {how_to_obtain(store.root, name)}")

    downloaded = [name for name in names or [] if name != STARTER]
    with console.status("reading the files"):
        whole = True
        if downloaded or not names:
            whole = verify_models(store, downloaded, report)
        if not names or STARTER in names:
            problems = starter_problems(settings.models.starter)
            if problems is None:
                _report(f"{STARTER}: no checksum is recorded in {settings.models.starter}")
            else:
                report(STARTER, problems)
                whole = whole and not problems
    recorded, stray = store.read().models, [] if names else store.unrecorded()
    if stray:
        _report(without_record(store, stray))
    elif not recorded:
        _report(f"nothing is downloaded in {store.root}")
    if not whole:
        raise typer.Exit(EXIT_FAILURE)
    if recorded and os.access(store.root, os.W_OK):
        refresh_times(store)


@app.command()
def remove(
    names: Annotated[list[str], typer.Argument(help="Models to delete.", show_default=False)],
) -> None:
    """Delete downloaded models, or what an unfinished download or installation left.

    Example: `voice-gateway models remove whisper-large-v3`
    """
    from gateway.models.verify import remove as remove_model

    _, store = _settings_and_store()
    used = {name for _, name in _used()}
    for name in names:
        remove_model(store, name)
        note = "; the settings still name it" if name in used else ""
        _report(f"{name} is removed{note}")


def _obtain(
    store: ModelStore, names: list[str], bundle: Path | None, from_bundle: Path | None
) -> tuple[list[str], dict[str, str]]:
    """Names of the models to use from now on, and the settings that go with them."""
    from gateway.models.bundle import install, pack, require_target
    from gateway.models.catalogue import load_catalogue
    from gateway.models.download import download as download_models

    if from_bundle:
        installed = install(store, from_bundle, _report)
        return list(installed.models), installed.settings
    catalogue = load_catalogue(store.root)
    models, extra = catalogue.choose(names), catalogue.settings_of(names)
    if bundle:
        require_target(bundle, store)
        _require_room(store, bundle, models)
    if models:
        download_models(store, _hub(), models, _report)
    if bundle:
        pack(store, list(models), bundle, _report, extra)
        _report(f"packed into {bundle}; on the other machine: --from-bundle {bundle.name}")
    return list(models), extra


def _require_room(store: ModelStore, bundle: Path, models: Mapping[str, CatalogueModel]) -> None:
    """Before hours of transfer: room for what is to be packed, and where the models come onto the
    same disk, for what is to be downloaded.
    """
    from gateway.models.bundle import require_room
    from gateway.models.disk import same_disk

    placed = store.read().models
    missing = sum(model.size for name, model in models.items() if name not in placed)
    packed = sum(placed[name].size for name in (models or placed) if name in placed) + missing
    together = same_disk(bundle.absolute().parent, store.root.absolute())
    require_room(bundle, packed + missing * together)


def _hub() -> Hub:
    # The gateway reports to nobody; huggingface_hub reads this when it is imported.
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    if not os.environ.get("HF_ENDPOINT", "").strip():
        os.environ.pop("HF_ENDPOINT", None)  # set to nothing means not set
    try:
        from gateway.models.hub import Hub
    except ValueError as error:
        raise ModelError(
            "HF_ENDPOINT, or another HF_ variable of the environment, has a value that cannot be "
            f"used ({error}); correct or unset it"
        ) from error
    return Hub()


def _use(
    settings: Settings, store: ModelStore, names: list[str], extra: dict[str, str], write: bool
) -> None:
    from gateway.models.env import env_line, env_values, write_env
    from gateway.models.store import locked_models
    from gateway.settings import SUPPORTED_LANGUAGES

    models = locked_models(store, names)
    for name, model in models.items():
        if model.kind == "tts" and not set(model.languages) & set(SUPPORTED_LANGUAGES):
            _report(
                f"{name} speaks {' '.join(model.languages)}, and the gateway serves "
                f"{' '.join(SUPPORTED_LANGUAGES)}: TTS_VOICE does not name it"
            )
    values = env_values(settings, models, extra, _ENV_FILE)
    if not values:
        return
    if write:
        write_env(_ENV_FILE, values)
    _report("written to .env:" if write else "to use them, set in .env (or add --write-env):")
    for key, value in values.items():
        # Plain, so that it can be copied or piped.
        print(env_line(key, value))


def _settings_and_store() -> tuple[Settings, ModelStore]:
    from gateway.models.env import unchecked_settings
    from gateway.models.store import ModelStore

    settings = unchecked_settings(_ENV_FILE)
    return settings, ModelStore(settings.models.root)


def _used() -> set[tuple[Kind, str]]:
    """Kinds and names of the models that the settings use; none, and told, when they are wrong."""
    from gateway.models.check import models_in_use
    from gateway.settings import load_settings

    try:
        return models_in_use(load_settings(_ENV_FILE))
    except ConfigError as error:
        _report(f"which models are in use is not known: {error}")
        return set()


def _report(line: str) -> None:
    Console(stderr=True).print(escape(line), highlight=False, soft_wrap=True)
