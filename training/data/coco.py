"""COCO files whose categories are FDI numbers, laid out as in UFBA-425."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from pycocotools import mask as coco_mask

from service.dentition.fdi import FDI_NUMBERS
from training.data.samples import DataError, Sample, read_radiograph


def load_coco(annotations: Path, images: Path) -> tuple[Sample, ...]:
    """Load one split.

    Args:
        annotations: the COCO file; `category_id` is the tooth's FDI number, `segmentation` an RLE (compressed or not)
            or a list of polygons; a picture's `patient_id`, where it has one, tells whose it is.
        images: the folder that holds its `file_name`s.

    Raises:
        DataError: a file that is missing or damaged, a mask or a picture of another size, or an unknown category.
    """
    try:
        content = json.loads(annotations.read_text())
        entries, teeth = content["images"], content["annotations"]
    except FileNotFoundError as error:
        raise DataError(f"{annotations} is missing.") from error
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"{annotations} is not a COCO file: {error}") from error
    by_image: dict[int, list[dict[str, Any]]] = {entry["id"]: [] for entry in entries}
    for tooth in teeth:
        if tooth["image_id"] not in by_image:
            raise DataError(
                f"{annotations}: annotation {tooth['id']} is of picture {tooth['image_id']}, which is not listed."
            )
        by_image[tooth["image_id"]].append(tooth)
    return tuple(_load_sample(entry, by_image[entry["id"]], images, annotations) for entry in entries)


def _load_sample(entry: dict[str, Any], teeth: list[dict[str, Any]], images: Path, annotations: Path) -> Sample:
    path = images / entry["file_name"]
    data, radiograph = read_radiograph(path)
    height, width = radiograph.pixels.shape
    if (height, width) != (entry["height"], entry["width"]):
        raise DataError(
            f"{path} is {width} x {height} pixels, and {annotations} says {entry['width']} x {entry['height']}."
        )
    masks = [(tooth["category_id"], _decode_mask(tooth, height, width, annotations)) for tooth in teeth]
    labels = np.zeros((height, width), np.uint8)
    # Neighbours overlap by about 2 % of their pixels: the smaller tooth is drawn last, and keeps them.
    for fdi, mask in sorted(masks, key=lambda pair: -int(pair[1].sum())):
        labels[mask] = fdi
    category, patient = (str(entry.get(key, "")) for key in ("ufba_category", "patient_id"))
    return Sample(entry["file_name"], data, radiograph.pixels, labels, category, patient)


def _decode_mask(tooth: dict[str, Any], height: int, width: int, annotations: Path) -> npt.NDArray[np.bool_]:
    where = f"{annotations}: annotation {tooth['id']}"
    if tooth["category_id"] not in FDI_NUMBERS:
        raise DataError(f"{where} has category {tooth['category_id']}, which is no FDI number of a permanent tooth.")
    outline = tooth["segmentation"]
    try:
        if isinstance(outline, list):
            outline = coco_mask.merge(coco_mask.frPyObjects(outline, height, width))
        elif isinstance(outline["counts"], list):
            outline = coco_mask.frPyObjects(outline, *outline["size"])
        mask = coco_mask.decode(outline)
    except Exception as error:  # pycocotools raises the bare class
        raise DataError(f"{where} has a segmentation that does not decode: {error}") from error
    if mask.shape != (height, width):
        raise DataError(
            f"{where} has a mask of {mask.shape[1]} x {mask.shape[0]} pixels for a picture of {width} x {height}."
        )
    return mask.astype(bool)
