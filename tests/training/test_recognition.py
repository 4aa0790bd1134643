"""What a package notices is measured on every picture of a folder."""

import json

import cv2
import numpy as np
import pytest

from tests.training.drawn import drawn_config
from training.data import DataError
from training.foreign import draw_foreign
from training.phantom import draw_phantom
from training.recognition import CHANGES, read_files, recognise


def test_pictures_in_folders_within_a_folder_count_each_by_its_place(tmp_path):
    for place in ("a.png", "more/a.png", "more/.DS_Store"):
        (tmp_path / place).parent.mkdir(exist_ok=True)
        (tmp_path / place).write_bytes(place.encode())
    assert read_files(tmp_path) == {"a.png": b"a.png", "more/a.png": b"more/a.png"}


def test_a_folder_without_pictures_is_refused(tmp_path):
    with pytest.raises(DataError, match="holds no pictures"):
        read_files(tmp_path / "absent")


@pytest.fixture(scope="module")
def clinic(tmp_path_factory, write_drawn_pairs):
    """A configuration whose val and test split have one picture each, both by one name; and more pictures beside it."""
    folder = tmp_path_factory.mktemp("clinic")
    for split, seed in (("val", 11), ("test", 12)):
        write_drawn_pairs(folder / split, 1, seed)
        for part in ("images", "masks"):
            (folder / split / part / f"phantom-{seed}.png").rename(folder / split / part / "a.png")
    for part in ("foreign", "panoramics"):
        (folder / part).mkdir()
    cv2.imwrite(str(folder / "foreign" / "drawing.png"), draw_foreign(5))
    (folder / "foreign" / "notes.txt").write_text("no picture")
    cv2.imwrite(str(folder / "panoramics" / "a.png"), draw_phantom(13).pixels[::-1, ::-1])
    drawn_config(folder / "clinic.yaml", data={"kind": "pairs", "folder": str(folder)})
    return folder


def test_what_the_shipped_package_notices_is_counted_picture_by_picture(package, clinic):
    folders = (clinic / "foreign", clinic / "panoramics")
    told = recognise(package.folder, clinic / "clinic.yaml", *folders, out=clinic / "findings.json")
    all_of_one, none_of_one = {"share": 1.0, "interval": [0.025, 1.0]}, {"share": 0.0, "interval": [0.0, 0.975]}
    assert told["foreign"] == {
        "pictures": 1,
        "refused": 1,
        "named": all_of_one,
        "named_in_grey": all_of_one,
        "missed": [],
    }
    # Three pictures of one name, of which the one that lies on its head is no false alarm of the other two.
    assert told["false_alarms"] == {
        "val": {"pictures": 1, **none_of_one, "by_picture": {}},
        "test": {"pictures": 1, **none_of_one, "by_picture": {}},
        "panoramics": {"pictures": 1, **all_of_one, "by_picture": {"a.png": ["upside-down"]}},
    }
    named = {name: change["named"]["share"] for name, change in told["changed"].items()}
    # Which drawings of jaws seldom show as radiographs do.
    seldom = {name: named[name] for name in ("lower teeth cut off", "teeth painted over")}
    assert named == dict.fromkeys(CHANGES, 1.0) | seldom
    assert abs(told["changed"]["negative"]["dice_loss"]) < 0.02
    assert json.loads((clinic / "findings.json").read_text()) == {"findings": told}


@pytest.mark.parametrize("small", [True, False], ids=["too small", "no picture"])
def test_a_panoramic_that_the_service_refuses_is_named(package, clinic, tmp_path, small):
    content = cv2.imencode(".png", np.zeros((100, 200), np.uint8))[1].tobytes() if small else b"no picture"
    (tmp_path / "odd.png").write_bytes(content)
    with pytest.raises(DataError, match=r"^odd\.png cannot be read: "):
        recognise(package.folder, clinic / "clinic.yaml", clinic / "foreign", tmp_path, out=tmp_path / "findings.json")
