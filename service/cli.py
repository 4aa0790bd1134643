"""The command line of the service: serve, segment files without a server, list models, doctor, tune, triton."""

import json
import tempfile
from collections.abc import Callable, Sequence
from functools import wraps
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any, Final, ParamSpec, TypeVar

import typer
from pydantic import ValidationError
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from typer.core import TyperGroup
from typing_extensions import override

from service.api.schemas import segment_answer, to_json
from service.doctor import examine
from service.errors import PanosegError, RequestError, SetupError, TooLarge
from service.files import answers_of, find_files, name_answers, refuse_to_write_over
from service.model.package import Manifest, choose_package, lack_of_packages, read_manifests
from service.segmenter import Segmenter, Wanted
from service.serve import serve as run_service
from service.settings import Settings
from service.ticket import Ticket
from service.triton import write_triton_repository
from service.tune import describe as describe_way
from service.tune import tune as measure


class _Commands(TyperGroup):
    """Tells of an option or variable that is set to what it cannot be in one line, without typer's box around it."""

    @override
    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except typer.BadParameter as error:
            _print_fault(error.format_message())
            raise typer.Exit(_FAULT) from error


app: Final = typer.Typer(
    cls=_Commands,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)

_FAULT: Final = 2
"""Exit code for whatever `PanosegError` tells."""

_PASSED_OVER: Final = 1
"""Exit code where some of the files that were given have no answer."""

_P = ParamSpec("_P")
_R = TypeVar("_R")

_errors: Final = Console(stderr=True)


def plain_errors(command: Callable[_P, _R]) -> Callable[_P, _R]:
    """Have a command print a foreseen fault as one line and exit with code 2."""

    @wraps(command)
    def guarded(*args: _P.args, **kwargs: _P.kwargs) -> _R:
        try:
            return command(*args, **kwargs)
        except PanosegError as error:
            fault = str(error)
        except OSError as error:
            fault = f"{error.filename or 'A file'} cannot be used: {error.strerror or error}."
        except ValidationError as error:
            fault = "; ".join(f"{each['loc'][0]} is set to {each['input']!r}: {each['msg']}" for each in error.errors())
        _print_fault(fault)
        raise typer.Exit(_FAULT)

    return guarded


def _print_fault(message: str) -> None:
    _errors.print(f"panoseg: {message}", style="red", markup=False, soft_wrap=True)


def _option(name: str) -> Any:  # noqa: ANN401 - typer's own type
    field = Settings.model_fields[name]
    default = "not set" if field.default is None else str(field.default)
    return typer.Option(help=field.description, envvar=f"PANOSEG_{name.upper()}", show_default=default)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"panoseg {version('panoseg')}")
        raise typer.Exit


@app.callback()
def panoseg(
    _: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    """Finds and numbers the teeth on panoramic dental radiographs. Not a medical device."""


@app.command()
@plain_errors
def serve(
    host: Annotated[str | None, _option("host")] = None,
    port: Annotated[int | None, _option("port")] = None,
    models: Annotated[Path | None, _option("models")] = None,
    model: Annotated[str | None, _option("model")] = None,
    provider: Annotated[str | None, _option("provider")] = None,
    threads: Annotated[int | None, _option("threads")] = None,
    spinning: Annotated[bool | None, _option("spinning")] = None,
    tuning: Annotated[Path | None, _option("tuning")] = None,
    max_requests: Annotated[int | None, _option("max_requests")] = None,
    timeout_s: Annotated[float | None, _option("timeout_s")] = None,
    max_upload_mb: Annotated[float | None, _option("max_upload_mb")] = None,
    max_megapixels: Annotated[float | None, _option("max_megapixels")] = None,
    latency_target_ms: Annotated[float | None, _option("latency_target_ms")] = None,
    reload: Annotated[bool | None, _option("reload")] = None,
    log_level: Annotated[str | None, _option("log_level")] = None,
) -> None:
    """Run the service, with its page at /, until it is stopped (Ctrl-C or SIGTERM)."""
    options = {name: value for name, value in locals().items() if value is not None}
    if failed := run_service(Settings(**options)):
        _print_fault(failed)
        raise typer.Exit(_FAULT)


@app.command()
@plain_errors
def segment(
    files: Annotated[
        list[Path],
        typer.Argument(
            help="Radiographs (PNG, JPEG, TIFF, BMP or DICOM), or folders: all files right in them but hidden ones.",
            readable=False,  # not asked of each by typer, which would stop at the first that may not be read
        ),
    ],
    out: Annotated[Path, typer.Option(help="Folder for the answers.")],
    opacity: Annotated[float, typer.Option(min=0, max=1, help="Of the overlay's colours.")] = 0.4,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Write over files that are in the way of answers.")
    ] = False,
) -> None:
    """Segment files without a server: of each a .json, a .mask.png and an .overlay.jpg, as the service would answer.

    Answers are called as their file is. Where files would share a name, it
    holds what tells them apart: x.png.json and x.dcm.json, or, of patients'
    folders, a-pano.json and b-pano.json.

    Exit codes:
    0: every file has its answers.
    1: some files or folders could not be read, and are named; all others are done.
    2: the run could not start, or an answer could not be written.
    """
    settings = Settings()
    found, faults = find_files(files)
    for path, fault in faults.items():
        _print_passed_over(_errors, path, fault)
    names = name_answers(found)
    refuse_to_write_over(found, [answer for name in names.values() for answer in answers_of(out, name)], overwrite)
    _try_folder(out)
    segmenter = Segmenter(choose_package(settings.models, settings.model), settings)
    for warning in segmenter.model.warnings:
        _errors.print(f"panoseg: {warning}", style="yellow", markup=False, soft_wrap=True)
    done = 0
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=_errors) as progress:
        for path, name in progress.track(names.items(), description="segmenting"):
            ticket = Ticket(settings.timeout_s)
            try:
                answer = segmenter.segment(
                    _read(path, settings.max_upload_mb), Wanted("binary", "jpeg", opacity), ticket
                )
            except RequestError as error:
                _print_passed_over(progress.console, path, str(error))
                continue
            except OSError as error:
                _print_passed_over(progress.console, path, f"It cannot be read: {error.strerror or error}.")
                continue
            content = segment_answer(segmenter, answer, ticket.clock.read_ms(), pictures=False)
            assert answer.mask is not None
            assert answer.overlay is not None
            contents = (to_json(content, for_people=True), answer.mask, answer.overlay)
            for file, data in zip(answers_of(out, name), contents, strict=True):
                file.write_bytes(data)
            done += 1
    segmenter.close()
    passed_over = len(found) - done + len(faults)
    Console().print(f"{done} of {done + passed_over} segmented, in {out}", markup=False)
    if passed_over:
        raise typer.Exit(_PASSED_OVER)


def _read(path: Path, max_mb: float) -> bytes:
    if (size_mb := path.stat().st_size / 1e6) > max_mb:
        raise TooLarge(f"It has {size_mb:.0f} MB, and PANOSEG_MAX_UPLOAD_MB allows {max_mb:g} MB.")
    return path.read_bytes()


def _print_passed_over(console: Console, path: Path, why: str) -> None:
    console.print(f"{path}: {why}", style="red", markup=False, soft_wrap=True)


@app.command()
@plain_errors
def models(as_json: Annotated[bool, typer.Option("--json", help="Print the manifests as JSON.")] = False) -> None:
    """List the model packages that can be served."""
    settings = Settings()
    packages, faults = read_manifests(settings.models)
    if not packages and not faults:
        raise lack_of_packages(settings.models)
    _list_models([manifest for _, manifest in packages], as_json)
    for fault in faults:
        _print_fault(fault)
    if faults:
        raise typer.Exit(_FAULT)


def _list_models(manifests: Sequence[Manifest], as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps([manifest.model_dump(mode="json") for manifest in manifests], indent=1))
        return
    table = Table("model", "version", "input", "files", "licence")
    for manifest in manifests:
        size = f"{manifest.input.width} x {manifest.input.height}"
        files = ", ".join(f"{file.path} ({file.precision})" for file in manifest.files)
        table.add_row(manifest.name, manifest.version, size, files, manifest.licence)
    Console().print(table)


@app.command()
@plain_errors
def doctor() -> None:
    """Show what would run here, on what, and why not on something else; exit code 2 where nothing would."""
    topic, faults = "", 0
    for fact in examine(Settings()):
        if fact.topic != topic:
            topic = fact.topic
            typer.echo(f"\n{topic}")
        typer.echo(f"  {fact.name:<18} {fact.value}")
        faults += fact.fault
    if faults:
        raise typer.Exit(_FAULT)


@app.command()
@plain_errors
def tune(rounds: Annotated[int, typer.Option(min=1, help="Requests that each way answers.")] = 15) -> None:
    """Measure how the model runs soonest on this machine's processor, and write it down for the service to use."""
    settings = Settings()
    _try_folder(settings.tuning.parent)
    result = measure(choose_package(settings.models, settings.model), settings, rounds, typer.echo)
    settings.tuning.write_text(result.model_dump_json(indent=1) + "\n", encoding="utf-8")
    typer.echo(f"{describe_way(result.best)}; written to {settings.tuning}. Restart or reload the service.")


@app.command()
@plain_errors
def triton(
    out: Annotated[Path, typer.Argument(help="The model repository, a folder.")],
    gpu: Annotated[bool, typer.Option("--gpu", help="To run on a GPU instead of a processor.")] = False,
) -> None:
    """Write the model for NVIDIA's Triton Inference Server: the graph and its configuration."""
    settings = Settings()
    typer.echo(write_triton_repository(choose_package(settings.models, settings.model), out, gpu))


def _try_folder(folder: Path) -> None:
    """Make a folder where it is not there, and see that files can be written into it before any work is done.

    Raises:
        SetupError: they cannot.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        raise SetupError(f"Nothing can be written into {folder}: {error.strerror}.") from error


if __name__ == "__main__":
    app()
