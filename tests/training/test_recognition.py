"""What a package notices is measured on every picture of a folder."""

import pytest

from training.data import DataError
from training.recognition import read_files


def test_pictures_in_folders_within_a_folder_count_each_by_its_place(tmp_path):
    for place in ("a.png", "more/a.png", "more/.DS_Store"):
        (tmp_path / place).parent.mkdir(exist_ok=True)
        (tmp_path / place).write_bytes(place.encode())
    assert read_files(tmp_path) == {"a.png": b"a.png", "more/a.png": b"more/a.png"}


def test_a_folder_without_pictures_is_refused(tmp_path):
    with pytest.raises(DataError, match="holds no pictures"):
        read_files(tmp_path / "absent")
