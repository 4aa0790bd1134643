"""A picture or a patient in two splits is found, whatever was done to the picture meanwhile."""

import csv
import shutil

import cv2
import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from tests.training.drawn import drawn_config
from training.checkpoint import CheckpointError
from training.cli import app
from training.config import load_config
from training.data import DataError, Sample, Splits
from training.data.leaks import find_leaks
from training.data.pairs import load_pairs
from training.phantom import draw_phantom
from training.train import train

PICTURES = [draw_phantom(seed).pixels for seed in range(4)]


def sample(name, pixels, patient=""):
    return Sample(name, b"", pixels, np.zeros(pixels.shape, np.uint8), patient=patient)


def splits(**parts):
    return Splits(**{"train": (), "val": (), "test": (), **parts})


def darker(pixels, exponent=1.5):
    return np.rint(255 * (pixels / 255) ** exponent).astype(np.uint8)


CHANGES = {
    "another size": lambda pixels: cv2.resize(pixels, (2000, 900), interpolation=cv2.INTER_CUBIC),
    "half the size": lambda pixels: cv2.resize(pixels, (720, 360), interpolation=cv2.INTER_AREA),
    "darker": darker,
    "brighter": lambda pixels: darker(pixels, 0.65),
    "16 bits": lambda pixels: pixels.astype(np.uint16) * 100,
    "jpeg": lambda pixels: cv2.imdecode(cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, 30])[1], 0),
    "a frame": lambda pixels: cv2.copyMakeBorder(pixels, 40, 40, 40, 40, cv2.BORDER_CONSTANT, value=0),
    "mirrored": lambda pixels: np.ascontiguousarray(pixels[:, ::-1]),
    "negative": lambda pixels: 255 - pixels,
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_copy_in_another_split_is_found_and_both_files_are_named(change):
    copies = [sample(f"copy-{number}.png", CHANGES[change](pixels)) for number, pixels in enumerate(PICTURES)]
    originals = [sample(f"picture-{number}.png", pixels) for number, pixels in enumerate(PICTURES)]
    leaks = find_leaks(splits(train=tuple(originals), test=tuple(copies)))
    found = {(leak.one, leak.other) for leak in leaks}
    assert found == {(f"train/picture-{number}.png", f"test/copy-{number}.png") for number in range(4)}


@settings(max_examples=20)
@given(
    number=st.integers(0, 3),
    exponent=st.floats(0.6, 1.6),
    share=st.floats(0.5, 1.0),
    noise=st.floats(0, 8),
    seed=st.integers(0, 1000),
)
def test_a_copy_is_found_after_several_changes_at_once(number, exponent, share, noise, seed):
    grain = np.random.default_rng(seed).normal(0, noise, PICTURES[number].shape)
    changed = np.clip(share * darker(PICTURES[number], exponent) + 10 + grain, 0, 255).astype(np.uint8)
    assert find_leaks(splits(train=(sample("a.png", PICTURES[number]),), val=(sample("b.png", changed),)))


def test_different_patients_are_no_leak_and_neither_is_a_copy_in_the_same_split():
    one, two, three, four = (sample(f"{number}.png", pixels) for number, pixels in enumerate(PICTURES))
    copy = sample("copy.png", darker(PICTURES[0]))
    assert find_leaks(splits(train=(one, copy, two), val=(three,), test=(four,))) == []


def test_a_patient_in_two_splits_is_found_by_the_patients_name():
    one, two = sample("a.png", PICTURES[0], "p1"), sample("b.png", PICTURES[1], "p1")
    (leak,) = find_leaks(splits(train=(one,), test=(two,)))
    assert (leak.one, leak.other, leak.reason) == ("train/a.png", "test/b.png", "patient p1")
    assert find_leaks(splits(train=(one, two))) == []
    assert find_leaks(splits(train=(sample("a.png", PICTURES[0]),), test=(sample("b.png", PICTURES[1]),))) == []


@pytest.fixture
def leaking(tmp_path):
    """A clinic's folder in which one picture is in two splits, a little darker; its configuration."""
    for split, number, change in (("train", 0, np.copy), ("val", 1, np.copy), ("test", 0, darker)):
        for part in ("images", "masks"):
            (tmp_path / split / part).mkdir(parents=True)
        cv2.imwrite(str(tmp_path / split / "images" / f"{split}.png"), change(PICTURES[number]))
        cv2.imwrite(str(tmp_path / split / "masks" / f"{split}.png"), np.where(PICTURES[number] > 128, 255, 0))
    (tmp_path / "untrained").mkdir()
    return drawn_config(
        tmp_path / "config.yaml",
        data={"kind": "pairs", "folder": str(tmp_path)},
        network={"encoder": "timm-regnetx_002", "decoder_channels": [32, 16, 16, 8, 8], "classes": 2},
        begin_with=str(tmp_path / "untrained"),
    )


def test_no_run_begins_on_splits_that_leak_unless_it_is_told_to(leaking, tmp_path):
    with pytest.raises(DataError, match=r"train/train\.png and test/test\.png: the same picture.*--allow-leaks"):
        train(leaking, tmp_path / "runs", resume=False)
    # Past the check, what it is to begin with is missing.
    with pytest.raises(CheckpointError, match="train first"):
        train(leaking, tmp_path / "runs", resume=False, allow_leaks=True)
    assert not (tmp_path / "runs").exists()


def test_a_run_that_was_begun_on_splits_that_leak_tells_of_it_and_goes_on(leaking, tmp_path, capsys):
    config = {key: value for key, value in yaml.safe_load(leaking.read_text()).items() if key != "begin_with"}
    leaking.write_text(yaml.safe_dump(config))
    run = train(leaking, tmp_path / "runs", resume=False, allow_leaks=True)
    assert load_config(run / "config.yaml").allow_leaks
    assert "random weights" in " ".join(capsys.readouterr().err.split())
    assert train(leaking, tmp_path / "runs", resume=True) == run


def test_the_check_is_a_command_of_its_own(leaking):
    refused = CliRunner().invoke(app, ["check", "--config", str(leaking)])
    assert refused.exit_code == 2
    shutil.rmtree(leaking.parent / "test")
    passed = CliRunner().invoke(app, ["check", "--config", str(leaking)])
    assert passed.exit_code == 0
    train, val, verdict = passed.stdout.splitlines()
    share = f"{(PICTURES[0] > 128).mean():.1%}"
    assert train == f"train: 1 pictures, {share} of a picture tooth on average, teeth without numbers."
    assert val.startswith("val: 1 pictures, ")
    # Where no picture says whose it is, nothing was found out about patients.
    assert verdict == "No picture is in two of them; none tells whose it is."
    for split in ("train", "val"):
        write_patients(leaking.parent / split, (f"{split}.png", split))
    named = CliRunner().invoke(app, ["check", "--config", str(leaking)])
    assert named.stdout.endswith("and no patient; 2 pictures tell whose they are.\n")


def test_the_check_tells_of_pictures_that_the_service_refuses_and_of_a_split_without_a_tooth(leaking):
    small, mask = np.random.default_rng(0).integers(0, 256, (127, 254), np.uint8), np.zeros((127, 254), np.uint8)
    for part, pixels in (("images", small), ("masks", mask)):
        cv2.imwrite(str(leaking.parent / "test" / part / "test.png"), pixels)
    passed = CliRunner().invoke(app, ["check", "--config", str(leaking)])
    train, _, test, _ = passed.stdout.splitlines()
    assert "below" not in train
    assert test.startswith("test: 1 pictures, no tooth in any of them; 1 with a side below 128 pixels, such")


def write_patients(folder, *rows, columns=("picture", "patient")):
    with (folder / "patients.csv").open("w", newline="", encoding="utf-8-sig") as file:
        csv.writer(file).writerows([columns, *rows])


def test_pairs_are_told_whose_they_are_by_a_table_beside_them(leaking):
    folder = leaking.parent / "train"
    write_patients(folder, ("train.png", "p7"), ("another.png", "p8"))
    assert load_pairs(folder)[0].patient == "p7"


def test_spaces_around_a_patients_name_hide_no_leak(leaking):
    for split, patient in (("train", " P1 "), ("val", "P1"), ("test", "P2")):
        write_patients(leaking.parent / split, (f" {split}.png ", patient))
    leaks = find_leaks(Splits(*(load_pairs(leaking.parent / split) for split in ("train", "val", "test"))))
    assert ("train/train.png", "val/val.png", "patient P1") in [(leak.one, leak.other, leak.reason) for leak in leaks]


@pytest.mark.parametrize(("in_folder", "in_table"), [("z\u00e4hne", "za\u0308hne"), ("za\u0308hne", "z\u00e4hne")])
def test_an_umlaut_in_a_pictures_name_is_found_in_the_table_however_it_is_written(leaking, in_folder, in_table):
    folder = leaking.parent / "train"
    for part in ("images", "masks"):
        (folder / part / "train.png").rename(folder / part / f"{in_folder}.png")
    write_patients(folder, (f"{in_table}.png", "p7"))
    assert load_pairs(folder)[0].patient == "p7"


@pytest.mark.parametrize(
    ("rows", "columns", "message"),
    [
        ([("another.png", "p8")], ("picture", "patient"), r"does not say whose picture train\.png is"),
        ([("train.png", " ")], ("picture", "patient"), r"does not say whose picture train\.png is"),
        ([("train.png", "p7")], ("file", "patient"), r"names the columns picture and patient"),
        (
            [("train.png", "p7"), ("train.png", " p7 "), ("train.png", "p8")],
            ("picture", "patient"),
            r"says of train\.png that it shows p7, and that it shows p8",
        ),
    ],
)
def test_a_table_of_patients_that_leaves_something_out_is_refused(leaking, rows, columns, message):
    folder = leaking.parent / "train"
    write_patients(folder, *rows, columns=columns)
    with pytest.raises(DataError, match=message):
        load_pairs(folder)


@pytest.mark.parametrize("table", ["Picture ; PATIENT\ntrain.png;p7\n", " picture, Patient\ntrain.png,p7\n"])
def test_a_table_of_patients_may_be_as_spreadsheets_write_it(leaking, table):
    folder = leaking.parent / "train"
    (folder / "patients.csv").write_text(table, encoding="utf-8-sig")
    assert load_pairs(folder)[0].patient == "p7"
