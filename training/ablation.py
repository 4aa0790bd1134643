"""One recipe and what becomes of it with each of its parts changed: trained one after the other, then compared."""

from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from training.compare import compare, find_changes, refuse_other_pictures, refuse_repeated
from training.config import Config, ConfigError, read_yaml, tell_faults
from training.tables import refuse_markdown
from training.train import train_or_go_on


class Ablation(BaseModel):
    """A recipe and the changes to try, one at a time.

    Attributes:
        recipe: a run's configuration; its name is the baseline's, and begins those of the others.
        changes: by name, what is put in the recipe's place, as deep as it goes; a map is merged, all else replaced, and
            so is a map of another `name` or `kind`, such as another scheduler's.
        seeds: of each run.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    recipe: dict[str, Any]
    changes: dict[str, dict[str, Any]]
    seeds: tuple[int, ...] = Field(default=(0,), min_length=1)

    @field_validator("seeds")
    @classmethod
    def _each_once(cls, seeds: tuple[int, ...]) -> tuple[int, ...]:
        if len(set(seeds)) < len(seeds):
            raise ValueError(f"a seed stands twice in {list(seeds)}; a second run of it tells nothing more")
        return seeds

    def configs(self) -> list[Config]:
        """The baseline and each change with the first seed, then with the next one."""
        changes: dict[str, dict[str, Any]] = {"": {}, **self.changes}
        return [
            Config.model_validate(
                {
                    **_merge(self.recipe, change),
                    "seed": seed,
                    "name": "-".join(filter(None, (str(self.recipe["name"]), name, f"seed-{seed}"))),
                }
            )
            for seed in self.seeds
            for name, change in changes.items()
        ]


def ablate(path: Path, runs: Path, out: Path) -> dict[str, Any]:
    """Train the recipe and each change of it, or go on where they were stopped; then write the table of `compare`.

    Args:
        path: the YAML file of an `Ablation`.
        runs: folder of the runs.
        out: the table's JSON file; the Markdown file has its name with another ending.

    Raises:
        ConfigError, CheckpointError, DataError: a configuration, run or data set cannot be used, or a change has other
            validation pictures, changes nothing, or is another one once more; a seed is named twice.
        SetupError: `out` ends in `.md`.
    """
    refuse_markdown(out)
    try:
        ablation = Ablation.model_validate(read_yaml(path))
        configs = ablation.configs()
    except FileNotFoundError as error:
        raise ConfigError(f"There is no file {path}.") from error
    except ValidationError as error:
        raise ConfigError(f"{path} holds no recipe with changes that can be run: {tell_faults(error)}.") from error
    except (OSError, UnicodeDecodeError, yaml.YAMLError, KeyError) as error:
        raise ConfigError(f"{path} holds no recipe with changes that can be run: {error}") from error
    recipe, *changed = configs[: 1 + len(ablation.changes)]
    for config in changed:
        if not find_changes(config, recipe):
            raise ConfigError(
                f"{path}: {config.name} changes nothing of the recipe; leave it out, or change something."
            )
    by_name = {config.name: config for config in configs}
    refuse_other_pictures(by_name)
    refuse_repeated(by_name)
    return compare(
        [train_or_go_on(config, runs) for config in configs],
        out,
        command=f"panoseg ablate {path} --runs {runs} --out {out}",
    )


def _merge(recipe: dict[str, Any], change: dict[str, Any]) -> dict[str, Any]:
    merged = dict(recipe)
    for key, value in change.items():
        before: Any = merged.get(key)
        deeper = isinstance(value, dict) and isinstance(before, dict) and not _is_of_another_kind(value, before)
        merged[key] = _merge(before, value) if deeper else value
    return merged


def _is_of_another_kind(change: dict[str, Any], recipe: dict[str, Any]) -> bool:
    """Whether a map is of another scheduler, optimiser or kind of data, which has no use for the recipe's keys."""
    return any(key in change and change[key] != recipe.get(key) for key in ("name", "kind"))
