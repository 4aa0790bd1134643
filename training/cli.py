"""The whole command line: the service's commands, and those that make a model where the training extra is installed."""

from pathlib import Path
from typing import Annotated

import typer

from service.cli import app, plain_errors
from service.errors import SetupError

__all__ = ["app"]

_Runs = Annotated[Path, typer.Option(help="Folder of training runs.")]
_Models = Annotated[Path, typer.Option(help="Folder of model packages.")]


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


if __name__ == "__main__":
    app()
