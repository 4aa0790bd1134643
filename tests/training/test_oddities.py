"""What may be meant and is more often a slip is told before anything is learnt from it, and refused by nobody."""

import cv2
import numpy as np
import pytest
import yaml
from PIL import Image
from typer.testing import CliRunner

from service.render.encode import encode_png
from training.checkpoint import CheckpointError
from training.cli import app
from training.phantom import draw_samples
from training.train import train

SAMPLES = {"train": draw_samples(4, seed=1), "val": draw_samples(2, seed=7)}


@pytest.fixture
def clinic(tmp_path):
    """A folder of pairs with numbered teeth, and its configuration."""
    for split, samples in SAMPLES.items():
        for sample, name in zip(samples, "abcd", strict=False):
            write(tmp_path / split / "images" / f"{name}.png", sample.data)
            write(tmp_path / split / "masks" / f"{name}.png", encode_png(sample.labels))
    config = {
        "name": "clinic",
        "data": {"kind": "pairs", "folder": str(tmp_path)},
        "network": {"encoder": "timm-regnetx_002", "decoder_channels": [32, 16, 16, 8, 8]},
        "phases": [{"height": 64, "width": 128, "epochs": 1, "batch": 1}],
        "optimiser": {"name": "adamw", "learning_rate": 0.001},
        "scheduler": {"name": "one-cycle"},
        "begin_with": str(tmp_path / "untrained"),
    }
    (tmp_path / "untrained").mkdir()
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config))
    return tmp_path


def write(path, data):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def repaint(path, change):
    labels = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    path.write_bytes(encode_png(change(labels)))


def check(clinic):
    """What the command says of each split, and what it remarks."""
    checked = CliRunner().invoke(app, ["check", "--config", str(clinic / "config.yaml")])
    assert checked.exit_code == 0, checked.stderr
    return checked.stdout.splitlines(), checked.stderr.splitlines()


def test_of_data_that_are_as_they_should_be_nothing_is_remarked(clinic):
    assert check(clinic)[1] == []


def test_pictures_without_a_tooth_among_others_are_named_by_the_check(clinic):
    for name in "ac":
        repaint(clinic / "train" / "masks" / f"{name}.png", np.zeros_like)
    remark = "train: no tooth in 2 pictures (a.png, c.png). Where the patient has some, draw them."
    assert check(clinic)[1] == [remark]


def test_a_run_remarks_what_the_check_does(clinic, capsys):
    repaint(clinic / "train" / "masks" / "b.png", np.zeros_like)
    # Past the data, what it is to begin with is missing.
    with pytest.raises(CheckpointError, match="train first"):
        train(clinic / "config.yaml", clinic / "runs", resume=False)
    assert "train: no tooth in 1 picture (b.png)." in capsys.readouterr().err


def test_a_number_that_two_teeth_share_is_remarked_and_a_tooth_that_is_cut_through_is_not(clinic):
    def share(labels):
        left, right = (labels[labels // 10 == quadrant].max() for quadrant in (3, 4))
        return np.where(labels == right, left, labels)

    def cut(labels):
        rows, columns = np.nonzero(labels == 36)
        middle = (rows.min() + rows.max()) // 2
        labels[middle : middle + (np.ptp(columns) + 1) // 2, columns.min() : columns.max() + 1] = 0
        return labels

    repaint(clinic / "train" / "masks" / "a.png", cut)
    repaint(clinic / "val" / "masks" / "b.png", share)
    assert check(clinic)[1] == ["val: one number in places far apart in 1 picture (b.png). Give each tooth its own."]


def test_a_split_that_alone_tells_no_patients_is_remarked(clinic):
    (clinic / "val" / "patients.csv").write_text("picture,patient\na.png,p1\nb.png,p2\n", encoding="utf-8")
    remark = "train does not tell whose its pictures are, and val does: a patient may be in both."
    assert check(clinic)[1] == [remark]


def test_of_a_split_that_is_numbered_in_part_the_check_tells_the_parts(clinic):
    repaint(clinic / "train" / "masks" / "b.png", lambda labels: np.where(labels > 0, 255, 0).astype(np.uint8))
    (train_line, *_), _ = check(clinic)
    assert train_line.endswith("tooth on average, 3 numbered, 1 without numbers (b.png).")


@pytest.mark.parametrize("ending", ["png", "jpg", "tif"])
def test_a_picture_that_its_file_turns_in_place_is_remarked(clinic, ending):
    exif = Image.Exif()
    exif[0x0112] = 3
    picture = clinic / "train" / "images" / "a.png"
    turned = Image.open(picture).rotate(180)
    picture.unlink()
    turned.save(picture.with_suffix(f".{ending}"), exif=exif)
    remark = f"train: an EXIF orientation turns 1 picture (a.{ending}). Masks must be drawn on the upright picture."
    assert check(clinic)[1] == [remark]
