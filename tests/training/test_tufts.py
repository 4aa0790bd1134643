"""The Tufts Dental Database, as a made-up folder of the same layout: nothing of the database itself comes with us."""

import re
import shutil

import cv2
import numpy as np
import pytest

from tests.training.drawn import drawn_config
from training.config import ConfigError, TuftsData, load_config
from training.data import DataError, load_splits
from training.data.samples import TOOTH
from training.sweep import Budget, sweep

HEIGHT, WIDTH = 60, 116
NUMBERS = [*range(1, 20), 1032]
EDENTULOUS = "2"


@pytest.fixture(scope="module")
def database(tmp_path_factory):
    """Radiographs in `.JPG`, masks in `.jpg`, and the parts that are not read."""
    folder = tmp_path_factory.mktemp("tufts")
    radiographs, masks = folder / "Radiographs", folder / "Segmentation" / "teeth_mask"
    others = [folder / "Segmentation" / "maxillomandibular", folder / "Expert" / "mask", folder / "Student" / "Student"]
    for part in (radiographs, masks, *others):
        part.mkdir(parents=True)
    for number in NUMBERS:
        generator = np.random.default_rng(number)
        cv2.imwrite(str(radiographs / f"{number}.JPG"), generator.integers(0, 256, (HEIGHT, WIDTH), np.uint8))
        cv2.imwrite(str(masks / f"{number}.jpg"), draw_mask(number))
        for part in others:
            cv2.imwrite(str(part / f"{number}.jpg"), np.full((HEIGHT, WIDTH, 3), 255, np.uint8))
    (folder / "Segmentation" / "teeth_bbox.json").write_text("[]")
    return folder


def draw_mask(number):
    mask = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    if str(number) != EDENTULOUS:
        mask[16:40, 24 : 56 + number % 20] = 255
    return mask


def source(folder, **changes):
    return TuftsData(kind="tufts", folder=folder, **changes)


def names(splits):
    return {split: [sample.name for sample in getattr(splits, split)] for split in ("train", "val", "test")}


def test_every_picture_is_in_one_split_by_its_share(database):
    parts = names(load_splits(source(database)))
    assert [len(parts[split]) for split in ("train", "val", "test")] == [14, 3, 3]
    assert sorted(name for part in parts.values() for name in part) == sorted(f"{number}.JPG" for number in NUMBERS)


def test_teeth_are_labelled_without_numbers_and_pixel_for_pixel(database):
    splits = load_splits(source(database))
    for sample in (*splits.train, *splits.val, *splits.test):
        expected = draw_mask(int(sample.name.removesuffix(".JPG")))[..., 0] > 0
        assert set(np.unique(sample.labels)) <= {0, TOOTH}
        # JPEG leaves its edge to the mask alone, and a mask of no teeth empty.
        assert np.array_equal(sample.labels > 0, expected)


def test_the_split_is_the_same_in_another_folder_and_another_with_another_seed(database, tmp_path):
    copy = shutil.copytree(database, tmp_path / "elsewhere")
    assert names(load_splits(source(copy))) == names(load_splits(source(database)))
    assert names(load_splits(source(database, seed=1))) != names(load_splits(source(database)))


def test_a_picture_that_is_left_out_moves_no_other_one(database):
    whole = names(load_splits(source(database)))
    left = names(load_splits(source(database, leave_out=("1032", "7"))))
    assert left == {
        split: [name for name in part if name not in ("1032.JPG", "7.JPG")] for split, part in whole.items()
    }


def test_pictures_to_leave_out_may_be_written_as_numbers(database):
    assert source(database, leave_out=[1032, "7"]).leave_out == ("1032", "7")


def test_a_name_to_leave_out_that_is_not_there_is_refused(database):
    with pytest.raises(DataError, match="holds no picture 1051 to leave out"):
        load_splits(source(database, leave_out=("1051",)))


def test_a_folder_of_another_layout_is_refused_by_the_folder_that_is_empty(tmp_path):
    with pytest.raises(DataError, match=re.escape(f"{tmp_path / 'Radiographs'} holds no pictures")):
        load_splits(source(tmp_path))


def test_a_picture_without_a_mask_is_refused(database, tmp_path):
    copy = shutil.copytree(database, tmp_path / "copy")
    (copy / "Segmentation" / "teeth_mask" / "9.jpg").unlink()
    with pytest.raises(DataError, match=r"9\.JPG has no mask"):
        load_splits(source(copy))


def test_a_mask_that_does_not_fit_its_picture_is_refused_with_both_sizes(database, tmp_path):
    copy = shutil.copytree(database, tmp_path / "copy")
    cv2.imwrite(str(copy / "Segmentation" / "teeth_mask" / "9.jpg"), np.zeros((30, 40), np.uint8))
    with pytest.raises(DataError, match=r"9\.jpg is 40 x 30 pixels, and its picture 116 x 60"):
        load_splits(source(copy))


def test_too_few_pictures_for_a_split_are_refused(database, tmp_path):
    for part in ("Radiographs", "Segmentation/teeth_mask"):
        (tmp_path / part).mkdir(parents=True)
        shutil.copy(next((database / part).glob("3.*")), tmp_path / part)
    with pytest.raises(DataError, match="too few for one in val"):
        load_splits(source(tmp_path), names=("val",))


@pytest.mark.parametrize(
    ("data", "network", "words"),
    [
        ({}, {"classes": 33}, "network.classes must be 2"),
        ({"train": 0.8, "val": 0.2}, {"classes": 2}, "leave nothing to test"),
    ],
)
def test_a_configuration_that_the_database_cannot_serve_is_refused(tmp_path, data, network, words):
    path = drawn_config(tmp_path / "run.yaml", data={"kind": "tufts", "folder": "tufts", **data}, network=network)
    with pytest.raises(ConfigError, match=words):
        load_config(path)


def test_the_source_experiment_can_be_done_on_the_database_in_place_of_the_data_at_hand(database, tmp_path):
    path = drawn_config(
        tmp_path / "run.yaml",
        name="run",
        data={"kind": "coco", "folder": "not-there"},
        network={"encoder": "timm-regnetx_002", "decoder_channels": [32, 16, 16, 8, 8]},
        phases=[{"height": 256, "width": 512, "epochs": 200, "batch": 8}],
        scheduler={"name": "plateau", "factor": 0.5, "patience": 5},
        precision="fp32",
    )
    table = sweep(
        [path], tmp_path / "runs", tmp_path / "sweep.json", budget=Budget(64, 64, 1), split="test", tufts=database
    )
    assert (table["split"], table["pictures"]) == ("test", 3)
    (row,) = table["rows"]
    assert (row["run"], row["pictures_seen"]) == ("run-tufts-64x64-1", 8)
    assert 0 < row["dice"]["mean"] <= 1
