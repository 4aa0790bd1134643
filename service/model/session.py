"""A loaded model: a session on the provider that was asked for, or none."""

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from service.errors import ModelPackageError
from service.machine import usable_cores
from service.model.package import ModelFile, ModelPackage
from service.model.prediction import Prediction, Run
from service.model.providers import EXECUTION_PROVIDERS, Provider, runs_on_processor
from service.model.runtimes import load

_GPU_BATCHES: Final = (1, 2, 4, 8, 16)
"""Few sizes, since a GPU looks for its best way anew for each."""


class Session:
    """A loaded model on one provider.

    Attributes:
        file: which of the package's files runs.
        provider: what holds the model.
        lanes: how many threads may run it at once.
        batches: how many pictures it takes at once, ascending; another number is filled up to the next of these.
    """

    def __init__(
        self,
        run: Run,
        file: ModelFile,
        provider: Provider = "cpu",
        *,
        lanes: int = 1,
        batches: tuple[int, ...] = (1,),
    ) -> None:
        self._run = run
        self.file = file
        self.provider = provider
        self.lanes = lanes
        self.batches = batches

    @property
    def execution_provider(self) -> str:
        """The provider as manifests and answers call it."""
        return EXECUTION_PROVIDERS[self.provider]

    @property
    def on_processor(self) -> bool:
        """Whether the processor does the arithmetic."""
        return runs_on_processor(self.provider)

    def run(self, pixels: npt.NDArray[np.uint8]) -> list[Prediction]:
        """Predict for prepared pictures, `(count, height, width)` `uint8`."""
        predictions: list[Prediction] = []
        while len(predictions) < len(pixels):
            left = pixels[len(predictions) :]
            size = next((batch for batch in self.batches if batch >= len(left)), self.batches[-1])
            part = left[:size]
            missing = np.zeros((size - len(part), *part.shape[1:]), np.uint8)
            outputs = self._run(np.concatenate([part, missing]) if len(missing) else part)
            predictions += [
                Prediction(tooth, foreground, confidence, float(distance), tuple(view.tolist()), evidence)
                for tooth, foreground, confidence, distance, view, evidence in zip(*outputs, strict=True)
            ][: len(part)]
        return predictions

    def close(self) -> None:
        """Let the model go, whose memory is freed at once; what it was can still be asked."""
        self._run = _refuse


def _refuse(_: npt.NDArray[np.uint8]) -> list[npt.NDArray[Any]]:
    raise RuntimeError("The session has been closed.")


def open_session(
    package: ModelPackage, provider: Provider, threads: int | None = None, spinning: bool = True, lanes: int = 1
) -> Session:
    """Load a package's model on the provider that is asked for.

    Args:
        threads: how many the processor's arithmetic uses; None takes what this process may use.
        spinning: whether they wait for their next piece of work awake, which is sooner and takes the time from others.
        lanes: how many callers are to run it at once, each with its share of the threads.

    Raises:
        ProviderUnavailable: the provider is not installed, or it is and cannot run here.
        ModelPackageError: the package has no file for the provider, or the file cannot be loaded.
    """
    file = package.file_for(EXECUTION_PROVIDERS[provider])
    if file is None:
        raise ModelPackageError(f"{package.folder} has no file for {EXECUTION_PROVIDERS[provider]}.")
    run = load(package.folder / file.path, provider, threads or usable_cores(), spinning, lanes)
    batches = (1,) if runs_on_processor(provider) else _GPU_BATCHES
    return Session(run, file, provider, lanes=lanes, batches=batches)


def open_lanes(package: ModelPackage, session: Session, count: int) -> Session:
    """The same model with a thread of its own for each of several pictures at once.

    Reading one picture with every core is soonest, yet costs more of their time than reading each with one core.
    """
    return open_session(package, session.provider, count, spinning=False, lanes=count)
