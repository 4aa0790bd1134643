"""Everything that can be set, once: as `PANOSEG_…` in the environment or as an option of `panoseg serve`."""

import os
from pathlib import Path
from typing import Literal

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from service.model.providers import Provider
from service.radiograph import Limits

_REPOSITORY = Path(__file__).resolve().parent.parent


class Settings(BaseSettings):
    """The settings of the service; each description is also its help and its line in `docs/settings.md`."""

    model_config = SettingsConfigDict(env_prefix="PANOSEG_", env_ignore_empty=True, frozen=True, allow_inf_nan=False)

    host: str = Field(default="127.0.0.1", description="Address to listen on; 0.0.0.0 for every interface.")
    port: int = Field(default=8000, ge=0, le=65535, description="Port to listen on; 0 takes a free one.")
    models: Path = Field(
        default=_REPOSITORY / "models", description="Folder of model packages, <name>/<version>/manifest.json."
    )
    model: str | None = Field(
        default=None,
        description="Model to run, <name> or <name>/<version>; where not set, the newest version of the first name in "
        "the alphabet.",
    )
    provider: Literal["auto", Provider] = Field(
        default="auto",
        description="What runs the model: auto, cpu, cuda, tensorrt or openvino; all but auto insist on it.",
    )
    threads: int | None = Field(
        default=None,
        ge=1,
        description="Threads of the model's arithmetic, and pictures that it reads at once where many wait; "
        "where not set, as tuned, else as many as the process may use.",
    )
    spinning: bool | None = Field(
        default=None,
        description="Whether those threads busy-wait between layers: faster, but takes processor time from all else; "
        "where not set, as tuned, else yes.",
    )
    tuning: Path = Field(
        # Not Path.home(), which raises where there is none.
        default=Path(os.path.expanduser("~/.config/panoseg/tuning.json")),  # noqa: PTH111
        description="What `panoseg tune` measured and writes; used where it is for this machine and model.",
    )
    max_requests: int = Field(default=16, ge=1, description="Requests worked on or waiting at once; `busy` beyond it.")
    timeout_s: float = Field(default=10.0, gt=0, description="Seconds that a request may take before it is dropped.")
    max_upload_mb: float = Field(default=64.0, gt=0, description="Largest upload, in MB (10^6 bytes).")
    max_megapixels: float = Field(default=40.0, gt=0, description="Largest picture, in millions of pixels.")
    latency_target_ms: float | None = Field(
        default=None,
        gt=0,
        description="Time within which a radiograph should be answered, from the last byte of its upload on; "
        "/v1/latency tells the share that is. Where not set, 500 on a processor and 50 on a GPU.",
    )
    reload: bool = Field(
        default=False, description="Whether POST /v1/models/reload may replace the model; SIGHUP always may."
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="Least severity that is logged, as JSON lines on standard error."
    )

    @property
    def limits(self) -> Limits:
        """What is refused before a picture is decoded."""
        return Limits(max_megapixels=self.max_megapixels)


def unknown_variables() -> list[str]:
    """Variables of the environment that look like settings and are none, such as misspelt ones."""
    prefix = Settings.model_config["env_prefix"]
    variables = (name for name in sorted(os.environ) if name.startswith(prefix))
    return [name for name in variables if name.removeprefix(prefix).lower() not in Settings.model_fields]
