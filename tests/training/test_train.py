"""A whole training run on drawn radiographs: it learns, and a run that is killed goes on as if it had not been."""

import csv
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import yaml

from training.average import average
from training.checkpoint import BEST, LAST, CheckpointError, load_network
from training.compare import compare, to_markdown
from training.config import ConfigError, OneCycle, load_config
from training.data import DataError
from training.phantom import draw_samples
from training.task import DivergedError, ToothTask
from training.train import train

pytestmark = pytest.mark.usefixtures("one_thread")

REPOSITORY = Path(__file__).resolve().parents[2]

STEPS_AN_EPOCH = 5

CONFIG = {
    "name": "tiny",
    "seed": 3,
    "network": {"encoder": "timm-regnetx_002", "decoder_channels": [32, 16, 16, 8, 8], "classes": 2},
    "optimiser": {"name": "adamw", "learning_rate": 0.002},
    "augmentation": {"mirror": 0.5, "rotate": 5, "gamma": 0.3, "noise": 0.03},
    "precision": "fp32",
}

RECIPES = {
    # The recipe that ships, in small: two sizes, one cycle, an average of the weights, not every epoch validated.
    "one-cycle": {
        "phases": [
            {"height": 64, "width": 128, "epochs": 4, "batch": 2},
            {"height": 96, "width": 192, "epochs": 4, "batch": 2},
        ],
        "scheduler": {"name": "one-cycle"},
        "average_decay": 0.8,
        "validate_every_epochs": 2,
    },
    # The source experiment's.
    "plateau": {
        "phases": [{"height": 64, "width": 128, "epochs": 8, "batch": 2}],
        "scheduler": {"name": "plateau", "factor": 0.5, "patience": 1},
        "early_stopping": 20,
    },
}


@pytest.fixture(scope="module", params=RECIPES)
def recipe(request):
    return request.param


@pytest.fixture(scope="module")
def folder(tmp_path_factory, recipe):
    """Where the runs of one recipe lie; checkpoints are large, so it is cleared away."""
    folder = tmp_path_factory.mktemp("runs")
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory, write_drawn_pairs):
    """Drawn radiographs on disk, so that each of the runs need not draw them again."""
    folder = tmp_path_factory.mktemp("pictures")
    for split, count, seed in (("train", 10, 50), ("val", 2, 90)):
        write_drawn_pairs(folder / split, count, seed)
    return folder


@pytest.fixture(scope="module")
def config(folder, recipe, pictures):
    path = folder / "config.yaml"
    data = {"kind": "pairs", "folder": str(pictures)}
    path.write_text(yaml.safe_dump({**CONFIG, **RECIPES[recipe], "data": data}))
    return path


@pytest.fixture(scope="module")
def whole(folder, config):
    """A run from start to end."""
    return train(config, folder / "whole", resume=False)


@pytest.fixture(scope="module")
def killed(folder, config):
    """A run whose process was killed after two epochs, in the middle of the third."""
    runs = folder / "killed"
    process = subprocess.Popen(
        [sys.executable, "-m", "training.cli", "train", "--config", str(config), "--runs", str(runs)],
        cwd=REPOSITORY,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    while len(column(runs / "tiny", "train_loss")) < 2 and process.poll() is None:
        time.sleep(0.01)
    assert process.poll() is None, process.stderr.read().decode()
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    # What is asked of the resumed run is judged against the state that the killed one left.
    shutil.copy(runs / "tiny" / LAST, folder / "left.ckpt")
    return runs / "tiny"


@pytest.fixture(scope="module")
def left(folder, killed):
    """The checkpoint that the killed run left."""
    return torch.load(folder / "left.ckpt", weights_only=False)


@pytest.fixture(scope="module")
def resumed(config, killed, left):
    """The same run after it went on to its end."""
    return train(config, killed.parent, resume=True)


def rows(run):
    path = run / "log" / "metrics.csv"
    if not path.exists():
        return []
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def column(run, name):
    """What the log says of a figure, in order, by step."""
    return {int(row["step"]): float(row[name]) for row in rows(run) if row.get(name)}


def checkpoint(run, name=LAST):
    return torch.load(run / name, weights_only=False)


def state_of(content, callback):
    return next(state for key, state in content["callbacks"].items() if key.startswith(callback))


def assert_same(one, other):
    """Two nested states hold the same values, to the last bit."""
    assert type(one) is type(other)
    if isinstance(one, torch.Tensor):
        assert torch.equal(one, other)
    elif isinstance(one, dict):
        assert one.keys() == other.keys()
        for key in one:
            assert_same(one[key], other[key])
    elif isinstance(one, list | tuple):
        assert len(one) == len(other)
        for mine, theirs in zip(one, other, strict=True):
            assert_same(mine, theirs)
    else:
        assert one == other


def test_a_run_learns(whole):
    loss, dice = (list(column(whole, name).values()) for name in ("train_loss", "val_dice"))
    assert loss[-1] < 0.8 * loss[0]
    assert dice[-1] > dice[0]


def test_a_run_leaves_its_configuration_log_and_checkpoints(whole, config):
    assert sorted(path.name for path in whole.iterdir()) == [BEST, "config.yaml", LAST, "log"]
    assert (whole / "config.yaml").read_bytes() == config.read_bytes()


def test_a_killed_run_has_lost_no_epoch_but_the_one_under_way(left):
    # Killed as soon as the second epoch was logged, so that at most one more can have ended since.
    assert left["global_step"] in (2 * STEPS_AN_EPOCH, 3 * STEPS_AN_EPOCH)


def test_a_resumed_run_ends_with_the_weights_of_one_that_was_never_stopped(whole, resumed, left):
    one, other = checkpoint(whole), checkpoint(resumed)
    assert other["global_step"] > left["global_step"]
    assert one["global_step"] == other["global_step"]
    assert_same(one["state_dict"], other["state_dict"])


def test_a_resumed_run_ends_with_the_optimiser_schedule_and_average_of_one_that_was_never_stopped(whole, resumed):
    one, other = checkpoint(whole), checkpoint(resumed)
    for part in ("optimizer_states", "lr_schedulers", "current_model_state", "averaging_state"):
        assert (part in one) == (part in other)
        assert_same(one.get(part), other.get(part))
    for callback in ("WeightAveraging", "_StopInLastPhase"):
        if any(key.startswith(callback) for key in one["callbacks"]):
            assert_same(state_of(one, callback), state_of(other, callback))


def test_a_resumed_run_keeps_the_same_best_weights(whole, resumed, recipe):
    one, other = checkpoint(whole, BEST), checkpoint(resumed, BEST)
    assert one["global_step"] == other["global_step"]
    assert_same(one["state_dict"], other["state_dict"])
    # A later epoch is to be measured against the best one of its size, not against the last but one.
    states = checkpoint(resumed)["callbacks"].values()
    best = next(state["best_model_score"].item() for state in states if "best_k_models" in state and state["monitor"])
    begin = STEPS_AN_EPOCH * sum(phase["epochs"] for phase in RECIPES[recipe]["phases"][:-1])
    assert best == pytest.approx(min(loss for step, loss in column(resumed, "val_loss").items() if step >= begin))


@pytest.mark.parametrize("name", ["train_loss", "val_loss", "val_dice", "val_class_dice", "lr-AdamW"])
def test_the_log_of_a_resumed_run_is_that_of_one_that_was_never_stopped(whole, resumed, name):
    assert column(whole, name)
    assert column(resumed, name) == pytest.approx(column(whole, name))
    assert len(rows(resumed)) == len(rows(whole))


def test_a_finished_run_that_is_resumed_stays_as_it_is(config, whole, recipe):
    before = checkpoint(whole)["global_step"], rows(whole)
    # Its own copy of the configuration will do.
    train(whole / "config.yaml", whole.parent, resume=True)
    assert (checkpoint(whole)["global_step"], rows(whole)) == before


def test_a_run_that_is_there_already_is_not_begun_again(config, whole):
    with pytest.raises(ConfigError, match=r"tiny is there already; add --resume"):
        train(config, whole.parent, resume=False)


def test_a_run_is_not_resumed_with_another_configuration(tmp_path, config, whole):
    other = tmp_path / "other.yaml"
    other.write_text(config.read_text().replace("seed: 3", "seed: 4"))
    with pytest.raises(ConfigError, match=r"begun with another configuration \(seed: 3 → 4\); give"):
        train(other, whole.parent, resume=True)


def test_a_cycle_is_not_gone_on_with_over_more_steps_than_it_was_laid_over(recipe, whole, tmp_path):
    if recipe == "plateau":
        pytest.skip("a plateau is of any length")
    path = lengthen_elsewhere(whole, tmp_path, {"cross_entropy": 1.0}, epochs=2)
    with pytest.raises(ConfigError, match=r"was begun with more or fewer training pictures: \d+ steps in all, and now"):
        train(path, tmp_path, resume=True)


@pytest.fixture(scope="module")
def short(tmp_path_factory, pictures):
    """A run of one epoch."""
    folder = tmp_path_factory.mktemp("short")
    path = folder / "short.yaml"
    config = {**CONFIG, **RECIPES["plateau"], "data": {"kind": "pairs", "folder": str(pictures)}}
    path.write_text(yaml.safe_dump(config | {"phases": [{"height": 64, "width": 128, "epochs": 1, "batch": 5}]}))
    return train(path, folder, resume=False)


def lengthen_elsewhere(run, runs, loss, epochs=1):
    """Copies a run that has epochs more to go, as if it had always had another loss; returns its configuration."""
    shutil.copytree(run, runs / run.name)
    path = runs / run.name / "config.yaml"
    config = yaml.safe_load(path.read_text())
    config["phases"][0]["epochs"] += epochs
    path.write_text(yaml.safe_dump(config | {"loss": loss}))
    return path


def go_on_elsewhere(run, runs, loss):
    """Goes on with a copy of a run for one epoch more, as if it had always had another loss."""
    return train(lengthen_elsewhere(run, runs, loss), runs, resume=True)


def test_a_run_whose_folder_was_copied_still_knows_its_best_epoch(short, tmp_path):
    copied = go_on_elsewhere(short, tmp_path, {"cross_entropy": 1000.0})
    assert checkpoint(copied)["epoch"] == 1
    assert (copied / BEST).read_bytes() == (short / BEST).read_bytes()


def test_a_checkpoint_that_cannot_be_written_leaves_the_one_before(short, tmp_path):
    path = lengthen_elsewhere(short, tmp_path, {"cross_entropy": 1000.0})
    _, most = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, ((short / LAST).stat().st_size // 2, most))
    try:
        with pytest.raises(CheckpointError, match=r"last\.ckpt cannot be written: File too large; .* --resume goes on"):
            train(path, tmp_path, resume=True)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
    assert sorted(file.name for file in path.parent.iterdir()) == [BEST, "config.yaml", LAST, "log"]
    assert (path.parent / LAST).read_bytes() == (short / LAST).read_bytes()


def test_a_checkpoint_is_never_a_copy_from_the_folder_of_temporary_files(short, tmp_path, monkeypatch):
    # Which may be another disk, so that the copy can be cut off.
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "nowhere"))
    assert checkpoint(go_on_elsewhere(short, tmp_path, {"cross_entropy": 1000.0}))["epoch"] == 1


def test_a_run_ends_when_its_loss_is_no_number_and_keeps_what_it_has_learnt(short, tmp_path):
    with pytest.raises(DivergedError, match=r"no number since epoch 1; lower optimiser\.learning_rate"):
        go_on_elsewhere(short, tmp_path, {"cross_entropy": 1e39})
    for name in (BEST, LAST):
        assert (tmp_path / "tiny" / name).read_bytes() == (short / name).read_bytes()


def test_weights_that_are_no_numbers_are_never_the_best(short, tmp_path):
    path = tmp_path / "tiny.yaml"
    config = yaml.safe_load((short / "config.yaml").read_text())
    path.write_text(yaml.safe_dump(config | {"loss": {"cross_entropy": 1e39}}))
    with pytest.raises(DivergedError, match="no number since epoch 0"):
        train(path, tmp_path, resume=False)
    assert sorted(file.name for file in (tmp_path / "tiny").iterdir()) == ["config.yaml", "log"]


def test_weights_to_begin_with_that_are_not_there_are_asked_for(tmp_path, pictures):
    path = tmp_path / "tiny.yaml"
    config = {**CONFIG, **RECIPES["plateau"], "data": {"kind": "pairs", "folder": str(pictures)}}
    path.write_text(yaml.safe_dump(config))
    with pytest.raises(CheckpointError, match=r"There is no package and no run .*nowhere/1 to begin with"):
        train(path, tmp_path / "runs", resume=False, begin_with=tmp_path / "nowhere/1")
    with pytest.raises(CheckpointError, match="train first"):
        train(path, tmp_path / "runs", resume=False, begin_with=tmp_path)


def test_the_statistics_of_random_weights_are_not_kept(tmp_path, pictures):
    path = tmp_path / "tiny.yaml"
    config = {**CONFIG, **RECIPES["plateau"], "data": {"kind": "pairs", "folder": str(pictures)}}
    path.write_text(yaml.safe_dump({**config, "frozen_statistics": True}))
    with pytest.raises(ConfigError, match=r"name a package or a run to begin with, .* or leave frozen_statistics out"):
        train(path, tmp_path / "runs", resume=False)
    assert not (tmp_path / "runs").exists()


def test_a_category_to_repeat_that_no_training_picture_has_is_refused(tmp_path, monkeypatch):
    drawn = [replace(sample, category=str(number)) for number, sample in enumerate(draw_samples(3, 1))]
    monkeypatch.setattr("training.data.splits.draw_samples", lambda count, seed: tuple(drawn[:count]))
    path = tmp_path / "tiny.yaml"
    data = {"kind": "phantom", "train": 3, "val": 1, "test": 1}
    path.write_text(yaml.safe_dump({**CONFIG, **RECIPES["plateau"], "data": data, "repeat": {1: 2, 5: 2}}))
    with pytest.raises(ConfigError, match=r"repeat names the category 5, .* the categories are 0, 1, 2"):
        train(path, tmp_path / "runs", resume=False)
    monkeypatch.undo()
    with pytest.raises(ConfigError, match=r"repeat names the category 1, .* not told by these data"):
        train(path, tmp_path / "runs", resume=False)


@pytest.mark.parametrize("part", ["train", "val"])
def test_one_picture_with_teeth_is_too_few_to_learn_numbers_from_or_to_choose_by(tmp_path, part):
    """No package could be made of it, and that is better said before a night than after."""
    path = tmp_path / "tiny.yaml"
    data = {"kind": "phantom", "train": 2, "val": 2, "test": 1, part: 1}
    config = {**CONFIG, **RECIPES["plateau"], "data": data, "network": {**CONFIG["network"], "classes": 33}}
    path.write_text(yaml.safe_dump(config))
    with pytest.raises(DataError, match=f"{part} of the phantoms shows teeth in 1 picture; at least 2"):
        train(path, tmp_path / "runs", resume=False)


@pytest.fixture
def shrinking(tmp_path, pictures):
    """A run whose last phase is of pictures so small that its losses are higher; it ends with the first that rises."""
    path = tmp_path / "shrinking.yaml"
    config = {
        **CONFIG,
        **RECIPES["plateau"],
        "name": "shrinking",
        "data": {"kind": "pairs", "folder": str(pictures)},
        "phases": [
            {"height": 96, "width": 192, "epochs": 5, "batch": 2},
            {"height": 32, "width": 64, "epochs": 2, "batch": 5},
        ],
        "early_stopping": 1,
    }
    path.write_text(yaml.safe_dump(config))
    return train(path, tmp_path / "runs", resume=False)


def test_the_best_weights_are_of_the_last_phase_and_no_run_ends_before_it(shrinking):
    losses = column(shrinking, "val_loss")
    early, late = ({step: loss for step, loss in losses.items() if (step >= 25) == last} for last in (False, True))
    assert (len(early), len(late)) == (5, 2)
    assert min(early.values()) < min(late.values())
    best = checkpoint(shrinking, BEST)
    assert best["epoch"] >= 5
    assert best["global_step"] == 1 + min(late, key=late.get)


def test_a_plateau_is_sought_in_each_phase_anew(shrinking):
    losses = list(column(shrinking, "val_loss").values())
    (schedule,) = checkpoint(shrinking)["lr_schedulers"]
    assert schedule["best"] == pytest.approx(min(losses[5:]))


def test_a_run_goes_on_with_the_weights_that_it_was_begun_with(whole, tmp_path, monkeypatch):
    path = tmp_path / "more.yaml"
    config = yaml.safe_load((whole / "config.yaml").read_text())
    config |= {"name": "more", "average_decay": None, "scheduler": {"name": "one-cycle"}, "validate_every_epochs": 1}
    config["phases"] = [config["phases"][-1] | {"epochs": 1}]
    path.write_text(yaml.safe_dump(config))
    more = train(path, tmp_path / "runs", resume=False, begin_with=whole)
    told, content = (more / "config.yaml").read_text(), (more / LAST).read_bytes()
    monkeypatch.chdir(whole.parent)
    for begin_with in (None, whole, Path(whole.name)):
        train(path, tmp_path / "runs", resume=True, begin_with=begin_with)
    assert ((more / "config.yaml").read_text(), (more / LAST).read_bytes()) == (told, content)
    with pytest.raises(ConfigError, match=r"begun with another configuration \(begin_with: .* → .*\)"):
        train(path, tmp_path / "runs", resume=True, begin_with=tmp_path)


def test_a_run_can_begin_with_the_weights_of_another(whole, tmp_path):
    path = tmp_path / "more.yaml"
    config = yaml.safe_load((whole / "config.yaml").read_text())
    config |= {"name": "more", "begin_with": str(whole), "average_decay": None, "scheduler": {"name": "one-cycle"}}
    config["phases"] = [config["phases"][-1] | {"epochs": 1}]
    config["validate_every_epochs"] = 1
    config["optimiser"] = {"name": "adamw", "learning_rate": 1.0e-9}
    path.write_text(yaml.safe_dump(config))
    more = train(path, tmp_path / "runs", resume=False)
    begun_with, ended_with = (checkpoint(run, BEST)["state_dict"] for run in (whole, more))
    for name, weights in begun_with.items():
        if name.endswith("weight"):
            assert torch.allclose(weights, ended_with[name], atol=1e-6), name
    with pytest.raises(ConfigError, match="changed the statistics of batches"):
        average(more, 0.5, tmp_path / "runs" / "mean")


def test_a_mean_lies_between_a_run_and_what_it_began_with(whole, tmp_path):
    path = tmp_path / "more.yaml"
    config = yaml.safe_load((whole / "config.yaml").read_text())
    config |= {"name": "more", "frozen_statistics": True, "average_decay": None, "scheduler": {"name": "one-cycle"}}
    config["phases"] = [config["phases"][-1] | {"epochs": 1}]
    config["validate_every_epochs"] = 1
    path.write_text(yaml.safe_dump(config))
    more = train(path, tmp_path / "runs", resume=False, begin_with=whole)
    with pytest.raises(ConfigError, match="began with random weights"):
        average(whole, 0.5, tmp_path / "runs" / "mean")
    mean = average(more, 0.25, tmp_path / "runs" / "mean")
    ends = [load_network(run, load_config(run / "config.yaml")).state_dict() for run in (whole, more, mean)]
    assert any(not torch.equal(ends[0][name], ends[1][name]) for name in ends[0])
    for name, weights in ends[2].items():
        if weights.is_floating_point():
            assert torch.allclose(weights, 0.75 * ends[0][name] + 0.25 * ends[1][name], atol=1e-6), name
    with pytest.raises(CheckpointError, match="is there already"):
        average(more, 0.5, mean)
    assert load_config(average(mean, 0.5, tmp_path / "eighth") / "config.yaml").mean_share == 0.125
    # Its weights are no second seed of its run's, and nothing says what they cost.
    compared = compare([more, mean], tmp_path / "table.json")
    assert [row["changes"] for row in compared["rows"]] == [[], ["mean_share: none → 0.25"]]
    assert "budget" not in to_markdown(compared)
    with pytest.raises(ConfigError, match=r"is of a mean of weights \(mean_share: 0\.25\)"):
        train(mean / "config.yaml", tmp_path / "others", resume=False)


def test_every_step_is_taken_with_a_gradient_that_is_no_longer_than_allowed(tmp_path, pictures, monkeypatch):
    lengths = []
    step = torch.optim.AdamW.step

    def measured(optimiser, closure=None):
        loss = step(optimiser, closure)
        gradients = [weight.grad for group in optimiser.param_groups for weight in group["params"]]
        lengths.append(torch.nn.utils.get_total_norm(gradients).item())
        return loss

    monkeypatch.setattr(torch.optim.AdamW, "step", measured)
    path = tmp_path / "config.yaml"
    longest = 0.01
    changes = {
        "phases": [{"height": 64, "width": 128, "epochs": 1, "batch": 2}],
        "optimiser": {**CONFIG["optimiser"], "gradient_clip": longest},
        "scheduler": {"name": "one-cycle"},
        "data": {"kind": "pairs", "folder": str(pictures)},
    }
    path.write_text(yaml.safe_dump({**CONFIG, **changes}))
    train(path, tmp_path / "runs", resume=False)
    assert lengths == pytest.approx([longest] * STEPS_AN_EPOCH, rel=1e-3)


def test_a_damaged_checkpoint_is_named_and_not_gone_on_with(tmp_path, config, whole):
    run = tmp_path / "tiny"
    run.mkdir()
    shutil.copy(whole / "config.yaml", run)
    (run / LAST).write_bytes((whole / LAST).read_bytes()[:100_000])
    with pytest.raises(CheckpointError, match=r"last\.ckpt is damaged"):
        train(config, tmp_path, resume=True)


@pytest.mark.parametrize(("steps", "warm_up"), [(1, 0.1), (2, 0.1), (5, 0.2), (10, 0.1), (10, 0.01), (30, 0.3)])
def test_one_cycle_fits_a_run_however_short(config, steps, warm_up):
    one_cycle = load_config(config).model_copy(update={"scheduler": OneCycle(name="one-cycle", warm_up=warm_up)})
    task = ToothTask(one_cycle, steps)
    chosen = task.configure_optimizers()
    rates = []
    for _ in range(steps):
        rates.append(chosen["optimizer"].param_groups[0]["lr"])
        chosen["optimizer"].step()
        chosen["lr_scheduler"]["scheduler"].step()
    assert all(0 < rate <= one_cycle.optimiser.learning_rate for rate in rates)


def test_a_run_that_is_told_to_stop_says_so_and_does_not_end_well(tmp_path, pictures):
    config = tmp_path / "config.yaml"
    data = {"kind": "pairs", "folder": str(pictures)}
    config.write_text(yaml.safe_dump({**CONFIG, **RECIPES["plateau"], "data": data}))
    command = [sys.executable, "-m", "training.cli", "train", "--config", str(config), "--runs", str(tmp_path)]
    process = subprocess.Popen(
        command,
        cwd=REPOSITORY,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    while len(column(tmp_path / "tiny", "train_loss")) < 1 and process.poll() is None:
        time.sleep(0.01)
    process.terminate()
    _, told = process.communicate()
    assert process.returncode == 2
    assert "was stopped before its end" in told
    assert "Traceback" not in told


def test_a_network_that_there_is_none_of_is_refused_before_it_starts(tmp_path, pictures):
    path = tmp_path / "config.yaml"
    data = {"kind": "pairs", "folder": str(pictures)}
    network = {**CONFIG["network"], "encoder": "resnet99"}
    path.write_text(yaml.safe_dump({**CONFIG, **RECIPES["plateau"], "data": data, "network": network}))
    with pytest.raises(ConfigError, match="no such network"):
        train(path, tmp_path / "runs", resume=False)
    assert not (tmp_path / "runs").exists()
