"""COCO files whose categories are FDI numbers, laid out as in UFBA-425."""

import codecs
import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Final

import numpy as np
import numpy.typing as npt
from pycocotools import mask as coco_mask
from pydantic import BaseModel, Field, ValidationError

from service.dentition.fdi import FDI_NUMBERS
from training.config import tell_faults
from training.data.samples import DataError, Sample, explain_size, read_radiograph

_SHORTEST: Final = 6
"""Numbers of the shortest polygon, a triangle."""

_BEYOND: Final = 2
"""Pixels that a point may lie outside its picture, as where an outline follows a tooth to the edge."""

_NAMED_TOOTH: Final = re.compile(r"(?:tooth|fdi)[\s_#-]*(\d\d)", re.IGNORECASE)
_TWO_DIGITS: Final = re.compile(r"(?<!\d)\d\d(?!\d)")

# Some tools write numbers as text.
_Number = Annotated[int | str, Field(union_mode="left_to_right")]


class _Picture(BaseModel):
    id: int | str
    file_name: str
    width: int
    height: int
    ufba_category: int | str | None = None
    patient_id: int | str | None = None


class _Tooth(BaseModel):
    id: int | str
    image_id: int | str
    category_id: _Number
    segmentation: Any


class _Category(BaseModel):
    id: _Number
    name: _Number | None = None


class _File(BaseModel):
    images: tuple[_Picture, ...]
    annotations: tuple[_Tooth, ...]
    categories: tuple[_Category, ...] = ()


def load_coco(annotations: Path, images: Path) -> tuple[Sample, ...]:
    """Load one split.

    Args:
        annotations: the COCO file; the name of a tooth's category is its FDI number, also as `tooth 21` or `FDI 21`, or
            `category_id` is, where none of the file's categories has such a name; `segmentation` is an RLE (compressed
            or not) or a list of polygons; a picture's `patient_id`, where it has one, tells whose it is.
        images: the folder that holds its `file_name`s.

    Raises:
        DataError: a file that is missing or damaged, a mask or a picture of another size, a picture that is listed
            twice, or an annotation that marks no pixel, lies outside its picture or is of what is no permanent tooth.
    """
    try:
        content = _File.model_validate_json(annotations.read_bytes().removeprefix(codecs.BOM_UTF8))
    except FileNotFoundError as error:
        raise DataError(f"{annotations} is missing.") from error
    except OSError as error:
        raise DataError(f"{annotations} cannot be read: {error.strerror}.") from error
    except ValidationError as error:
        raise DataError(f"{annotations} is not a COCO file as it should be: {tell_faults(error)}.") from error
    numbers = _number_categories(content.categories, annotations)
    names = {each.id: each.name for each in content.categories}
    by_image: dict[int | str, list[_Tooth]] = {}
    listed: dict[Path, int | str] = {}
    for picture in content.images:
        if picture.id in by_image:
            raise DataError(f"{annotations}: two pictures have the id {picture.id}; give each its own.")
        by_image[picture.id] = []
        if (first := listed.setdefault(Path(picture.file_name), picture.id)) != picture.id:
            raise DataError(
                f"{annotations}: {picture.file_name} is listed twice, with the ids {first} and {picture.id}; list it "
                "once, with all of its teeth."
            )
    for tooth in content.annotations:
        if tooth.image_id not in by_image:
            raise DataError(
                f"{annotations}: annotation {tooth.id} is of picture {tooth.image_id}, which is not listed."
            )
        if tooth.category_id not in numbers:
            named = names.get(tooth.category_id)
            category = f"{tooth.category_id}" + ("" if named is None else f", named {named}")
            raise DataError(
                f"{annotations}: annotation {tooth.id} has category {category}, which is no FDI number of a permanent "
                "tooth; name each tooth's category by its FDI number, and leave out what is no tooth."
            )
        by_image[tooth.image_id].append(tooth.model_copy(update={"category_id": numbers[tooth.category_id]}))
    return tuple(_load_sample(picture, by_image[picture.id], images, annotations) for picture in content.images)


def _number_categories(categories: Sequence[_Category], annotations: Path) -> dict[int | str, int]:
    """The FDI number of each category of teeth, by its id.

    Raises:
        DataError: two categories have one id, or no category is named by its number, and the name of one tells another
            than its id.
    """
    names = {each.id: each.name for each in categories}
    for each in categories:
        if each.name != names[each.id]:
            raise DataError(
                f"{annotations}: two categories have the id {each.id}, {each.name} and {names[each.id]}; give each its "
                "own."
            )
    # Tools for labelling number the categories as they come, so that an implant's may be 33, and keep the FDI numbers
    # as their names: where one has such a name, no id counts.
    numbers = {each.id: fdi for each in categories if (fdi := _read_number(each.name)) in FDI_NUMBERS}
    if numbers:
        return numbers
    for each in categories:
        named = set(map(int, _TWO_DIGITS.findall(str(each.name))))
        if each.id in FDI_NUMBERS and named and each.id not in named:
            raise DataError(
                f"{annotations}: category {each.id} is named {each.name}, so that its id or its name tells another "
                "tooth; name each tooth's category by its FDI number alone, such as 21."
            )
    return {fdi: fdi for fdi in FDI_NUMBERS}


def _read_number(name: int | str | None) -> int | None:
    """The number that a category is named by. A number amid other words may be of an implant or a crown."""
    if isinstance(name, str) and (named := _NAMED_TOOTH.fullmatch(name.strip())):
        return int(named[1])
    return name if isinstance(name, int) else None


def _load_sample(picture: _Picture, teeth: list[_Tooth], images: Path, annotations: Path) -> Sample:
    path = images / picture.file_name
    data, radiograph = read_radiograph(path)
    height, width = radiograph.pixels.shape
    if (height, width) != (picture.height, picture.width):
        raise DataError(
            f"{path} is {width} x {height} pixels, and {annotations} says {picture.width} x {picture.height}"
            f"{explain_size(data, (height, width), (picture.height, picture.width))}."
        )
    masks = [(tooth.category_id, _decode_mask(tooth, height, width, annotations)) for tooth in teeth]
    labels = np.zeros((height, width), np.uint8)
    # Neighbours overlap by about 2 % of their pixels: the smaller tooth is drawn last, and keeps them.
    for fdi, mask in sorted(masks, key=lambda pair: -int(pair[1].sum())):
        labels[mask] = fdi
    category, patient = ("" if value is None else str(value) for value in (picture.ufba_category, picture.patient_id))
    return Sample(picture.file_name, data, radiograph.pixels, labels, category, patient)


def _decode_mask(tooth: _Tooth, height: int, width: int, annotations: Path) -> npt.NDArray[np.bool_]:
    where = f"{annotations}: annotation {tooth.id}"
    outline = tooth.segmentation
    if outline is None or outline == []:
        raise DataError(f"{where} has only a box and no outline; its segmentation is to be polygons or an RLE.")
    try:
        if isinstance(outline, list):
            _check_polygons(outline, height, width)
            outline = coco_mask.merge(coco_mask.frPyObjects(outline, height, width))
        elif isinstance(outline["counts"], list):
            if sum(outline["counts"]) != height * width:
                raise ValueError("its counts do not add up to the picture's pixels.")
            outline = coco_mask.frPyObjects(outline, *outline["size"])
        mask = coco_mask.decode(outline)
    except ValueError as error:
        raise DataError(f"{where} has a segmentation that cannot be used: {error}") from error
    except Exception as error:  # pycocotools raises whatever it stumbles over, in words about Python
        raise DataError(
            f"{where} has a segmentation that cannot be used: it is neither a list of polygons nor an RLE of size and "
            "counts."
        ) from error
    if mask.shape != (height, width):
        raise DataError(
            f"{where} has a mask of {mask.shape[1]} x {mask.shape[0]} pixels for a picture of {width} x {height}."
        )
    if not mask.any():
        raise DataError(f"{where} marks no pixel of its picture; outline the tooth, or remove the annotation.")
    return mask.astype(bool)


def _check_polygons(polygons: list[Any], height: int, width: int) -> None:
    """Pycocotools takes half points, and numbers that are none, for something, and drops what is outside."""
    for polygon in polygons:
        if not isinstance(polygon, list) or len(polygon) % 2 or len(polygon) < _SHORTEST:
            raise ValueError("a polygon is a list of x and y in turn, of at least three points.")
        if not all(isinstance(value, int | float) and math.isfinite(value) for value in polygon):
            raise ValueError("a polygon has a coordinate that is no number.")
        for x, y in zip(polygon[::2], polygon[1::2], strict=True):
            if not (-_BEYOND <= x <= width + _BEYOND and -_BEYOND <= y <= height + _BEYOND):
                raise ValueError(
                    f"the point {x:g}, {y:g} lies outside the picture of {width} x {height}; are its coordinates pixels"
                    " of this picture?"
                )
    if max(map(max, polygons)) <= 1:
        raise ValueError("its coordinates are all 1 or less; are they pixels?")
