"""Training data: what each source gives, and that broken data are refused by the name of the file that is at fault."""

import json
import math
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco_mask

from service.render.encode import encode_png
from tests.training.drawn import LEAST
from training.config import CocoData, Config, PairsData, PhantomData
from training.data import DataError, Splits, load_splits
from training.data.coco import load_coco
from training.data.leaks import refuse_leaks
from training.data.loader import ToothData, prepare_sample
from training.data.pairs import load_pairs
from training.data.samples import TOOTH, are_numbered, to_classes
from training.phantom import draw_samples

REPOSITORY = Path(__file__).resolve().parents[2]

HEIGHT, WIDTH = 130, 140

TOOTH_BOX = (slice(20, 50), slice(30, 45))
"""Rows and columns of the one tooth that made-up pictures have."""


def tooth_mask():
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    mask[TOOTH_BOX] = 1
    return mask


def compressed(mask):
    outline = coco_mask.encode(np.asfortranarray(mask))
    return {"size": outline["size"], "counts": outline["counts"].decode()}


def uncompressed(mask):
    """Lengths of the runs of 0 and 1 in turn, down the columns."""
    flat = mask.T.ravel()
    edges = np.flatnonzero(np.diff(flat)) + 1
    lengths = np.diff([0, *edges, flat.size]).tolist()
    return {"size": list(mask.shape), "counts": [0, *lengths] if flat[0] else lengths}


def polygon(mask):
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    top, bottom, left, right = (int(v) for v in (rows[0], rows[-1] + 1, columns[0], columns[-1] + 1))
    return [[left, top, right, top, right, bottom, left, bottom]]


def write_picture(path, seed=0, height=HEIGHT, width=WIDTH):
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.random.default_rng(seed).integers(0, 256, (height, width), np.uint8))


def write_coco(path, *names, annotations=None, height=HEIGHT, width=WIDTH):
    """A COCO file of pictures with one tooth, 36, each; numbered from 1."""
    annotations = (
        [annotation(image_id) for image_id in range(1, len(names) + 1)] if annotations is None else annotations
    )
    images = [
        {"id": number, "file_name": name, "width": width, "height": height, "ufba_category": 4}
        for number, name in enumerate(names, 1)
    ]
    path.write_text(json.dumps({"images": images, "annotations": annotations, "categories": []}))
    return path


def annotation(image_id=1, fdi=36, segmentation=None, number=7):
    outline = compressed(tooth_mask()) if segmentation is None else segmentation
    return {"id": number, "image_id": image_id, "category_id": fdi, "segmentation": outline}


@pytest.fixture
def images(tmp_path):
    folder = tmp_path / "images"
    for seed, name in enumerate(("a.png", "b.png", "c.png")):
        write_picture(folder / name, seed)
    return folder


def refused(annotations, images, *words):
    with pytest.raises(DataError) as refusal:
        load_coco(annotations, images)
    for word in words:
        assert word in str(refusal.value)


def test_a_coco_picture_comes_with_its_bytes_pixels_labels_and_category(tmp_path, images):
    (sample,) = load_coco(write_coco(tmp_path / "train.json", "a.png"), images)
    assert (sample.name, sample.category) == ("a.png", "4")
    assert sample.data == (images / "a.png").read_bytes()
    assert np.array_equal(sample.pixels, cv2.imread(str(images / "a.png"), cv2.IMREAD_GRAYSCALE))
    assert np.array_equal(sample.labels, 36 * tooth_mask())


@pytest.mark.parametrize("outline", [compressed, uncompressed, polygon])
def test_every_way_to_write_a_mask_means_the_same_pixels(tmp_path, images, outline):
    path = write_coco(tmp_path / "train.json", "a.png", annotations=[annotation(segmentation=outline(tooth_mask()))])
    (sample,) = load_coco(path, images)
    assert np.array_equal(sample.labels, 36 * tooth_mask())


def test_where_two_teeth_overlap_the_smaller_one_keeps_the_pixels(tmp_path, images):
    small = np.zeros_like(tooth_mask())
    small[45:60, 40:45] = 1
    annotations = [annotation(fdi=37, segmentation=compressed(small)), annotation(fdi=36)]
    (sample,) = load_coco(write_coco(tmp_path / "train.json", "a.png", annotations=annotations), images)
    assert (sample.labels[small > 0] == 37).all()
    assert (sample.labels == 36).sum() == tooth_mask().sum() - 5 * 5


def test_a_coco_file_that_is_missing_or_is_none_is_refused(tmp_path, images):
    refused(tmp_path / "absent.json", images, "absent.json", "is missing")
    for content in ("{", "[]", '{"images": []}'):
        path = tmp_path / "broken.json"
        path.write_text(content)
        refused(path, images, "broken.json", "not a COCO file")


def test_a_missing_picture_is_refused(tmp_path, images):
    refused(write_coco(tmp_path / "train.json", "a.png", "absent.png"), images, "absent.png", "is missing")


def test_a_picture_that_is_none_is_refused(tmp_path, images):
    (images / "a.png").write_bytes(b"no picture at all")
    refused(write_coco(tmp_path / "train.json", "a.png"), images, "a.png", "cannot be read")


def test_a_picture_of_another_size_is_refused_with_both_sizes(tmp_path, images):
    path = write_coco(tmp_path / "train.json", "a.png", width=999)
    refused(path, images, "a.png", "train.json", "140 x 130", "999 x 130")


def test_a_mask_of_another_size_is_refused_with_both_sizes(tmp_path, images):
    small = compressed(np.ones((60, 50), np.uint8))
    path = write_coco(tmp_path / "train.json", "a.png", annotations=[annotation(segmentation=small)])
    refused(path, images, "train.json", "annotation 7", "50 x 60", "140 x 130")


@pytest.mark.parametrize("fdi", [0, 19, 51, 91, "51", "canine"])
def test_a_category_that_is_no_permanent_tooth_is_refused(tmp_path, images, fdi):
    path = write_coco(tmp_path / "train.json", "a.png", annotations=[annotation(fdi=fdi)])
    refused(path, images, "train.json", "annotation 7", str(fdi))


@pytest.mark.parametrize(
    "outline",
    [
        {},
        [],
        [[1, 2]],
        [[1, 2, 9, 2, 9]],
        [[10, 10, 90, 10, 90, 90, 10]],
        [[10, 10, 90, math.nan, 90, 90]],
        [[[10, 10], [90, 10], [90, 90]]],
        {"size": [HEIGHT, WIDTH], "counts": 3},
        "polygon",
    ],
)
def test_a_segmentation_that_does_not_decode_is_refused(tmp_path, images, outline):
    path = write_coco(tmp_path / "train.json", "a.png", annotations=[annotation() | {"segmentation": outline}])
    refused(path, images, "train.json", "annotation 7")


def test_an_annotation_of_a_picture_that_is_not_listed_is_refused(tmp_path, images):
    path = write_coco(tmp_path / "train.json", "a.png", annotations=[annotation(image_id=2)])
    refused(path, images, "train.json", "annotation 7", "picture 2")


def test_a_picture_in_two_splits_is_found_even_under_another_name(tmp_path, images):
    (images / "again.png").write_bytes((images / "a.png").read_bytes())
    write_coco(tmp_path / "train.json", "a.png", "b.png")
    write_coco(tmp_path / "val.json", "c.png")
    write_coco(tmp_path / "test.json", "again.png")
    source = CocoData(kind="coco", folder=tmp_path)
    with pytest.raises(DataError, match=r"train/a\.png and test/again\.png: the same picture"):
        refuse_leaks(load_splits(source))
    refuse_leaks(load_splits(source, names=("train", "val")))


@pytest.mark.parametrize(
    ("part", "key"),
    [("images", key) for key in ("id", "file_name", "width", "height")]
    + [("annotations", key) for key in ("id", "image_id", "category_id", "segmentation")],
)
def test_an_entry_that_lacks_something_is_refused_by_its_place(tmp_path, images, part, key):
    path = write_coco(tmp_path / "train.json", "a.png")
    content = json.loads(path.read_text())
    del content[part][0][key]
    path.write_text(json.dumps(content))
    refused(path, images, "train.json", f"{part}.0.{key}: Field required")


def test_a_picture_that_is_listed_twice_is_refused_with_both_ids(tmp_path, images):
    path = write_coco(tmp_path / "train.json", "a.png", "b.png", "./a.png")
    refused(path, images, "train.json", "a.png is listed twice, with the ids 1 and 3")


@pytest.mark.parametrize("outline", [[], None])
def test_a_box_without_an_outline_is_refused_as_such(tmp_path, images, outline):
    path = write_coco(tmp_path / "train.json", "a.png", annotations=[annotation() | {"segmentation": outline}])
    refused(path, images, "annotation 7 has only a box and no outline")


@pytest.mark.parametrize(
    "outline", [{}, "polygon", {"size": [HEIGHT, WIDTH], "counts": 3}, {"size": 3, "counts": "abc"}]
)
def test_a_segmentation_of_another_kind_is_refused_without_words_about_python(tmp_path, images, outline):
    path = write_coco(tmp_path / "train.json", "a.png", annotations=[annotation() | {"segmentation": outline}])
    refused(path, images, "annotation 7", "cannot be used: it is neither a list of polygons nor an RLE")


@pytest.mark.parametrize(
    ("outline", "words"),
    [
        ([[900, 90, 950, 90, 950, 99]], "the point 900, 90 lies outside the picture of 140 x 130; are its coordinates"),
        ([[10, 10, 50, 10, 50, -3]], "the point 50, -3 lies outside"),
        ([[0.1, 0.1, 0.9, 0.1, 0.9, 0.9]], "its coordinates are all 1 or less; are they pixels?"),
        ([[10.2, 10.2, 10.4, 10.2, 10.4, 10.5]], "marks no pixel of its picture"),
        (compressed(np.zeros((HEIGHT, WIDTH), np.uint8)), "marks no pixel of its picture"),
    ],
    ids=["beside the picture", "above it", "shares of the picture", "between pixels", "empty"],
)
def test_an_annotation_that_draws_nothing_is_refused(tmp_path, images, outline, words):
    path = write_coco(tmp_path / "train.json", "a.png", annotations=[annotation(segmentation=outline)])
    refused(path, images, "train.json", "annotation 7", words)


def test_an_outline_may_touch_the_edge_and_a_little_beyond(tmp_path, images):
    outline = [[-1.5, 100, 40, 100, 40, HEIGHT + 2, 0, HEIGHT]]
    path = write_coco(tmp_path / "train.json", "a.png", annotations=[annotation(segmentation=outline)])
    assert load_coco(path, images)[0].labels[-1, 0] == 36


def test_a_coco_file_that_begins_with_a_byte_order_mark_is_read(tmp_path, images):
    path = write_coco(tmp_path / "train.json", "a.png")
    path.write_text(path.read_text(), encoding="utf-8-sig")
    assert len(load_coco(path, images)) == 1


def test_two_pictures_of_one_number_are_refused(tmp_path, images):
    path = write_coco(tmp_path / "train.json", "a.png", "b.png")
    path.write_text(path.read_text().replace('"id": 2', '"id": 1'))
    refused(path, images, "train.json", "two pictures have the id 1")


def test_two_categories_of_one_number_are_refused_unless_they_have_one_name(tmp_path, images):
    path = write_coco(tmp_path / "train.json", "a.png", annotations=[annotation(fdi=1)])
    content = json.loads(path.read_text())
    for second in ("21", "22"):
        content["categories"] = [{"id": 1, "name": "21"}, {"id": 1, "name": second}]
        path.write_text(json.dumps(content))
        if second == "21":
            assert set(np.unique(load_coco(path, images)[0].labels)) == {0, 21}
    refused(path, images, "train.json", "two categories have the id 1, 21 and 22")


def test_a_picture_whose_patient_is_null_is_nobodys(tmp_path, images):
    path = write_coco(tmp_path / "train.json", "a.png", "b.png")
    content = json.loads(path.read_text())
    content["images"][0]["patient_id"], content["images"][1]["patient_id"] = None, 7
    path.write_text(json.dumps(content))
    assert [sample.patient for sample in load_coco(path, images)] == ["", "7"]


@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_a_split_without_pictures_is_refused(tmp_path, images, split):
    for name, picture in (("train", "a.png"), ("val", "b.png"), ("test", "c.png")):
        write_coco(tmp_path / f"{name}.json", *([] if name == split else [picture]))
    with pytest.raises(DataError, match=rf"{split}\.json lists no pictures; at least one is needed in {split}"):
        load_splits(CocoData(kind="coco", folder=tmp_path))


@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_a_split_to_learn_from_or_to_choose_by_shows_a_tooth(tmp_path, images, split):
    for name, picture in (("train", "a.png"), ("val", "b.png"), ("test", "c.png")):
        write_coco(tmp_path / f"{name}.json", picture, annotations=[] if name == split else None)
    source = CocoData(kind="coco", folder=tmp_path)
    if split == "test":
        assert load_splits(source).test
        return
    with pytest.raises(DataError, match=rf"{split}\.json has no pixel of a tooth in any of its 1 pictures"):
        load_splits(source)


def write_pairs(folder, *names, seed=0):
    for name in names:
        write_picture(folder / "images" / name, seed)
        (folder / "masks").mkdir(exist_ok=True)
        cv2.imwrite(str(folder / "masks" / name), 255 * tooth_mask())
        seed += 1


def test_a_pair_is_labelled_as_tooth_without_a_number(tmp_path):
    write_pairs(tmp_path, "a.png")
    (sample,) = load_pairs(tmp_path)
    assert np.array_equal(sample.labels, TOOTH * tooth_mask())
    assert np.array_equal(to_classes(sample.labels, 2), tooth_mask())


def test_a_mask_of_16_bits_is_tooth_above_half_of_its_own_range(tmp_path):
    write_pairs(tmp_path, "a.png")
    grey = np.where(tooth_mask() > 0, 40_000, 20_000).astype(np.uint16)
    cv2.imwrite(str(tmp_path / "masks" / "a.png"), grey)
    (sample,) = load_pairs(tmp_path)
    assert np.array_equal(sample.labels > 0, tooth_mask() > 0)


@pytest.mark.parametrize(
    ("mask", "values"),
    [
        (tooth_mask(), "0, 1"),
        (np.stack([0 * tooth_mask(), 0 * tooth_mask(), 255 * tooth_mask()], axis=-1), "0, 76"),
        (np.stack([0 * tooth_mask(), 0 * tooth_mask(), 160 * tooth_mask()], axis=-1), "0, 48"),
        (39 * tooth_mask(), "0, 39"),
        (np.arange(HEIGHT * WIDTH, dtype=np.uint8).reshape(HEIGHT, WIDTH) // 3, "0, 1, 2, 3, 4, …"),
    ],
    ids=["zeros and ones", "red on black", "a red as dark as 48", "no tooth's number", "greys"],
)
def test_a_mask_that_would_count_as_no_tooth_is_refused_with_its_values(tmp_path, mask, values):
    write_pairs(tmp_path, "a.png")
    cv2.imwrite(str(tmp_path / "masks" / "a.png"), mask)
    with pytest.raises(DataError, match=rf"masks/a\.png has the grey values {values}, .* where tooth and 0 elsewhere"):
        load_pairs(tmp_path)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ((51,), r"the grey values 51, which are no FDI numbers of permanent teeth \(51 to 85 are deciduous teeth\)"),
        ((19, 99), r"the grey values 19, 99, which are no FDI numbers of permanent teeth;"),
        ((255,), r"the grey values 255, which are no FDI numbers of permanent teeth;"),
    ],
)
def test_of_a_mask_of_numbers_those_that_are_no_teeth_are_named(tmp_path, wrong, words):
    write_pairs(tmp_path, "a.png")
    numbers = np.zeros((HEIGHT, WIDTH), np.uint8)
    for place, value in enumerate((11, 12, 13, 14, 15, 16, *wrong)):
        numbers[20:60, 15 * place : 15 * place + 12] = value
    cv2.imwrite(str(tmp_path / "masks" / "a.png"), numbers)
    with pytest.raises(DataError, match=rf"masks/a\.png has {words}"):
        load_pairs(tmp_path)


@pytest.mark.parametrize("kind", ["P", "RGB"])
def test_numbers_in_a_palette_or_in_colours_are_to_be_saved_as_greys(tmp_path, kind):
    write_pairs(tmp_path, "a.png")
    palette = Image.fromarray(11 * tooth_mask())
    palette.putpalette([value for number in range(256) for value in (number, 9 * number % 256, 5 * number % 256)])
    palette.convert(kind).save(tmp_path / "masks" / "a.png")
    with pytest.raises(DataError, match=r"a\.png has .*; one of FDI numbers must be saved as 8-bit grey\."):
        load_pairs(tmp_path)


def test_a_mask_that_is_drawn_in_its_transparency_alone_is_refused(tmp_path):
    write_pairs(tmp_path, "a.png")
    black = 0 * tooth_mask()
    cv2.imwrite(str(tmp_path / "masks" / "a.png"), np.stack([black, black, black, 255 * tooth_mask()], axis=-1))
    with pytest.raises(DataError, match=r"masks/a\.png is black all over but for its transparency"):
        load_pairs(tmp_path)
    cv2.imwrite(str(tmp_path / "masks" / "a.png"), np.stack([black, black, black, 0 * black + 255], axis=-1))
    assert not load_pairs(tmp_path)[0].labels.any()


def test_teeth_drawn_on_a_picture_before_its_exif_turned_it_are_refused_by_that_name(tmp_path):
    write_pairs(tmp_path, "a.png")
    exif = Image.Exif()
    exif[0x0112] = 6
    (tmp_path / "images" / "a.png").unlink()
    Image.new("L", (WIDTH, HEIGHT)).save(tmp_path / "images" / "a.jpg", exif=exif)
    with pytest.raises(DataError, match=r"140 x 130 pixels, and its picture 130 x 140; the picture's EXIF orientation"):
        load_pairs(tmp_path)
    path = write_coco(tmp_path / "train.json", "a.jpg")
    refused(path, tmp_path / "images", "130 x 140 pixels", "says 140 x 130; the picture's EXIF orientation")


def test_the_numbers_that_the_service_writes_into_a_mask_are_taken(tmp_path):
    (drawn,) = draw_samples(1, seed=3)
    for part, data in (("images", drawn.data), ("masks", encode_png(drawn.labels))):
        (tmp_path / part).mkdir()
        (tmp_path / part / "a.png").write_bytes(data)
    (sample,) = load_pairs(tmp_path)
    assert np.array_equal(sample.labels, drawn.labels)
    assert are_numbered([sample])


def test_tooth_numbers_in_a_mask_of_16_bits_are_not_taken_for_greys(tmp_path):
    write_pairs(tmp_path, "a.png")
    numbers = tooth_mask().astype(np.uint16) * 11
    numbers[60:90, 30:45] = 48
    cv2.imwrite(str(tmp_path / "masks" / "a.png"), numbers)
    with pytest.raises(DataError, match=r"a\.png is of 16 bits and has 3 grey values"):
        load_pairs(tmp_path)


def test_a_mask_that_is_black_all_over_is_of_a_patient_without_teeth(tmp_path):
    write_pairs(tmp_path, "a.png")
    cv2.imwrite(str(tmp_path / "masks" / "a.png"), 0 * tooth_mask())
    assert not load_pairs(tmp_path)[0].labels.any()


def test_only_numbered_teeth_tell_numbers(tmp_path, images):
    write_pairs(tmp_path / "pairs", "a.png", "b.png")
    cv2.imwrite(str(tmp_path / "pairs" / "masks" / "b.png"), 0 * tooth_mask())
    tooth, none = load_pairs(tmp_path / "pairs")
    (numbered,) = load_coco(write_coco(tmp_path / "train.json", "a.png"), images)
    assert are_numbered([numbered])
    assert are_numbered([numbered, none])
    for samples in ([tooth], [none], [tooth, none], [tooth, numbered], []):
        assert not are_numbered(samples)


@pytest.mark.parametrize("part", ["images", "masks"])
def test_two_files_of_one_name_are_refused(tmp_path, part):
    write_pairs(tmp_path, "a.png")
    shutil.copy(tmp_path / part / "a.png", tmp_path / part / "a.jpg")
    with pytest.raises(DataError, match=rf"{part}/a\.jpg and .*{part}/a\.png have the same name but for the ending"):
        load_pairs(tmp_path)


def test_the_operating_systems_own_files_are_left_out(tmp_path):
    write_pairs(tmp_path, "a.png")
    for name in (".DS_Store", "._a.png", "Thumbs.db", "desktop.ini"):
        (tmp_path / "images" / name).write_bytes(b"no picture")
    assert [sample.name for sample in load_pairs(tmp_path)] == ["a.png"]


@pytest.mark.parametrize("name", ["2024", "2024.old"])
def test_a_folder_among_the_pictures_is_refused_and_not_passed_over(tmp_path, name):
    write_pairs(tmp_path, "a.png")
    write_picture(tmp_path / "images" / name / "b.png")
    with pytest.raises(DataError, match=rf"images/{name} is a folder, .* put its files into .*images itself"):
        load_pairs(tmp_path)


def test_pictures_may_be_named_as_in_a_dicom_archive(tmp_path):
    names = ("1.2.840.0", "1.2.840.1", "IM0001")
    write_pairs(tmp_path, *(f"{name}.png" for name in names))
    for name in names:
        (tmp_path / "images" / f"{name}.png").rename(tmp_path / "images" / name)
    assert [sample.name for sample in load_pairs(tmp_path)] == list(names)


def test_a_table_of_patients_that_is_not_utf_8_is_refused(tmp_path):
    write_pairs(tmp_path, "a.png")
    (tmp_path / "patients.csv").write_bytes("picture,patient\na.png,Müller\n".encode("latin-1"))
    with pytest.raises(DataError, match=r"patients\.csv is not UTF-8"):
        load_pairs(tmp_path)


def test_a_quotation_mark_that_is_left_open_in_a_table_of_patients_is_told(tmp_path):
    write_pairs(tmp_path, "a.png")
    (tmp_path / "patients.csv").write_text('picture,patient\na.png,"17\n' + 20_000 * "b.png,18\n")
    with pytest.raises(DataError, match=r"patients\.csv is no CSV .* quotation mark that is left open"):
        load_pairs(tmp_path)


@pytest.mark.parametrize(("removed", "left", "missing"), [("masks", "images", "mask"), ("images", "masks", "picture")])
def test_one_half_of_a_pair_is_refused(tmp_path, removed, left, missing):
    write_pairs(tmp_path, "a.png", "b.png")
    (tmp_path / removed / "b.png").unlink()
    with pytest.raises(DataError, match=rf"{left}/b\.png has no {missing}"):
        load_pairs(tmp_path)


def test_a_mask_of_another_size_than_its_picture_is_refused(tmp_path):
    write_pairs(tmp_path, "a.png")
    cv2.imwrite(str(tmp_path / "masks" / "a.png"), np.zeros((60, 50), np.uint8))
    with pytest.raises(DataError, match=r"masks/a\.png is 50 x 60 pixels, and its picture 140 x 130"):
        load_pairs(tmp_path)


def test_a_folder_without_pictures_is_refused(tmp_path):
    with pytest.raises(DataError, match=re.escape(f"{tmp_path / 'images'} is no folder")):
        load_pairs(tmp_path)
    (tmp_path / "images").mkdir()
    with pytest.raises(DataError, match=re.escape(f"{tmp_path / 'images'} holds no pictures")):
        load_pairs(tmp_path)


def test_pairs_are_loaded_split_by_split(tmp_path):
    for number, split in enumerate(("train", "val", "test")):
        write_pairs(tmp_path / split, f"{split}.png", seed=number)
    splits = load_splits(PairsData(kind="pairs", folder=tmp_path))
    assert [sample.name for part in (splits.train, splits.val, splits.test) for sample in part] == [
        "train.png",
        "val.png",
        "test.png",
    ]


def test_drawn_pictures_come_as_many_as_asked_for_and_the_same_each_time():
    source = PhantomData(kind="phantom", train=1, val=1, test=1, seed=5)
    one = load_splits(source)
    draw_samples.cache_clear()
    other = load_splits(source, names=("train",))
    assert (len(one.train), len(one.val), len(one.test)) == (1, 1, 1)
    assert one.train[0].data == other.train[0].data
    assert np.array_equal(one.train[0].labels, other.train[0].labels)


def test_an_epoch_shows_a_picture_of_a_category_to_repeat_so_many_times():
    often, once, without = (
        replace(one, category=category) for one, category in zip(draw_samples(3, 1), ("5", "10", ""), strict=True)
    )
    phase = {"height": 32, "width": 64, "epochs": 2, "batch": 5}
    config = Config.model_validate({**LEAST, "phases": [phase], "repeat": {5: 3}})
    data = ToothData(Splits(train=(often, once, without), val=(often,), test=()), config)
    data.trainer = SimpleNamespace(current_epoch=1)
    (pictures, _) = next(iter(data.train_dataloader()))
    shown = [
        sum(np.array_equal(picture, prepare_sample(sample, 32, 64, 33)[0]) for picture in pictures.numpy())
        for sample in (often, once, without)
    ]
    assert shown == [3, 1, 1]
    assert data.steps() == 2
    # What is chosen by is shown once.
    assert len(data.val_dataloader().dataset) == 1


BY_PROCESSES = """
import types

import torch

from training.config import Config
from training.data import load_splits
from training.data.loader import ToothData

config = Config.model_validate({
    "name": "drawn", "data": {"kind": "phantom", "train": 5, "val": 1, "test": 1},
    "phases": [{"height": 32, "width": 64, "epochs": 4, "batch": 2}],
    "optimiser": {"name": "adam", "learning_rate": 0.001}, "scheduler": {"name": "one-cycle"},
    "augmentation": {"mirror": 0.5, "remove_teeth": 0.5, "rotate": 5, "elastic": 0.01, "gamma": 0.3, "noise": 0.03},
})
splits = load_splits(config.data, names=("train", "val"))
drawn = []
for workers in (0, 2):
    data = ToothData(splits, config, workers)
    data.trainer = types.SimpleNamespace(current_epoch=0)
    for data.trainer.current_epoch in (0, 1, 3):
        drawn.append([torch.stack(batch) for batch in data.train_dataloader()])
alone, beside = drawn[:3], drawn[3:]
print([len(epoch) for epoch in alone])
print(all(torch.equal(*both) for epochs in zip(alone, beside) for both in zip(*epochs, strict=True)))
print(torch.equal(alone[0][0], alone[1][0]))
"""


def test_processes_change_the_pictures_as_the_training_process_itself_does():
    """A GPU's run has them. In a process of its own: this one holds libraries that do not bear to be forked."""
    done = subprocess.run([sys.executable, "-c", BY_PROCESSES], cwd=REPOSITORY, capture_output=True, text=True)
    assert done.stdout.splitlines() == ["[2, 2, 2]", "True", "False"], done.stderr


@pytest.mark.parametrize("kind", ["greys", "colours", "inverted", "white"])
def test_a_mask_of_another_kind_is_refused_and_not_half_lost(tmp_path, kind):
    write_pairs(tmp_path, "a.png")
    tooth = tooth_mask() > 0
    bright, dark = tooth.copy(), tooth.copy()
    bright[:, tooth.shape[1] // 2 :] = dark[:, : tooth.shape[1] // 2] = False
    painted = {
        "greys": np.where(dark, 90, np.where(bright, 200, 0)),
        "colours": np.stack([np.where(bright, 255, 0), np.where(tooth, 255, 0), np.where(dark, 200, 0)], axis=-1),
        "inverted": np.where(tooth, 0, 255),
        "white": np.full(tooth.shape, 255),
    }[kind]
    cv2.imwrite(str(tmp_path / "masks" / "a.png"), painted.astype(np.uint8))
    with pytest.raises(DataError, match=r"a\.png (has colours or greys|is more than half white)"):
        load_pairs(tmp_path)


def test_a_mask_with_soft_edges_is_taken(tmp_path):
    write_pairs(tmp_path, "a.png")
    sharp = np.where(tooth_mask() > 0, 255, 0).astype(np.uint8)
    soft = cv2.GaussianBlur(sharp, (0, 0), 1.5)
    cv2.imwrite(str(tmp_path / "masks" / "a.png"), soft)
    (sample,) = load_pairs(tmp_path)
    assert ((sample.labels > 0) == (soft > 127)).all()


def test_names_that_two_systems_write_in_two_ways_are_the_same(tmp_path):
    write_pairs(tmp_path, "z\u00e4hne.png")
    (tmp_path / "masks" / "z\u00e4hne.png").rename(tmp_path / "masks" / "za\u0308hne.png")
    assert len(load_pairs(tmp_path)) == 1


def name_categories(path, **names):
    """Names the categories of a COCO file, by their ids."""
    categories = [{"id": int(category), "name": name} for category, name in names.items()]
    path.write_text(json.dumps({**json.loads(path.read_text()), "categories": categories}))


@pytest.mark.parametrize(("category", "fdi"), [(7, 36), ("7", 36), (48, 21), (11, 22), (12, 23)])
def test_a_category_is_the_number_that_it_is_named_by(tmp_path, images, category, fdi):
    path = write_coco(tmp_path / "train.json", "a.png", annotations=[annotation(fdi=category)])
    name_categories(path, **{"7": "36", "48": "21", "8": "implant", "11": "tooth_22", "12": "FDI 23"})
    (sample,) = load_coco(path, images)
    assert set(np.unique(sample.labels)) == {0, fdi}


def test_what_is_named_otherwise_than_the_teeth_is_no_tooth_of_its_categorys_number(tmp_path, images):
    path = write_coco(tmp_path / "train.json", "a.png", annotations=[annotation(), annotation(fdi=33)])
    name_categories(path, **{"36": "36", "33": "implant"})
    refused(path, images, "train.json", "annotation 7", "category 33, named implant", "no FDI number")


@pytest.mark.parametrize("name", ["implant 36", "36 crown"])
def test_a_number_amid_other_words_makes_no_tooth_of_an_implant(tmp_path, images, name):
    path = write_coco(tmp_path / "train.json", "a.png", annotations=[annotation(fdi=7), annotation(fdi=8)])
    name_categories(path, **{"7": "tooth 36", "8": name})
    refused(path, images, "annotation 7", f"category 8, named {name}", "no FDI number")


@pytest.mark.parametrize("name", ["upper left 21", "tooth 51"])
def test_an_id_does_not_win_over_a_name_that_tells_another_tooth(tmp_path, images, name):
    path = write_coco(tmp_path / "train.json", "a.png", annotations=[annotation(fdi=11)])
    name_categories(path, **{"11": name})
    refused(path, images, "train.json", f"category 11 is named {name}", "by its FDI number alone")


@pytest.mark.parametrize("categories", [{}, {"21": "left central incisor"}, {"21": "incisor (21)"}])
@pytest.mark.parametrize("category", [21, "21"])
def test_where_no_category_is_named_by_a_number_its_id_is_the_number(tmp_path, images, categories, category):
    path = write_coco(tmp_path / "train.json", "a.png", annotations=[annotation(fdi=category)])
    name_categories(path, **categories)
    (sample,) = load_coco(path, images)
    assert set(np.unique(sample.labels)) == {0, 21}


def test_runs_that_do_not_fill_the_picture_are_refused(tmp_path, images):
    outline = uncompressed(tooth_mask())
    outline["counts"] = outline["counts"][:-1]
    path = write_coco(tmp_path / "train.json", "a.png", annotations=[annotation(segmentation=outline)])
    with pytest.raises(DataError, match="do not add up"):
        load_coco(path, images)
