"""The whole command line: the service's commands, and those that make a model where the training extra is installed."""

import json
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from rich.console import Console
from rich.table import Table

from service.cli import app, plain_errors
from service.errors import SetupError

__all__ = ["app"]

_Runs = Annotated[Path, typer.Option(help="Folder of training runs.")]
_Models = Annotated[Path, typer.Option(help="Folder of model packages.")]
_Config = Annotated[
    Path, typer.Option(help="The YAML file whose data are meant, such as training/configs/shipped.yaml.")
]
_Package = Annotated[Path, typer.Argument(help="The package, models/<name>/<version>.")]
_Split = Annotated[Literal["val", "test"], typer.Option(help="Which pictures.")]


def _need_training() -> None:
    try:
        import lightning  # noqa: F401
        import segmentation_models_pytorch  # noqa: F401
    except ImportError as error:
        raise SetupError(
            f"This command makes models and needs {error.name}, not installed here: pip install 'panoseg[training]'."
        ) from error


@app.command()
@plain_errors
def train(
    config: Annotated[Path, typer.Option(help="The run's YAML file, such as training/configs/shipped.yaml.")],
    resume: Annotated[bool, typer.Option("--resume", help="Go on where the run was stopped.")] = False,
    runs: _Runs = Path("runs"),
) -> None:
    """Train a model; the run's folder gets its log and checkpoints."""
    _need_training()
    from training.train import train as run

    typer.echo(run(config, runs, resume=resume))


@app.command()
@plain_errors
def export(
    run: Annotated[Path, typer.Argument(help="The run's folder, runs/<name>.")],
    name: Annotated[str, typer.Option(help="Of the package.")],
    version: Annotated[str, typer.Option(help="Of the package; one that is there already is never written over.")],
    data: Annotated[str, typer.Option(help="The training data by name, with their citation.")],
    data_licence: Annotated[str, typer.Option(help="Of the training data.")],
    licence: Annotated[str, typer.Option(help="Of the weights.")] = "Apache-2.0",
    models: _Models = Path("models"),
) -> None:
    """Write a model package from a training run."""
    _need_training()
    from training.export import Provenance
    from training.export import export as write

    typer.echo(write(run, models, name, version, Provenance(licence, data, data_licence)))


@app.command()
@plain_errors
def calibrate(package: _Package, config: _Config) -> None:
    """Fit a package's confidences anew to the val pictures of a configuration; its model file stays as it is."""
    _need_training()
    from training.recalibrate import recalibrate

    typer.echo(json.dumps(recalibrate(package, config).evidence(), indent=1))


@app.command()
@plain_errors
def evaluate(
    package: _Package,
    config: _Config,
    split: Annotated[
        Literal["val", "test"] | None, typer.Option(help="Which pictures; test where not given, val with --stress.")
    ] = None,
    stress: Annotated[bool, typer.Option("--stress", help="What known changes of the pictures cost.")] = False,
) -> None:
    """Measure a model package as it ships, and write its metrics.json."""
    _need_training()
    if stress:
        from training.stress import stress as measure_stress

        Console().print(_stress_figures(measure_stress(package, config, split or "val")))
        return
    from training.evaluate import evaluate as measure

    Console().print(_main_figures(measure(package, config, split or "test"), split or "test"))


@app.command()
@plain_errors
def report(
    package: _Package,
    config: _Config,
    run: Annotated[Path | None, typer.Option(help="The run that made it, for its learning curves.")] = None,
    split: _Split = "test",
    out: Annotated[Path, typer.Option(help="The page's file.")] = Path("out/report.html"),
) -> None:
    """Write one HTML page with a package's figures, its learning curves and pictures that it read."""
    _need_training()
    from training.report import report as write

    typer.echo(write(package, run, config, split, out))


@app.command()
@plain_errors
def failures(
    package: _Package,
    config: _Config,
    split: _Split = "test",
    out: Annotated[
        Path, typer.Option(help="The folder of what is drawn; patients' pictures, not to be shared.")
    ] = Path("out/failures"),
) -> None:
    """Draw the ten worst pictures of a split for someone to look at, with the failures.yaml for the sentences."""
    _need_training()
    from training.failures import draw_failures

    for path in draw_failures(package, config, split, out):
        typer.echo(path)


def _main_figures(summary: dict[str, Any], split: str) -> Table:
    from training.report import MEASURES, find_figure

    table = Table(f"{split}, {summary['pictures']} pictures", "figure", "95 % interval")
    for measure in MEASURES:
        figure = find_figure(summary, measure.path)
        interval = " to ".join(f"{end:.4f}" for end in figure["interval"] or ())
        table.add_row(measure.name, f"{figure['mean']:.4f}", interval)
    return table


def _stress_figures(summary: dict[str, Any]) -> Table:
    table = Table(
        f"{summary['split']}, {summary['pictures']} pictures", "Dice lost", "F1 lost", "found", "within limit"
    )
    for change in summary["changes"]:
        found = ", ".join(f"{code} {share:.0%}" for code, share in change["findings"].items())
        lost = [f"{change[name]['mean']:+.4f}" for name in ("dice_loss", "tooth_f1_loss")]
        table.add_row(change["meaning"], *lost, found, "yes" if change["holds"] else "NO")
    return table


if __name__ == "__main__":
    app()
