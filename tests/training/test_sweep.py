"""Runs trained one after the other and compared, on drawn radiographs: what the tables say is what the runs are."""

import json
import shutil
import statistics
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

import training.measure
from service.errors import SetupError
from training.ablation import Ablation, ablate
from training.checkpoint import BEST, LAST, epochs_done, is_finished
from training.compare import compare, find_changes, to_markdown
from training.config import ConfigError, OneCycle, PairsData, load_config
from training.data import load_splits
from training.measure import measure_run
from training.network import ToothNetwork
from training.sweep import Budget, sweep
from training.thresholds import choose_thresholds
from training.train import train

pytestmark = pytest.mark.usefixtures("one_thread")

CONFIG = {
    "name": "one",
    "seed": 1,
    "data": {"kind": "phantom", "train": 4, "val": 2, "test": 1},
    "network": {"encoder": "timm-regnetx_002", "decoder_channels": [32, 16, 16, 8, 8]},
    "phases": [{"height": 64, "width": 128, "epochs": 40, "batch": 2}],
    "optimiser": {"name": "adam", "learning_rate": 0.001},
    "scheduler": {"name": "plateau", "factor": 0.5, "patience": 5},
    "early_stopping": 20,
    "precision": "fp32",
}
BUDGET = Budget(64, 64, 2)

RUNS = {
    "one": {},
    "one-again": {"name": "one-again", "seed": 2},
    "faster": {"name": "faster", "optimiser": {"name": "adam", "learning_rate": 0.01}},
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sweep")
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def configs(folder):
    paths = [folder / f"{name}.yaml" for name in RUNS]
    for path, changes in zip(paths, RUNS.values(), strict=True):
        path.write_text(yaml.safe_dump(CONFIG | changes))
    return paths


@pytest.fixture(scope="module")
def swept(folder, configs):
    return sweep(configs, folder / "runs", folder / "out" / "sweep.json", budget=BUDGET)


@pytest.fixture(scope="module")
def runs(folder, swept):
    return [folder / "runs" / f"{name}-64x64-2" for name in RUNS]


@pytest.fixture(scope="module")
def compared(folder, runs):
    return compare(runs, folder / "out" / "ablation.json")


def stamps(folder: Path):
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*.ckpt")}


def test_a_sweep_ranks_all_runs_by_dice_and_gives_each_measure_its_interval(swept, folder):
    rows = swept["rows"]
    assert {row["run"] for row in rows} == {f"{name}-64x64-2" for name in RUNS}
    assert [row["dice"]["mean"] for row in rows] == sorted((row["dice"]["mean"] for row in rows), reverse=True)
    for row in rows:
        assert row["pictures_per_second"]["interval"][0] > 0
        for measure in ("dice", "iou", "pixel_accuracy"):
            low, high = row[measure]["interval"]
            assert 0 <= low <= row[measure]["mean"] <= high <= 1
    assert json.loads((folder / "out" / "sweep.json").read_text()) == swept
    table = (folder / "out" / "sweep.md").read_text()
    assert [line.split(" | ")[1] for line in table.splitlines()[2:5]] == [row["run"] for row in rows]


def test_a_sweep_of_an_equal_budget_says_so_and_keeps_to_it(swept, folder):
    assert "the same for all" in (folder / "out" / "sweep.md").read_text()
    assert [(row["input"], row["epochs"], row["pictures_seen"]) for row in swept["rows"]] == [("64 x 64", 2, 8)] * 3


def test_a_sweep_begun_again_trains_no_run_that_has_ended_and_goes_on_with_one_that_has_not(
    folder, configs, swept, runs
):
    before = stamps(folder / "runs")
    # As if the last run had been killed in its first epoch.
    shutil.rmtree(runs[2])
    runs[2].mkdir()
    again = sweep(configs, folder / "runs", folder / "out" / "again.json", budget=BUDGET)
    after = stamps(folder / "runs")
    assert before.keys() == after.keys()
    assert {path for path in before if before[path] != after[path]} == {
        path for path in before if runs[2] in path.parents
    }
    figures = [{row["run"]: row["dice"] for row in result["rows"]} for result in (swept, again)]
    assert figures[0] == figures[1]


def test_a_run_that_stopped_early_is_not_trained_on(tmp_path):
    path = tmp_path / "hasty.yaml"
    content = {"phases": [CONFIG["phases"][0] | {"width": 64}], "early_stopping": 1}
    path.write_text(yaml.safe_dump(CONFIG | content | {"optimiser": {"name": "adam", "learning_rate": 0.3}}))
    run = train(path, tmp_path / "runs", resume=False)
    assert epochs_done(run) < load_config(path).epochs
    assert is_finished(run, load_config(path))
    before = stamps(run)
    assert train(path, tmp_path / "runs", resume=True) == run
    assert stamps(run) == before


@pytest.mark.parametrize("split", ["val", "test"])
def test_thresholds_are_chosen_by_the_validation_pictures_whichever_are_measured(split, tmp_path, monkeypatch):
    chosen_by = []

    def choose(predictions, truths):
        chosen_by.extend(truths)
        return choose_thresholds(predictions, truths)

    monkeypatch.setattr(training.measure, "choose_thresholds", choose)
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(CONFIG))
    config = load_config(tmp_path / "config.yaml")
    torch.save({"state_dict": ToothNetwork(config.network).state_dict()}, tmp_path / BEST)
    figures = measure_run(tmp_path, split).figures
    assert len(figures.pictures) == CONFIG["data"][split]
    pictures = load_splits(config.data, names=("val",)).val
    assert [set(np.unique(truth)) for truth in chosen_by] == [set(np.unique(one.labels)) for one in pictures]


def test_configurations_of_one_name_are_refused_before_any_training(folder, configs):
    with pytest.raises(ConfigError, match="the same name"):
        sweep([configs[0], configs[0]], folder / "none", folder / "none.json", budget=BUDGET)
    assert not (folder / "none").exists()


def test_the_figures_of_a_run_are_those_of_its_pictures_and_are_kept(compared, runs):
    kept = json.loads((runs[2] / "figures-val.json").read_text())
    assert len(kept["pictures"]) == CONFIG["data"]["val"]
    mean = statistics.fmean(picture["dice"] for picture in kept["pictures"])
    assert compared["rows"][1]["dice"]["mean"] == pytest.approx(mean, abs=1e-4)


def test_what_was_measured_is_not_measured_again_unless_the_run_went_on_or_it_is_asked_for(runs, tmp_path):
    run = shutil.copytree(runs[0], tmp_path / "run")
    kept = run / "figures-val.json"
    marked = json.loads(kept.read_text())
    true = marked["pictures"][0]["dice"]
    marked["pictures"][0]["dice"] = 0.123
    kept.write_text(json.dumps(marked))

    def told():
        return json.loads(kept.read_text())["pictures"][0]["dice"]

    compare([run], tmp_path / "table.json")
    assert told() == 0.123
    compare([run], tmp_path / "table.json", again=True)
    assert told() == pytest.approx(true)
    kept.write_text(json.dumps(marked))
    last = torch.load(run / LAST, weights_only=False)
    torch.save({**last, "epoch": last["epoch"] + 1}, run / LAST)
    compare([run], tmp_path / "table.json")
    assert told() == pytest.approx(true)


def test_runs_of_another_seed_alone_are_one_row_and_a_changed_key_is_told(compared, runs):
    baseline, changed = compared["rows"]
    assert (baseline["changes"], baseline["runs"]) == ([], [str(run) for run in runs[:2]])
    assert baseline["dice"]["mean"] == pytest.approx(statistics.fmean(baseline["dice"]["by_run"]), abs=1e-4)
    assert baseline["dice"]["deviation"] == pytest.approx(statistics.stdev(baseline["dice"]["by_run"]), abs=1e-4)
    assert changed["changes"] == ["optimiser.learning_rate: 0.001 → 0.01"]


def test_a_gain_is_the_difference_from_the_baseline_within_its_interval(compared):
    baseline, changed = compared["rows"]
    for measure in ("dice", "iou", "pixel_accuracy", "tooth_dice", "tooth_f1"):
        assert "difference" not in baseline[measure]
        difference = changed[measure]["mean"] - baseline[measure]["mean"]
        assert changed[measure]["difference"] == pytest.approx(difference, abs=2e-4)
        low, high = changed[measure]["difference_interval"]
        assert low <= changed[measure]["difference"] <= high


def test_a_table_says_whether_the_budgets_were_the_same(compared, runs, tmp_path):
    assert compared["same_budget"]
    longer = shutil.copytree(runs[2], tmp_path / "longer")
    last = torch.load(longer / LAST, weights_only=False)
    torch.save({**last, "epoch": last["epoch"] + 1}, longer / LAST)
    table = compare([runs[0], longer], tmp_path / "table.json")
    assert not table["same_budget"]
    assert "The budgets differ" in to_markdown(table)


def test_runs_that_were_validated_on_other_pictures_are_not_compared(runs, tmp_path):
    other = shutil.copytree(runs[2], tmp_path / "other")
    config = yaml.safe_load((other / "config.yaml").read_text())
    config["data"]["seed"] = 100
    (other / "config.yaml").write_text(yaml.safe_dump(config))
    (other / BEST).unlink()
    (other / LAST).unlink()
    # It is told before anything is measured, for which the weights are missing.
    with pytest.raises(ConfigError, match=r"other is validated on other pictures than .*one-64x64-2"):
        compare([runs[0], other], tmp_path / "table.json", again=True)


def test_a_run_that_is_another_once_more_is_not_pooled_with_it(runs, tmp_path):
    copied = shutil.copytree(runs[0], tmp_path / "copied")
    with pytest.raises(ConfigError, match=r"copied is .*one-64x64-2 once more, with the same seed 1"):
        compare([*runs, copied], tmp_path / "table.json")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"changes": {"same": {"optimiser": {"learning_rate": 0.001}}}}, "one-same-seed-0 changes nothing"),
        (
            {"changes": {"a": {"loss": {"dice": 0.5}}, "b": {"loss": {"dice": 0.5}}}},
            "one-b-seed-0 is one-a-seed-0 once",
        ),
        ({"changes": {}, "seeds": [1, 2, 1]}, r"a seed stands twice in \[1, 2, 1\]"),
    ],
    ids=["nothing", "twice", "seed"],
)
def test_an_ablation_that_would_train_a_run_twice_is_refused_before_any_training(change, says, folder):
    path = folder / "twice.yaml"
    path.write_text(yaml.safe_dump({"recipe": CONFIG, **change}))
    with pytest.raises(ConfigError, match=says):
        ablate(path, folder / "twice", folder / "twice.json")
    assert not (folder / "twice").exists()


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"name": "x", "seed": 9}, []),
        ({"average_decay": 0.99}, ["average_decay: none → 0.99"]),
        (
            {"scheduler": {"name": "one-cycle"}},
            [
                "scheduler.name: plateau → one-cycle",
                "scheduler.factor: 0.5 → none",
                "scheduler.patience: 5 → none",
                "scheduler.warm_up: none → 0.1",
            ],
        ),
        (
            {"phases": [{"height": 64, "width": 128, "epochs": 30, "batch": 4}]},
            ["phases: 40 x 64x128 batch 2 → 30 x 64x128 batch 4"],
        ),
        # What a file leaves out is what it would say by default.
        ({"augmentation": {"mirror": 0.0}}, []),
    ],
    ids=["name and seed", "a key", "another kind", "phases", "a default"],
)
def test_what_a_configuration_changes_is_told_key_by_key(tmp_path, changes, told):
    paths = tmp_path / "baseline.yaml", tmp_path / "changed.yaml"
    for path, content in zip(paths, (CONFIG, CONFIG | changes), strict=True):
        path.write_text(yaml.safe_dump(content))
    baseline, changed = map(load_config, paths)
    assert find_changes(changed, baseline) == told


def test_an_ablation_is_one_file_and_goes_on_where_it_was_stopped(folder):
    recipe = CONFIG | {"name": "whole", "early_stopping": None, "phases": [CONFIG["phases"][0] | {"epochs": 1}]}
    path = folder / "ablation.yaml"
    changes = {"mirrored": {"augmentation": {"mirror": 0.5}}, "slower": {"optimiser": {"learning_rate": 1e-4}}}
    path.write_text(yaml.safe_dump({"recipe": recipe, "changes": changes}))
    table = ablate(path, folder / "ablation", folder / "ablation.json")
    assert [row["changes"] for row in table["rows"]] == [
        [],
        ["augmentation.mirror: 0.0 → 0.5"],
        ["optimiser.learning_rate: 0.001 → 0.0001"],
    ]
    assert table["same_budget"]
    assert table["command"] == f"panoseg ablate {path} --runs {folder / 'ablation'} --out {folder / 'ablation.json'}"
    (trained,) = (folder / "ablation").glob("*mirrored*/last.ckpt")
    before = trained.stat().st_mtime_ns
    assert ablate(path, folder / "ablation", folder / "ablation.json")["rows"] == table["rows"]
    assert trained.stat().st_mtime_ns == before


def test_a_change_of_kind_takes_the_place_of_what_the_recipe_says_of_the_other_kind():
    changes = {
        "cycle": {"scheduler": {"name": "one-cycle"}},
        "patient": {"scheduler": {"patience": 9}},
        "pairs": {"data": {"kind": "pairs", "folder": "clinic"}},
    }
    ablation = Ablation.model_validate({"recipe": CONFIG, "changes": changes})
    recipe, cycle, patient, pairs = ablation.configs()
    assert cycle.scheduler == OneCycle(name="one-cycle")
    assert patient.scheduler == recipe.scheduler.model_copy(update={"patience": 9})
    assert pairs.data == PairsData(kind="pairs", folder="clinic")


def test_a_change_of_the_pictures_to_compare_on_is_refused_before_anything_is_trained(folder):
    path = folder / "other.yaml"
    changes = {"more": {"data": {"train": 6}}, "other": {"data": {"seed": 100}}}
    path.write_text(yaml.safe_dump({"recipe": CONFIG, "changes": changes}))
    with pytest.raises(ConfigError, match="one-other-seed-0 is validated on other pictures than one-seed-0"):
        ablate(path, folder / "other", folder / "other.json")
    assert not (folder / "other").exists()


def test_a_table_that_its_markdown_would_write_over_is_refused_before_anything_is_trained(folder, configs):
    out = folder / "table.md"
    for write in (
        lambda: sweep(configs, folder / "none", out, budget=BUDGET),
        lambda: ablate(folder / "absent.yaml", folder / "none", out),
        lambda: compare([folder / "absent"], out),
    ):
        with pytest.raises(SetupError, match=r"table\.md cannot be the table's JSON file"):
            write()
    assert not out.exists()
    assert not (folder / "none").exists()


def test_an_ablation_that_cannot_be_run_is_told_of_before_anything_is_trained(folder):
    path = folder / "broken.yaml"
    path.write_text(yaml.safe_dump({"recipe": CONFIG, "changes": {"odd": {"optimiser": {"learning_rate": -1}}}}))
    with pytest.raises(ConfigError, match="learning_rate"):
        ablate(path, folder / "broken", folder / "broken.json")
    assert not (folder / "broken").exists()


@pytest.mark.parametrize("budget", [{"epochs": 0}, {"height": 0}, {"width": 100}])
def test_a_budget_that_cannot_be_run_is_refused(budget, configs, folder):
    key = f"phases.0.{next(iter(budget))}"
    with pytest.raises(ConfigError, match=rf"one cannot be run as asked: {key}: "):
        sweep(configs, folder / "runs", folder / "refused.json", budget=Budget(**budget))
