"""The HTTP contract, asked of a running service."""

import base64
import json
import re
from typing import Any

import cv2
import httpx
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from service.dentition.fdi import neighbours, universal
from service.latency import STAGES
from service.model.package import ModelPackage
from service.render.encode import encode_png
from tests.encoders import dicom
from tests.running import REPOSITORY
from training.metrics import dice, match_teeth
from training.phantom import Phantom


@pytest.fixture(scope="module")
def client(service_url: str) -> Any:
    with httpx.Client(base_url=service_url, timeout=60) as opened:
        yield opened


@pytest.fixture(scope="module")
def answer(client: httpx.Client, phantom_png: bytes) -> dict[str, Any]:
    response = client.post("/v1/segment", params={"include": "mask,overlay,polygons"}, content=phantom_png)
    assert response.status_code == 200, response.text
    return dict(response.json())


def decode_picture(data: bytes) -> np.ndarray:
    return cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)


def test_a_radiograph_is_answered_with_its_numbered_teeth(answer: dict[str, Any], phantom: Phantom) -> None:
    true = set(np.unique(phantom.labels).tolist()) - {0}
    found = {tooth["fdi"] for tooth in answer["teeth"]}
    assert len(true & found) >= 0.7 * len(true)
    assert found.isdisjoint(answer["missing"])
    assert len(found) + len(answer["missing"]) == 32
    height, width = phantom.pixels.shape
    assert answer["image"] == {
        "width": width,
        "height": height,
        "format": "png",
        "bits_stored": 8,
        "photometric_interpretation": "MONOCHROME2",
        "pixel_spacing_mm": None,
    }


def test_an_answer_tells_which_service_gave_it(client: httpx.Client, answer: dict[str, Any]) -> None:
    assert answer["service"] == {"version": client.get("/health/ready").json()["version"]}


def test_the_mask_lies_on_the_teeth_in_pixels_of_the_picture_as_sent(answer: dict[str, Any], phantom: Phantom) -> None:
    mask = decode_picture(base64.b64decode(answer["mask"]["data"]))
    assert mask.shape == phantom.pixels.shape
    assert set(np.unique(mask).tolist()) == {0, 255}
    assert dice(mask > 0, phantom.labels > 0) > 0.7
    assert answer["tooth_fraction"] == pytest.approx((mask > 0).mean(), abs=1e-6)


def test_boxes_areas_and_polygons_tell_the_same_as_the_mask_of_numbers(
    client: httpx.Client, answer: dict[str, Any], phantom_png: bytes, phantom: Phantom
) -> None:
    response = client.post("/v1/mask", params={"kind": "fdi"}, content=phantom_png)
    assert response.headers["content-type"] == "image/png"
    labels = decode_picture(response.content)
    assert set(np.unique(labels).tolist()) - {0} == {tooth["fdi"] for tooth in answer["teeth"]}
    assert match_teeth(labels, phantom.labels).teeth.f1 > 0.6
    for tooth in answer["teeth"]:
        mask = labels == tooth["fdi"]
        assert tooth["area_px"] == mask.sum()
        x, y, width, height = tooth["bbox"]
        rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
        assert (x, y, x + width - 1, y + height - 1) == (columns[0], rows[0], columns[-1], rows[-1])
        drawn = np.zeros(labels.shape, np.uint8)
        cv2.fillPoly(drawn, [np.array(ring, np.int32) for ring in tooth["polygons"]], 1)
        assert dice(drawn > 0, mask) > 0.97


def test_a_body_that_is_said_to_be_as_it_is_is_taken(client: httpx.Client, phantom_png: bytes) -> None:
    assert client.post("/v1/mask", content=phantom_png, headers={"Content-Encoding": "Identity"}).status_code == 200


def test_the_body_itself_and_a_form_part_are_the_same_upload(
    client: httpx.Client, answer: dict[str, Any], phantom_png: bytes
) -> None:
    response = client.post("/v1/segment", files={"file": ("any.bin", phantom_png, "text/plain")})
    assert response.json()["teeth"] == answer["teeth"]


def test_the_overlay_is_a_jpeg_or_the_png_that_was_asked_for(
    client: httpx.Client, phantom_png: bytes, phantom: Phantom
) -> None:
    jpeg = client.post("/v1/overlay", content=phantom_png)
    by_query = client.post("/v1/overlay", params={"format": "png"}, content=phantom_png)
    by_accept = client.post("/v1/overlay", headers={"Accept": "image/png"}, content=phantom_png)
    assert jpeg.headers["content-type"] == "image/jpeg"
    assert by_query.headers["content-type"] == by_accept.headers["content-type"] == "image/png"
    for response in (jpeg, by_query, by_accept):
        assert decode_picture(response.content).shape == (*phantom.pixels.shape, 3)


def test_at_no_opacity_the_overlay_is_the_radiograph(
    client: httpx.Client, phantom_png: bytes, phantom: Phantom
) -> None:
    response = client.post("/v1/overlay", params={"format": "png", "opacity": 0}, content=phantom_png)
    assert (decode_picture(response.content) == phantom.pixels[:, :, np.newaxis]).all()


def test_only_what_was_asked_for_is_in_the_answer(client: httpx.Client, phantom_png: bytes) -> None:
    bare = client.post("/v1/segment", params={"include": ""}, content=phantom_png).json()
    assert "mask" not in bare
    assert "overlay" not in bare
    assert all("polygons" not in tooth for tooth in bare["teeth"])
    assert bare["timings_ms"]["render"] < 1


def test_body_header_and_histogram_tell_the_same_times(client: httpx.Client, phantom_png: bytes) -> None:
    def count() -> int:
        return int(client.get("/v1/latency").json()["since_start"]["total"]["count"])

    def total_seconds() -> float:
        found = re.search(r'panoseg_stage_seconds_sum\{stage="total"\} (\S+)', client.get("/metrics").text)
        return float(found.group(1)) if found else 0.0

    before, seconds_before = count(), total_seconds()
    response = client.post("/v1/segment", content=phantom_png)
    timings = response.json()["timings_ms"]
    assert set(timings) == {*STAGES, "total"}
    header = dict(part.split(";dur=") for part in response.headers["server-timing"].split(", "))
    assert {stage: float(value) for stage, value in header.items()} == timings
    assert sum(timings[stage] for stage in STAGES) <= timings["total"]
    assert count() == before + 1
    assert total_seconds() - seconds_before == pytest.approx(timings["total"] / 1000, abs=1e-6)


def test_parts_may_be_asked_for_one_by_one(client: httpx.Client, phantom_png: bytes) -> None:
    answer = client.post("/v1/segment?include=mask&include=overlay", content=phantom_png).json()
    assert {"mask", "overlay"} <= answer.keys()
    assert all("polygons" not in tooth for tooth in answer["teeth"])


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        ("image/png", "png"),
        ("IMAGE/PNG", "png"),
        ("image/png, image/jpeg;q=0.5", "png"),
        ("image/jpeg;q=0, image/png", "png"),
        ("image/jpeg;q=0, image/*;q=0.3", "png"),
        ("image/png;q=0.1, image/*;q=0.9", "jpeg"),
        ("image/png;q=often, image/jpeg;q=0.1", "jpeg"),
        ("image/png, image/jpeg", "jpeg"),
        ("*/*", "jpeg"),
        ("", "jpeg"),
    ],
)
def test_an_overlay_is_of_the_kind_that_is_accepted_most(
    client: httpx.Client, phantom_png: bytes, accept: str, kind: str
) -> None:
    response = client.post("/v1/overlay", headers={"Accept": accept}, content=phantom_png)
    assert response.headers["content-type"] == f"image/{kind}"


def test_what_was_not_drawn_has_no_time_to_draw(client: httpx.Client, phantom_png: bytes) -> None:
    def counts() -> dict[str, int]:
        return {stage: each["count"] for stage, each in client.get("/v1/latency").json()["since_start"].items()}

    before = counts()
    client.post("/v1/segment", content=phantom_png)
    client.post("/v1/mask", content=phantom_png)
    after = counts()
    assert after["total"] == after["infer"] == before["total"] + 2
    assert after["render"] == after["encode"] == before["render"] + 1


def test_an_answer_to_work_that_failed_tells_the_model_and_the_times(client: httpx.Client, phantom_png: bytes) -> None:
    refused = client.post("/v1/segment", content=phantom_png[:-100])
    assert refused.json()["type"] == "urn:panoseg:problem:damaged-image"
    assert refused.headers["x-model"].count("/") == 1
    assert "decode;dur=" in refused.headers["server-timing"]


def test_every_answer_names_its_request(client: httpx.Client, phantom_png: bytes) -> None:
    assert client.get("/health/live", headers={"X-Request-ID": "ward-7.a_1"}).headers["x-request-id"] == "ward-7.a_1"
    braced = client.get("/health/live", headers={"X-Request-ID": "{3F2504E0-4F89-11D3-9A0C-0305E82C3301}"})
    assert braced.headers["x-request-id"] == "3F2504E0-4F89-11D3-9A0C-0305E82C3301"
    for strange in ("", "{}", "a" * 65, "<script>", "a b"):
        given_back = client.get("/health/live", headers={"X-Request-ID": strange}).headers["x-request-id"]
        assert re.fullmatch(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}", given_back)
    problem = client.post("/v1/segment", content=b"", headers={"X-Request-ID": "ward-8"})
    assert problem.json()["request_id"] == problem.headers["x-request-id"] == "ward-8"
    assert client.post("/v1/mask", content=phantom_png).headers["x-model"].count("/") == 1


FORM = {"content-type": "multipart/form-data; boundary=x"}

CUT_FORM = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.png"\r\n\r\n\x89PNG\r\n\x1a\n' + b"\0" * 40


@pytest.mark.parametrize(
    ("path", "upload", "status", "slug"),
    [
        ("/v1/segment", {"content": b""}, 400, "empty-upload"),
        ("/v1/segment", {"files": {"picture": b"x"}}, 400, "empty-upload"),
        ("/v1/segment", {"files": {"file": b""}}, 400, "empty-upload"),
        ("/v1/segment", {"files": [("file", b"x"), ("file", b"y")]}, 422, "invalid-parameter"),
        (
            "/v1/segment",
            {"content": b"--x", "headers": FORM},
            400,
            "damaged-image",
        ),
        (
            "/v1/segment",
            {"content": b"--x", "headers": {"content-type": "multipart/form-data; boundary=" + 257 * "x"}},
            400,
            "damaged-image",
        ),
        ("/v1/segment", {"content": CUT_FORM, "headers": FORM}, 400, "damaged-image"),
        ("/v1/mask", {"content": b"<html>tooth</html>"}, 415, "unsupported-format"),
        ("/v1/overlay", {"content": b"\x89PNG\r\n\x1a\n" + b"\0" * 40}, 400, "damaged-image"),
        ("/v1/segment?include=teeth", {"content": b"x"}, 422, "invalid-parameter"),
        ("/v1/segment?opacity=1.5", {"content": b"x"}, 422, "invalid-parameter"),
        ("/v1/overlay?format=gif", {"content": b"x"}, 422, "invalid-parameter"),
        ("/v1/mask?kind=all", {"content": b"x"}, 422, "invalid-parameter"),
        ("/v1/mask", {"content": b"x", "headers": {"content-encoding": "gzip"}}, 415, "unsupported-format"),
    ],
)
def test_what_is_wrong_is_told_as_a_problem(
    client: httpx.Client, path: str, upload: dict[str, Any], status: int, slug: str
) -> None:
    response = client.post(path, **upload)
    assert response.status_code == status
    assert response.headers["content-type"] == "application/problem+json"
    problem = response.json()
    assert problem["type"] == f"urn:panoseg:problem:{slug}"
    assert problem["status"] == status
    assert problem["instance"] == path.split("?")[0]
    assert problem["detail"].endswith(".")


@pytest.mark.parametrize(
    ("query", "unknown", "taken"),
    [
        ("segment?include=mask&kind=fdi", "kind", "include, overlay_format, opacity, strict"),
        ("segment?Strict=true", "Strict", "include, overlay_format, opacity, strict"),
        ("mask?include=mask", "include", "kind, strict"),
        ("overlay?overlay_format=png", "overlay_format", "format, opacity, strict"),
    ],
)
def test_a_parameter_that_a_route_does_not_take_is_refused_and_those_that_it_takes_are_named(
    client: httpx.Client, phantom_png: bytes, query: str, unknown: str, taken: str
) -> None:
    refused = client.post(f"/v1/{query}", content=phantom_png)
    assert refused.status_code == 422
    problem = refused.json()
    assert problem["type"] == "urn:panoseg:problem:invalid-parameter"
    assert problem["detail"] == f"/v1/{query.split('?')[0]} takes no parameter {unknown}; it takes {taken}."


def test_a_page_that_is_not_there_and_a_wrong_method_are_problems_too(client: httpx.Client) -> None:
    for response, status in (
        (client.get("/v1/nothing"), 404),
        (client.get("/v1/segment"), 405),
        (client.post("/v1/segment/", content=b"x"), 404),
    ):
        assert response.status_code == status
        assert response.headers["content-type"] == "application/problem+json"


def test_strict_refuses_what_is_no_panoramic_and_lenient_names_it(client: httpx.Client) -> None:
    noise = np.random.default_rng(1).integers(0, 255, (600, 1200), np.uint8)
    upload = cv2.imencode(".png", noise)[1].tobytes()
    quality = client.post("/v1/segment", content=upload).json()["quality"]
    assert not quality["suitable"]
    assert "not-a-panoramic" in [finding["code"] for finding in quality["findings"]]
    refused = client.post("/v1/segment", params={"strict": True}, content=upload)
    assert refused.status_code == 422
    assert refused.json()["type"] == "urn:panoseg:problem:not-a-panoramic"


def test_a_negative_is_read_and_named(client: httpx.Client, phantom: Phantom) -> None:
    upload = cv2.imencode(".png", 255 - phantom.pixels)[1].tobytes()
    answer = client.post("/v1/segment", params={"include": "mask"}, content=upload).json()
    assert "inverted" in [finding["code"] for finding in answer["quality"]["findings"]]
    assert dice(decode_picture(base64.b64decode(answer["mask"]["data"])) > 0, phantom.labels > 0) > 0.7


def test_a_picture_on_its_side_is_named(client: httpx.Client, phantom: Phantom) -> None:
    upload = cv2.imencode(".png", np.rot90(phantom.pixels))[1].tobytes()
    quality = client.post("/v1/segment", content=upload).json()["quality"]
    assert "sideways" in [finding["code"] for finding in quality["findings"]]
    assert not quality["suitable"]


@pytest.mark.parametrize("path", ["/v1/segment", "/v1/mask", "/v1/overlay"])
def test_the_codes_of_the_findings_stand_in_a_header(
    client: httpx.Client, phantom: Phantom, phantom_png: bytes, path: str
) -> None:
    turned = encode_png(np.ascontiguousarray(255 - np.rot90(phantom.pixels, 2)))
    findings = client.post("/v1/segment", content=turned).json()["quality"]["findings"]
    codes = [finding["code"] for finding in findings]
    assert {"upside-down", "inverted"} <= set(codes)
    assert client.post(path, content=turned).headers["x-findings"].split(", ") == codes
    assert "x-findings" not in client.post(path, content=phantom_png).headers
    assert "x-findings" not in client.post(path, content=turned[:-100]).headers


def test_a_flat_picture_is_read_and_named(client: httpx.Client, phantom: Phantom) -> None:
    flat = (100 + phantom.pixels // 10).astype(np.uint8)
    answer = client.post(
        "/v1/segment", params={"include": "mask"}, content=cv2.imencode(".png", flat)[1].tobytes()
    ).json()
    assert "low-contrast" in [finding["code"] for finding in answer["quality"]["findings"]]
    assert dice(decode_picture(base64.b64decode(answer["mask"]["data"])) > 0, phantom.labels > 0) > 0.7


def test_a_frame_around_the_picture_is_looked_past(client: httpx.Client, phantom: Phantom) -> None:
    for colour in (0, 255):
        framed = cv2.copyMakeBorder(phantom.pixels, 90, 50, 120, 160, cv2.BORDER_CONSTANT, value=colour)
        response = client.post("/v1/mask", content=cv2.imencode(".png", framed)[1].tobytes())
        mask = decode_picture(response.content)
        assert mask.shape == framed.shape
        truth = cv2.copyMakeBorder(phantom.labels, 90, 50, 120, 160, cv2.BORDER_CONSTANT, value=0)
        assert dice(mask > 0, truth > 0) > 0.7


@pytest.mark.parametrize("width", [300, 1440, 6000])
def test_narrow_and_wide_pictures_are_answered_in_their_own_pixels(
    client: httpx.Client, phantom: Phantom, width: int
) -> None:
    size = (width, width // 2)
    pixels = cv2.resize(phantom.pixels, size, interpolation=cv2.INTER_AREA if width < 1440 else cv2.INTER_LINEAR)
    mask = decode_picture(client.post("/v1/mask", content=cv2.imencode(".png", pixels)[1].tobytes()).content)
    truth = cv2.resize(phantom.labels, size, interpolation=cv2.INTER_NEAREST)
    assert dice(mask > 0, truth > 0) > 0.65


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    data=st.binary(max_size=400),
    start=st.sampled_from([b"", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff\xe0", b"II*\0", b"BM", b"\0" * 128 + b"DICM"]),
)
@pytest.mark.parametrize("path", ["/v1/segment", "/v1/mask", "/v1/overlay"])
def test_random_bytes_are_refused_and_never_a_fault(client: httpx.Client, path: str, start: bytes, data: bytes) -> None:
    response = client.post(path, content=start + data)
    assert response.status_code in (400, 413, 415, 422)
    assert response.headers["content-type"] == "application/problem+json"


def test_what_runs_is_told_by_the_health_and_model_routes(client: httpx.Client) -> None:
    assert client.get("/health/live").json() == {"status": "live"}
    ready = client.get("/health/ready").json()
    assert ready["status"] == "ready"
    active = [model for model in client.get("/v1/models").json()["models"] if model["active"]]
    assert [model["sha256"] for model in active] == [ready["model"]["sha256"]]
    assert active[0]["data_licence"]


def test_monitors_that_ask_by_head_are_answered(client: httpx.Client) -> None:
    for route in ("/health/live", "/health/ready", "/metrics"):
        answer = client.head(route)
        assert (answer.status_code, answer.content) == (200, b"")


def test_the_longest_picture_that_is_taken_gets_its_overlay(client: httpx.Client) -> None:
    upload = cv2.imencode(".png", np.zeros((130, 65_499), np.uint8))[1].tobytes()
    for overlay_format in ("jpeg", "png"):
        answer = client.post("/v1/overlay", params={"format": overlay_format}, content=upload)
        assert answer.status_code == 200
        assert cv2.imdecode(np.frombuffer(answer.content, np.uint8), 1).shape[:2] == (130, 65_499)


def test_the_page_is_served_and_nothing_else_of_the_disk(client: httpx.Client) -> None:
    page = client.get("/")
    assert page.headers["content-type"].startswith("text/html")
    assert "default-src 'self'" in page.headers["content-security-policy"]
    assert client.get("/app.js").headers["content-type"].startswith("text/javascript")
    assert client.get("/", params={"path": "/etc/passwd"}).content == page.content
    for outside in ("/../settings.py", "/%2e%2e/settings.py", "/index.html/../../settings.py"):
        assert client.get(outside).status_code == 404


def test_the_description_is_complete_and_read_without_a_network(client: httpx.Client) -> None:
    description = client.get("/openapi.json").json()
    for path in ("/v1/segment", "/v1/mask", "/v1/overlay"):
        route = description["paths"][path]["post"]
        assert {"400", "413", "415", "422", "503", "504"} <= set(route["responses"])
        assert "multipart/form-data" in route["requestBody"]["content"]
    schemas = description["components"]["schemas"]
    table = re.findall(r"^\| (`.*`) \| (?:error|warning) \|", (REPOSITORY / "README.md").read_text(), re.MULTILINE)
    assert schemas["FindingAnswer"]["properties"]["code"]["examples"] == re.findall("`([a-z-]+)`", " ".join(table))
    assert "Problem" in schemas
    assert "prefixItems" not in json.dumps(description)  # of which makers of clients know no type
    box = schemas["ToothAnswer"]["properties"]["bbox"]
    assert (box["items"], box["minItems"], box["maxItems"]) == ({"type": "integer"}, 4, 4)
    operations = [operation for path in description["paths"].values() for operation in path.values()]
    names = [operation["operationId"] for operation in operations]
    assert len(set(names)) == len(names)
    assert {"segment", "mask", "overlay", "models", "latency", "live", "ready", "v2_infer"} <= set(names)
    referred = set(re.findall(r'"#/components/schemas/([^"]+)"', json.dumps(description)))
    assert referred <= set(schemas)
    page = client.get("/docs").text
    assert not re.findall(r'(?:src|href)="(?:https?:)?//', page)


def test_each_tooth_is_told_by_both_of_its_numbers_and_whether_it_is_uncertain(
    answer: dict[str, Any], package: ModelPackage
) -> None:
    for tooth in answer["teeth"]:
        assert tooth["universal"] == universal(tooth["fdi"])
        assert tooth["uncertain"] == (tooth["confidence"] < package.manifest.thresholds.uncertain)


def test_of_a_missing_tooth_is_told_whether_an_uncertain_one_beside_it_may_be_it(
    client: httpx.Client, phantom: Phantom
) -> None:
    blurred = encode_png(cv2.GaussianBlur(phantom.pixels, (0, 0), 9))
    answer = client.post("/v1/segment", content=blurred).json()
    uncertain = {tooth["fdi"] for tooth in answer["teeth"] if tooth["uncertain"]}
    doubtful = [fdi for fdi in answer["missing"] if uncertain & set(neighbours(fdi))]
    assert answer["missing_uncertain"] == doubtful
    assert doubtful


def test_what_a_dicom_file_says_of_itself_is_told(client: httpx.Client, phantom: Phantom) -> None:
    upload = dicom(phantom.pixels.astype(np.uint16) << 4, bits=12, PixelSpacing=[0.1, 0.2])
    told = client.post("/v1/segment", content=upload).json()["image"]
    assert (told["format"], told["bits_stored"], told["pixel_spacing_mm"]) == ("dicom", 12, [0.1, 0.2])


def test_the_overlay_within_an_answer_is_as_it_was_asked_for(
    client: httpx.Client, answer: dict[str, Any], phantom_png: bytes, phantom: Phantom
) -> None:
    asked = {"include": "overlay", "overlay_format": "png", "opacity": 0}
    overlay = client.post("/v1/segment", params=asked, content=phantom_png).json()["overlay"]
    assert (answer["overlay"]["media_type"], overlay["media_type"]) == ("image/jpeg", "image/png")
    assert (decode_picture(base64.b64decode(overlay["data"])) == phantom.pixels[:, :, np.newaxis]).all()


@pytest.mark.parametrize("path", ["/v1/mask", "/v1/overlay"])
def test_strict_refuses_wherever_it_is_asked_for(client: httpx.Client, path: str) -> None:
    noise = np.random.default_rng(1).integers(0, 255, (600, 1200), np.uint8)
    upload = cv2.imencode(".png", noise)[1].tobytes()
    assert client.post(path, content=upload).status_code == 200
    assert client.post(path, params={"strict": True}, content=upload).status_code == 422


def test_no_answer_is_taken_for_another_kind_than_it_says(client: httpx.Client, phantom_png: bytes) -> None:
    for response in (client.get("/"), client.get("/v1/models"), client.post("/v1/mask", content=phantom_png)):
        assert response.headers["x-content-type-options"] == "nosniff"


def test_a_model_tells_the_height_and_width_that_it_reads(client: httpx.Client, package: ModelPackage) -> None:
    (active,) = (model for model in client.get("/v1/models").json()["models"] if model["active"])
    assert active["input_size"] == [package.manifest.input.height, package.manifest.input.width]
