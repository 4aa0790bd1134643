"""The Open Inference Protocol, spoken by Triton's own client and by hand, to a running service."""

import asyncio
import json
import re
import tracemalloc
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from importlib.metadata import version
from typing import Any

import cv2
import httpx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.api.app import create_app
from service.api.kserve.tensors import HEADER_LENGTH, Inference, read_inference
from service.errors import InvalidParameter
from service.model.package import ModelPackage
from service.model.signature import Tensor, graph_input, graph_outputs
from service.segmenter import Segmenter
from service.settings import Settings

client_library = pytest.importorskip("tritonclient.http", reason="needs tritonclient[http]")

NAME = "unet-resnet34-fdi"


@pytest.fixture(scope="module")
def client(service_url: str):
    with client_library.InferenceServerClient(service_url.removeprefix("http://"), network_timeout=60) as opened:
        yield opened


def pixels(package: ModelPackage, count: int = 1) -> np.ndarray:
    known = cv2.imread(str(package.folder / package.manifest.known_answer.picture), cv2.IMREAD_GRAYSCALE)
    return np.stack([np.roll(known, 8 * index, axis=1) for index in range(count)])


def tensor(values: np.ndarray, binary: bool = True):
    sent = client_library.InferInput("pixels", values.shape, "UINT8")
    sent.set_data_from_numpy(values, binary_data=binary)
    return sent


def files(*contents: bytes, binary: bool = True):
    sent = client_library.InferInput("radiograph", [len(contents)], "BYTES")
    sent.set_data_from_numpy(np.array(contents, np.object_), binary_data=binary)
    return sent


def test_the_client_finds_the_server_and_the_models(client, service_url: str, package: ModelPackage) -> None:
    manifest = package.manifest
    assert client.is_server_live()
    assert client.is_server_ready()
    assert "binary_tensor_data" in client.get_server_metadata()["extensions"]
    assert client.get_server_metadata()["name"] == "panoseg"
    assert client.get_server_metadata()["version"] == version("panoseg")
    for address in ("/v2", "/v2/"):
        assert httpx.get(f"{service_url}{address}").json() == client.get_server_metadata()
    for name in (manifest.name, "radiograph"):
        assert client.is_model_ready(name)
        assert client.is_model_ready(name, manifest.version)
        metadata = client.get_model_metadata(name, manifest.version)
        assert (metadata["name"], metadata["versions"]) == (name, [manifest.version])
    assert not client.is_model_ready(manifest.name, "no-such-version")
    assert not client.is_model_ready("no-such-model")


def test_what_the_graph_is_said_to_take_and_give_is_what_it_takes_and_gives(package: ModelPackage) -> None:
    import onnxruntime

    runtime = onnxruntime.InferenceSession(package.folder / package.manifest.files[0].path)
    size = [package.manifest.input.height, package.manifest.input.width]
    assert [(each.name, each.shape[1:]) for each in runtime.get_inputs()] == [("pixels", size)]
    told = {each.name: list(each.dims) for each in graph_outputs(package.manifest)}
    assert {each.name: each.shape[1:] or [1] for each in runtime.get_outputs()} == told
    assert graph_input(package.manifest).dims == tuple(size)


def test_a_request_made_of_what_the_metadata_tells_is_answered_as_they_tell(
    client, package: ModelPackage, phantom_png: bytes
) -> None:
    for name, values in ((package.manifest.name, pixels(package)), ("radiograph", np.array([phantom_png], np.object_))):
        metadata = client.get_model_metadata(name)
        (told,) = metadata["inputs"]
        assert told["shape"] == [-1, *values.shape[1:]]
        sent = client_library.InferInput(told["name"], values.shape, told["datatype"])
        sent.set_data_from_numpy(values)
        answer = client.infer(name, [sent]).get_response()
        assert (answer["model_name"], answer["model_version"]) == (name, package.manifest.version)
        given = [(each["name"], each["datatype"], each["shape"]) for each in answer["outputs"]]
        assert given == [(each["name"], each["datatype"], [1, *each["shape"][1:]]) for each in metadata["outputs"]]


@pytest.mark.parametrize("binary", [True, False], ids=["bytes", "json"])
def test_a_batch_of_tensors_is_what_the_session_gives_for_each(client, segmenter: Segmenter, binary: bool) -> None:
    batch = pixels(segmenter.package, 3)
    maps = ("tooth", "foreground", "confidence", "view")
    wanted = [client_library.InferRequestedOutput(name, binary_data=binary) for name in (*maps, "distance")]
    result = client.infer(segmenter.package.manifest.name, [tensor(batch, binary)], outputs=wanted, request_id="mine")
    assert result.get_response()["id"] == "mine"
    expected = [segmenter.model.session.run(picture[np.newaxis])[0] for picture in batch]
    for name in maps:
        np.testing.assert_allclose(result.as_numpy(name), [getattr(each, name) for each in expected], rtol=1e-6)
    np.testing.assert_allclose(result.as_numpy("distance"), [[each.distance] for each in expected], rtol=1e-6)
    assert result.as_numpy("evidence") is None


def test_a_version_may_be_named_and_evidence_comes_too(client, segmenter: Segmenter) -> None:
    manifest, known = segmenter.package.manifest, pixels(segmenter.package)
    result = client.infer(manifest.name, [tensor(known)], model_version=manifest.version)
    np.testing.assert_array_equal(result.as_numpy("evidence"), [segmenter.model.session.run(known)[0].evidence])


def test_radiographs_get_the_answer_that_v1_gives(client, service_url: str, phantom_png: bytes) -> None:
    flipped = cv2.imencode(".png", cv2.imdecode(np.frombuffer(phantom_png, np.uint8), 0)[:, ::-1])[1].tobytes()
    result = client.infer("radiograph", [files(phantom_png, flipped)])
    assert result.as_numpy("segmentation").shape == (2,)
    for upload, told, mask in zip(
        (phantom_png, flipped), result.as_numpy("segmentation"), result.as_numpy("mask"), strict=True
    ):
        expected = httpx.post(f"{service_url}/v1/segment", content=upload, timeout=60).json()
        found = json.loads(told)
        assert {**found, "id": "", "timings_ms": {}} == {**expected, "id": "", "timings_ms": {}}
        assert found["timings_ms"]["infer"] > 0
        assert mask == httpx.post(f"{service_url}/v1/mask?kind=fdi", content=upload, timeout=60).content


def test_a_mask_may_be_asked_for_alone(client, service_url: str, phantom_png: bytes) -> None:
    result = client.infer("radiograph", [files(phantom_png)], outputs=[client_library.InferRequestedOutput("mask")])
    expected = httpx.post(f"{service_url}/v1/mask?kind=fdi", content=phantom_png, timeout=60).content
    assert list(result.as_numpy("mask")) == [expected]
    assert result.as_numpy("segmentation") is None


def count(service_url: str) -> int:
    """Requests in the latency's figures."""
    return int(httpx.get(f"{service_url}/v1/latency").json()["since_start"]["total"]["count"])


def test_a_single_radiograph_counts_to_the_latency(client, service_url: str, phantom_png: bytes) -> None:
    before = count(service_url)
    client.infer("radiograph", [files(phantom_png)], outputs=[client_library.InferRequestedOutput("segmentation")])
    assert count(service_url) == before + 1


def test_neither_a_batch_nor_tensors_count_to_the_latency(client, service_url: str, phantom_png: bytes) -> None:
    before = count(service_url)
    client.infer("radiograph", [files(phantom_png, phantom_png)])
    client.infer(NAME, [tensor(np.zeros((1, 256, 512), np.uint8))])
    assert count(service_url) == before


def test_of_what_times_out_before_it_is_begun_radiographs_that_have_arrived_are_counted() -> None:
    async def slowly() -> AsyncIterator[bytes]:
        await asyncio.sleep(1)
        yield b"x"

    async def ask(model: str, upload: bytes | AsyncIterator[bytes]) -> str:
        late = await client.post(f"/v2/models/{model}/infer", content=upload)
        assert late.status_code == 504
        (count,) = re.findall(r"^panoseg_timed_out_total (.*)$", (await client.get("/metrics")).text, re.MULTILINE)
        return count

    async def try_out() -> None:
        await app.state.service.load(lambda: None)
        assert await ask("radiograph", slowly()) == "0.0"
        assert await ask(NAME, b"x") == "0.0"
        assert await ask("radiograph", b"x") == "1.0"
        assert (await client.get("/v1/latency")).json()["within_target"] == 0
        await app.state.service.stop()

    app = create_app(Settings(provider="openvino", timeout_s=1e-9))
    client = httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test")
    asyncio.run(try_out())


@pytest.mark.parametrize(
    ("ask", "complaint"),
    [
        (lambda client: client.infer("other", [files(b"x")]), f"there is {NAME} (version"),
        (lambda client: client.infer("radiograph", [files(b"x")], model_version="0"), "and radiograph (version"),
        (lambda client: client.get_model_metadata("radiograph", "0"), "There is no such model"),
        (lambda client: client.infer("radiograph", [files(b"no picture")]), "format"),
        (lambda client: client.infer("radiograph", [files(b"x", binary=False)]), "send it as bytes behind the JSON"),
        (lambda client: client.infer("radiograph", [files(*[b"x"] * 33)]), "1 to 32"),
        (lambda client: client.infer(NAME, [tensor(np.zeros((1, 8, 8), np.uint8))]), "of shape [-1, 256, 512]"),
        (lambda client: client.infer(NAME, [files(b"x")]), "takes one input, pixels"),
        (
            lambda client: client.infer(
                "radiograph", [files(b"x")], outputs=[client_library.InferRequestedOutput("y")]
            ),
            "segmentation, mask",
        ),
        (
            lambda client: client.infer(
                "radiograph", [files(b"x")], outputs=[client_library.InferRequestedOutput("mask", binary_data=False)]
            ),
            "mask is no text",
        ),
        (lambda client: client.infer("radiograph", [files(b"x")], request_compression_algorithm="gzip"), "Compressed"),
    ],
    ids=["model", "version", "metadata", "format", "text", "batch", "shape", "input", "output", "mask", "compression"],
)
def test_what_is_wrong_is_said_in_the_protocols_form(client, ask: Callable, complaint: str) -> None:
    from tritonclient.utils import InferenceServerException

    with pytest.raises(InferenceServerException) as raised:
        ask(client)
    assert complaint in raised.value.message()
    assert raised.value.status().startswith("4")


def test_which_picture_of_a_batch_is_wrong_is_said(client, phantom_png: bytes) -> None:
    from tritonclient.utils import InferenceServerException

    with pytest.raises(InferenceServerException) as raised:
        client.infer("radiograph", [files(phantom_png, b"no picture")])
    assert raised.value.message().startswith("Picture 2 of 2: The file is no image")
    with pytest.raises(InferenceServerException) as raised:
        client.infer("radiograph", [files(b"no picture")])
    assert raised.value.message().startswith("The file is no image")


def test_whoever_uses_no_client_gets_plain_json(service_url: str, package: ModelPackage) -> None:
    known = pixels(package)
    body = {
        "inputs": [{"name": "pixels", "shape": list(known.shape), "datatype": "UINT8", "data": known.tolist()}],
        "outputs": [{"name": "distance"}],
    }
    answer = httpx.post(f"{service_url}/v2/models/{package.manifest.name}/infer", json=body, timeout=60)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json")
    (output,) = answer.json()["outputs"]
    assert (output["shape"], output["datatype"]) == ([1, 1], "FP32")
    assert output["data"][0] >= 0
    assert "infer;dur=" in answer.headers["server-timing"]
    nothing = httpx.post(f"{service_url}/v2/models/{package.manifest.name}/infer")
    assert (nothing.status_code, "holds no bytes" in nothing.json()["error"]) == (400, True)
    assert httpx.get(f"{service_url}/v2/models/other").json().keys() == {"error"}
    assert httpx.get(f"{service_url}/v2/nothing").json().keys() == {"error"}


def test_who_names_no_outputs_and_takes_json_gets_what_can_be_json(service_url: str, phantom_png: bytes) -> None:
    behind = len(phantom_png).to_bytes(4, "little") + phantom_png
    sent = {"name": "radiograph", "shape": [1], "datatype": "BYTES", "parameters": {"binary_data_size": len(behind)}}
    text = json.dumps({"inputs": [sent]}).encode()
    answer = httpx.post(
        f"{service_url}/v2/models/radiograph/infer",
        content=text + behind,
        headers={"Inference-Header-Content-Length": str(len(text))},
        timeout=60,
    )
    (output,) = answer.json()["outputs"]
    assert output["name"] == "segmentation"
    assert json.loads(output["data"][0])["teeth"]


def test_bytes_come_behind_the_json_but_for_outputs_that_are_to_be_in_it(
    service_url: str, package: ModelPackage
) -> None:
    known = pixels(package)
    body = {
        "inputs": [{"name": "pixels", "shape": list(known.shape), "datatype": "UINT8", "data": known.tolist()}],
        "outputs": [{"name": "tooth"}, {"name": "distance", "parameters": {"binary_data": False}}],
        "parameters": {"binary_data_output": True},
    }
    answer = httpx.post(f"{service_url}/v2/models/{package.manifest.name}/infer", json=body, timeout=60)
    assert answer.headers["content-type"] == "application/octet-stream"
    length = int(answer.headers["inference-header-content-length"])
    tooth, distance = json.loads(answer.content[:length])["outputs"]
    assert tooth["parameters"] == {"binary_data_size": known.size}
    assert len(answer.content) == length + known.size
    assert len(distance["data"]) == 1


TAKES = Tensor("pixels", "UINT8", (2, 3))
TAKES_FILES = Tensor("radiograph", "BYTES", (), in_json=False)
GIVES = (Tensor("tooth", "UINT8", (2, 3)), Tensor("mask", "BYTES", (), in_json=False))
NUMBERS = st.lists(st.integers(-5, 300), min_size=5, max_size=7)


def read(behind: bytes = b"", of_request: dict | None = None, **of_tensor: Any) -> Inference:
    """What is read of a request for one picture in JSON, but for what is changed, and of the bytes behind it."""
    sent = {"name": "pixels", "shape": [1, 2, 3], "datatype": "UINT8", "data": [0] * 6, **of_tensor}
    text = json.dumps({"inputs": [sent], **(of_request or {})}).encode()
    return read_inference(text + behind, str(len(text)), TAKES, GIVES)


def read_files(count: int, behind: bytes) -> Inference:
    size = {"binary_data_size": len(behind)}
    sent = {"name": "radiograph", "shape": [count], "datatype": "BYTES", "parameters": size}
    text = json.dumps({"inputs": [sent]}).encode()
    return read_inference(text + behind, str(len(text)), TAKES_FILES, GIVES)


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"of_request": {"inputs": [{"name": "pixels", "shape": [], "datatype": "UINT8"}] * 2}}, "takes one input"),
        ({"datatype": "FP32"}, "is UINT8 of shape"),
        ({"shape": [0, 2, 3], "data": []}, "1 to 32 pictures"),
        ({"data": [0.5] * 6}, "whole numbers"),
        ({"data": [True] * 6}, "whole numbers"),
        ({"data": [0, 0, 0, 0, 0, 256]}, "whole numbers from 0 to 255"),
        ({"behind": bytes(6)}, "6 bytes follow the JSON, and its binary_data_size says 0"),
        ({"behind": bytes(6), "parameters": {"binary_data_size": 7}}, "binary_data_size says 7"),
        ({"behind": bytes(5), "parameters": {"binary_data_size": 5}}, "which its shape does not"),
        ({"parameters": {"shared_memory_region": "mine"}}, "Shared memory"),
        ({"of_request": {"outputs": [{"name": "tooth", "parameters": {"shared_memory_region": "x"}}]}}, "not taken"),
        ({"of_request": {"outputs": [{"name": "tooth", "parameters": {"classification": 3}}]}}, "as classes"),
    ],
    ids=[
        "two",
        "type",
        "none",
        "fractions",
        "truths",
        "256",
        "more",
        "missing",
        "size",
        "shared",
        "shared-output",
        "classes",
    ],
)
def test_what_the_model_does_not_take_or_give_is_refused_in_words(changes: dict[str, Any], complaint: str) -> None:
    with pytest.raises(InvalidParameter, match=complaint):
        read(**changes)


def test_as_many_pictures_as_are_said_are_taken() -> None:
    assert len(read(shape=[32, 2, 3], data=[200] * 192).values) == 32


def test_who_names_no_outputs_gets_all_and_what_the_protocol_may_add_is_passed_over() -> None:
    assert read(of_request={"outputs": [], "priority": 1}).outputs == {"tooth": False}


def test_null_is_as_good_as_nothing() -> None:
    outputs = [{"name": "tooth", "parameters": {"binary_data": None, "classification": None}}]
    of_request = {"id": None, "outputs": outputs, "parameters": {"binary_data_output": None}}
    assert read(parameters=None, of_request=of_request).outputs == {"tooth": False}
    assert read(of_request={"outputs": [{"name": "tooth", "parameters": None}], "parameters": None}).id is None


def test_a_radiograph_may_be_large_and_json_may_not() -> None:
    large = bytes(8_000_001)
    assert read_files(1, len(large).to_bytes(4, "little") + large).values == [large]
    with pytest.raises(InvalidParameter, match=f"larger than 8 MB.*{HEADER_LENGTH}"):
        read_inference(large, None, TAKES, GIVES)


def test_json_that_ends_before_its_header_says_is_refused() -> None:
    with pytest.raises(InvalidParameter, match="says 3 bytes, and the body holds 2"):
        read_inference(b"{}", "3", TAKES, GIVES)


def test_who_sends_bytes_and_does_not_say_where_they_begin_is_told_how() -> None:
    for body in (b'{"inputs": []}\x00', b"\x89PNG"):
        with pytest.raises(InvalidParameter, match=f"bytes follow the JSON, {HEADER_LENGTH} says"):
            read_inference(body, None, TAKES, GIVES)


@given(st.lists(st.binary(max_size=5), min_size=1, max_size=4))
def test_files_come_out_as_they_went_in_and_no_byte_more_or_less_is_taken(contents: list[bytes]) -> None:
    behind = b"".join(len(content).to_bytes(4, "little") + content for content in contents)
    assert read_files(len(contents), behind).values == contents
    for more, wrong in ((0, behind + b"x"), (0, behind[:-1]), (1, behind)):
        with pytest.raises(InvalidParameter, match="each behind its length"):
            read_files(len(contents) + more, wrong)


def test_a_request_wrong_in_very_many_places_is_refused_in_few_words() -> None:
    shape = {"name": "pixels", "datatype": "UINT8", "shape": ["x"] * 100_000}
    for wrong in ({"inputs": [1] * 100_000}, {"inputs": [], "outputs": ["x"] * 100_000}, {"inputs": [shape]}):
        with pytest.raises(InvalidParameter) as raised:
            read_inference(json.dumps(wrong).encode(), None, TAKES, GIVES)
        assert len(str(raised.value)) < 2000


@given(NUMBERS)
def test_numbers_in_json_are_taken_where_they_are_bytes_and_as_many_as_said(numbers: list[int]) -> None:
    sent = {"name": "pixels", "shape": [1, 2, 3], "datatype": "UINT8", "data": numbers}
    body = json.dumps({"inputs": [sent]}).encode()
    if len(numbers) == 6 and all(0 <= number <= 255 for number in numbers):
        assert list(np.ravel(read_inference(body, None, TAKES, GIVES).values)) == numbers
    else:
        with pytest.raises(InvalidParameter):
            read_inference(body, None, TAKES, GIVES)


def test_one_long_text_among_many_short_ones_is_refused_without_room_for_as_many_long_ones() -> None:
    sent = {"name": "pixels", "shape": [1, 2, 3], "datatype": "UINT8", "data": ["a" * 20_000, *["a"] * 1000]}
    body = json.dumps({"inputs": [sent]}).encode()
    tracemalloc.start()
    try:
        with pytest.raises(InvalidParameter, match="whole numbers from 0 to 255"):
            read_inference(body, None, TAKES, GIVES)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < 100 * len(body)


@settings(max_examples=300)
@given(st.binary(max_size=200), st.one_of(st.none(), st.text("0123456789-x", max_size=6)), st.booleans(), st.data())
def test_whatever_is_sent_is_read_or_refused(
    noise: bytes, length: str | None, whole: bool, data: st.DataObject
) -> None:
    if whole:  # a request of the right form with values that may not be
        shape = data.draw(st.lists(st.integers(-2, 4), max_size=4))
        values = data.draw(st.recursive(st.integers() | st.text(max_size=2) | st.none(), lambda each: st.lists(each)))
        size = data.draw(st.none() | st.integers(0, 40))
        kind = data.draw(st.sampled_from(["UINT8", "BYTES"]))
        sent = {"name": "pixels", "shape": shape, "datatype": kind, "data": [values]}
        if size is not None:
            sent["parameters"] = {"binary_data_size": size}
        text = json.dumps({"inputs": [sent]}).encode()
        noise, length = text + noise, str(len(text))
    takes = data.draw(st.sampled_from([TAKES, Tensor("pixels", "BYTES", ())]))
    with suppress(InvalidParameter):
        assert len(read_inference(noise, length, takes, GIVES).values) >= 1
