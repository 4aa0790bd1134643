"""What is noticed about a picture, from the picture, the model's word and the teeth together."""

from service.model.package import Thresholds
from service.model.prediction import View
from service.plausibility import Plausibility
from service.radiograph import Radiograph
from service.reading import Reading
from service.segmentation import Finding, Severity


def judge(radiograph: Radiograph, reading: Reading) -> tuple[Finding, ...]:
    """Everything worth telling about a picture, the gravest first.

    Args:
        reading: what the answer rests on.
    """
    plausibility, thresholds = reading.plausibility, reading.thresholds
    is_panoramic = reading.is_panoramic
    findings = []
    if radiograph.colourfulness > thresholds.max_colourfulness:
        text = "The picture is in colour, so it is no radiograph; send it as the capture software saves it."
        findings.append(
            _finding("not-a-panoramic", "error", text, radiograph.colourfulness, thresholds.max_colourfulness)
        )
    elif not is_panoramic:
        findings.append(_not_a_panoramic(plausibility, thresholds))
    elif reading.turned:
        findings.append(_turned(reading.turned))
    if is_panoramic and radiograph.mirrored:
        text = (
            "The file says that the patient's right is on the right of the picture; the teeth are numbered as if it "
            "were on the left, so check the side before you use the numbers."
        )
        findings.append(_finding("mirrored", "warning", text, 1.0, 1.0))
    if reading.inverted:
        text = "The picture is a negative (teeth dark); its grey values were inverted before it was read."
        findings.append(_finding("inverted", "warning", text, 1.0, 1.0))
    if reading.model_input.grey_range < thresholds.low_contrast:
        text = "The picture uses a small part of its grey scale; check exposure and export."
        findings.append(
            _finding("low-contrast", "warning", text, reading.model_input.grey_range, thresholds.low_contrast)
        )
    if is_panoramic and plausibility.clearance < thresholds.min_clearance:
        text = (
            "Teeth come up to the side of the picture, and any that it cuts off count as missing; "
            "send it uncut, or take it again."
        )
        findings.append(_finding("cropped", "warning", text, plausibility.clearance, thresholds.min_clearance))
    if is_panoramic and plausibility.teeth < thresholds.few_teeth:
        findings.append(_few_teeth(plausibility.teeth, thresholds.few_teeth))
    return tuple(findings)


def _finding(code: str, severity: Severity, message: str, value: float, limit: float) -> Finding:
    return Finding(code, severity, message, round(value, 3), limit)


def _turned(view: View) -> Finding:
    if view == "upside-down":
        text = "The picture stands on its head; turn it so that the upper teeth are on top."
        return _finding("upside-down", "error", text, 1.0, 1.0)
    text = "The picture lies on its side; turn it so that the upper teeth are on top."
    return _finding("sideways", "error", text, 1.0, 1.0)


def _few_teeth(teeth: int, limit: int) -> Finding:
    how_many = "Few teeth were found" if teeth else "No teeth were found"
    text = f"{how_many}; where the patient has more, the picture is cut off or of poor quality."
    return _finding("few-teeth", "warning", text, teeth, limit)


def _not_a_panoramic(plausibility: Plausibility, thresholds: Thresholds) -> Finding:
    if plausibility.panoramic < thresholds.min_panoramic:
        value, limit = plausibility.panoramic, thresholds.min_panoramic
    elif plausibility.distance > thresholds.max_distance:
        value, limit = plausibility.distance, thresholds.max_distance
    else:
        value, limit = plausibility.certainty, thresholds.min_certainty
    text = (
        "The picture does not look like a panoramic radiograph of a dentition; send one that is upright and uncut, "
        "as the capture software saves it and not photographed."
    )
    return _finding("not-a-panoramic", "error", text, value, limit)
