"""COCO files whose categories are FDI numbers, laid out as in UFBA-425."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Final

import numpy as np
import numpy.typing as npt
from pycocotools import mask as coco_mask
from pydantic import BaseModel, Field, ValidationError

from service.dentition.fdi import FDI_NUMBERS
from training.config import tell_faults
from training.data.samples import DataError, Sample, read_radiograph

_SHORTEST: Final = 6
"""Numbers of the shortest polygon, a triangle."""

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
        annotations: the COCO file; the name of a tooth's category is its FDI number, or `category_id` is, where none
            of the file's categories has such a name; `segmentation` is an RLE (compressed or not) or a list of
            polygons; a picture's `patient_id`, where it has one, tells whose it is.
        images: the folder that holds its `file_name`s.

    Raises:
        DataError: a file that is missing or damaged, a mask or a picture of another size, or an annotation of what is
            no permanent tooth.
    """
    try:
        content = _File.model_validate_json(annotations.read_bytes())
    except FileNotFoundError as error:
        raise DataError(f"{annotations} is missing.") from error
    except OSError as error:
        raise DataError(f"{annotations} cannot be read: {error.strerror}.") from error
    except ValidationError as error:
        raise DataError(f"{annotations} is not a COCO file as it should be: {tell_faults(error)}.") from error
    numbers = _number_categories(content.categories)
    names = {each.id: each.name for each in content.categories}
    by_image: dict[int | str, list[_Tooth]] = {}
    for picture in content.images:
        if picture.id in by_image:
            raise DataError(f"{annotations}: two pictures have the id {picture.id}; give each its own.")
        by_image[picture.id] = []
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


def _number_categories(categories: Sequence[_Category]) -> dict[int | str, int]:
    """The FDI number of each category of teeth, by its id."""
    # Tools for labelling number the categories as they come, so that an implant's may be 33, and keep the FDI numbers
    # as their names: where one has such a name, no id counts.
    numbers = {each.id: each.name for each in categories if isinstance(each.name, int) and each.name in FDI_NUMBERS}
    return numbers or {fdi: fdi for fdi in FDI_NUMBERS}


def _load_sample(picture: _Picture, teeth: list[_Tooth], images: Path, annotations: Path) -> Sample:
    path = images / picture.file_name
    data, radiograph = read_radiograph(path)
    height, width = radiograph.pixels.shape
    if (height, width) != (picture.height, picture.width):
        raise DataError(
            f"{path} is {width} x {height} pixels, and {annotations} says {picture.width} x {picture.height}."
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
    try:
        if isinstance(outline, list):
            _check_polygons(outline)
            outline = coco_mask.merge(coco_mask.frPyObjects(outline, height, width))
        elif isinstance(outline["counts"], list):
            if sum(outline["counts"]) != height * width:
                raise ValueError("its counts do not add up to the picture's pixels")
            outline = coco_mask.frPyObjects(outline, *outline["size"])
        mask = coco_mask.decode(outline)
    except Exception as error:  # pycocotools raises the bare class
        raise DataError(f"{where} has a segmentation that does not decode: {error}") from error
    if mask.shape != (height, width):
        raise DataError(
            f"{where} has a mask of {mask.shape[1]} x {mask.shape[0]} pixels for a picture of {width} x {height}."
        )
    return mask.astype(bool)


def _check_polygons(polygons: list[Any]) -> None:
    """Pycocotools takes half points, and numbers that are none, for something."""
    for polygon in polygons:
        if not isinstance(polygon, list) or len(polygon) % 2 or len(polygon) < _SHORTEST:
            raise ValueError("a polygon is a list of x and y in turn, of at least three points")
        if not all(isinstance(value, int | float) and math.isfinite(value) for value in polygon):
            raise ValueError("a polygon has a coordinate that is no number")
