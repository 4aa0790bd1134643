"""A run's configuration: what is refused, by name, and that those in the repository can be used."""

import re
from pathlib import Path

import pytest
import yaml

from docs.configuration_keys import configuration
from tests.training.drawn import drawn_config
from training.ablation import Ablation
from training.config import ConfigError, load_config

TRAINING = Path(__file__).resolve().parents[2] / "training"
CONFIGS = sorted((TRAINING / "configs").glob("*.yaml"))
ABLATIONS = sorted((TRAINING / "ablations").glob("*.yaml"))

PHASES = [
    {"height": 64, "width": 128, "epochs": 3, "batch": 2},
    {"height": 128, "width": 256, "epochs": 2, "batch": 1},
]

PLATEAU = {"name": "plateau", "factor": 0.5, "patience": 5}


def write(folder, **changes):
    return drawn_config(folder / "run.yaml", **{"phases": PHASES, **changes})


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.name)
def test_a_configuration_of_the_repository_can_be_used_and_has_its_files_name(path):
    assert load_config(path).name == path.stem


@pytest.mark.parametrize("path", ABLATIONS, ids=lambda path: path.name)
def test_an_ablation_of_the_repository_can_be_run(path):
    ablation = Ablation.model_validate(yaml.safe_load(path.read_text()))
    assert len(ablation.configs()) == len(ablation.seeds) * (1 + len(ablation.changes))


def test_the_repository_holds_the_recipe_of_the_package_that_ships(package):
    assert package.manifest.training.recipe in {path.stem for path in CONFIGS}


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"epoch": 3}, "epoch"),
        ({"optimiser": {"name": "adam", "learning_rate": 0.001, "momentum": 0.9}}, "optimiser.momentum"),
        ({"augmentation": {"flip": 0.5}}, "augmentation.flip"),
        ({"data": {"kind": "pairs", "folder": "x", "images": "y"}}, "data.pairs.images"),
    ],
)
def test_an_unknown_key_is_refused_with_its_name(tmp_path, changes, key):
    with pytest.raises(ConfigError, match=rf"run\.yaml cannot be used: {key}: Extra inputs"):
        load_config(write(tmp_path, **changes))


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"phases": []}, "phases"),
        ({"phases": [{"height": 100, "width": 128, "epochs": 1, "batch": 1}]}, "phases.0.height"),
        ({"phases": [{"height": 64, "width": 128, "epochs": 0, "batch": 1}]}, "phases.0.epochs"),
        ({"optimiser": {"name": "adam", "learning_rate": 0}}, "optimiser.learning_rate"),
        ({"optimiser": {"name": "sgd", "learning_rate": 0.1}}, "optimiser.name"),
        ({"scheduler": {**PLATEAU, "factor": 1.5}}, "scheduler.plateau.factor"),
        ({"augmentation": {"mirror": 1.1}}, "augmentation.mirror"),
        ({"average_decay": 1.0}, "average_decay"),
        ({"network": {"classes": 5}}, "network.classes"),
        ({"name": "../run"}, "name"),
    ],
)
def test_a_value_out_of_range_is_refused_with_its_key(tmp_path, changes, key):
    with pytest.raises(ConfigError, match=rf"run\.yaml cannot be used: {key}:"):
        load_config(write(tmp_path, **changes))


def test_a_plateau_schedule_needs_a_validation_after_each_epoch(tmp_path):
    with pytest.raises(ConfigError, match="validate_every_epochs must be 1"):
        load_config(write(tmp_path, scheduler=PLATEAU, validate_every_epochs=2))
    assert load_config(write(tmp_path, scheduler=PLATEAU, validate_every_epochs=1)).scheduler.patience == 5


def test_the_last_epoch_is_one_that_is_validated(tmp_path):
    with pytest.raises(ConfigError, match=r"5 epochs, validated every 2, .* must be a multiple of validate"):
        load_config(write(tmp_path, validate_every_epochs=2))
    assert load_config(write(tmp_path, validate_every_epochs=5)).epochs == 5


def test_single_teeth_are_painted_over_only_where_they_have_numbers(tmp_path):
    removing = {"remove_teeth": 0.1}
    with pytest.raises(ConfigError, match=r"augmentation\.remove_teeth .* must be 0 where network\.classes is 2"):
        load_config(write(tmp_path, augmentation=removing, network={"classes": 2}))
    assert load_config(write(tmp_path, augmentation=removing)).augmentation.remove_teeth == 0.1
    assert load_config(write(tmp_path, network={"classes": 2})).network.classes == 2


def test_a_file_that_is_not_there_or_is_no_yaml_is_refused_by_its_name(tmp_path):
    with pytest.raises(ConfigError, match=r"absent\.yaml"):
        load_config(tmp_path / "absent.yaml")
    broken = tmp_path / "broken.yaml"
    broken.write_text("name: [")
    with pytest.raises(ConfigError, match=r"broken\.yaml is not YAML"):
        load_config(broken)
    with pytest.raises(ConfigError, match=r"cannot be read: .* a YAML file is wanted"):
        load_config(tmp_path)
    foreign = tmp_path / "foreign.yaml"
    foreign.write_bytes("# Zähne\n".encode("latin-1"))
    with pytest.raises(ConfigError, match=r"foreign\.yaml is not UTF-8"):
        load_config(foreign)


@pytest.mark.parametrize("twice", ["seed: 1\nseed: 2\n", "repeat: {5: 2, '5': 3}\n"], ids=["on top", "within"])
def test_a_key_that_stands_twice_is_refused_with_its_line(tmp_path, twice):
    path = write(tmp_path)
    path.write_text(path.read_text() + twice)
    with pytest.raises(ConfigError, match=r"the key (seed|5) stands here again; keep one\s+in .*line \d+"):
        load_config(path)


def test_a_tilde_is_the_home_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    config = load_config(write(tmp_path, data={"kind": "pairs", "folder": "~/clinic"}, begin_with="~/runs/one"))
    assert (config.data.folder, config.begin_with) == (tmp_path / "clinic", tmp_path / "runs/one")


def test_every_key_has_its_meaning_on_the_page():
    rows = re.findall(r"^\| `.* \|$", configuration(), re.MULTILINE)
    assert len(rows) > 60
    assert [row for row in rows if row.endswith("|  |")] == []


def test_categories_to_repeat_may_be_written_as_numbers(tmp_path):
    assert load_config(write(tmp_path, repeat={5: 2, "10": 3})).repeat == {"5": 2, "10": 3}


def test_each_epoch_belongs_to_its_phase(tmp_path):
    config = load_config(write(tmp_path))
    assert config.epochs == 5
    assert [config.phase(epoch).height for epoch in range(7)] == [64, 64, 64, 128, 128, 128, 128]
