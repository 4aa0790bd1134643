"""The service as a process: starting, refusing to start, pressing, stopping."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from http.client import HTTPConnection
from importlib.metadata import version
from pathlib import Path
from urllib.parse import urlsplit

import cv2
import httpx
import numpy as np
import pytest
from pydicom.uid import JPEGLosslessSV1

from service.machine import usable_cores
from service.model.package import ModelPackage
from tests.encoders import dicom
from tests.running import REPOSITORY, running_service
from training.phantom import Phantom

PlainService = tuple[str, "subprocess.Popen[bytes]", Path]

HALF_A_TIFF = bytes(cv2.imencode(".tif", np.eye(256, dtype=np.uint8))[1][:900])


def start_and_fail(*options: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "training.cli", "serve", "--port", "0", *options]
    return subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=60, check=False)


@pytest.fixture(scope="module")
def large_png(phantom: Phantom) -> bytes:
    """A picture that takes a while: 24 megapixels of noise over a phantom."""
    large = cv2.resize(phantom.pixels, (7000, 3500), interpolation=cv2.INTER_LINEAR)
    noise = np.random.default_rng(3).integers(0, 20, large.shape, np.uint8)
    return cv2.imencode(".png", cv2.add(large, noise), [cv2.IMWRITE_PNG_COMPRESSION, 1])[1].tobytes()


@pytest.fixture
def hanging(tmp_path: Path, phantom: Phantom) -> tuple[str, bytes]:
    """A PYTHONPATH with which a decoder hangs, GDCM in a process of its own, and a radiograph for that decoder."""
    (tmp_path / "gdcm.py").write_text(
        "import sys, time\nif not sys.argv[0].endswith('gdcm_worker.py'):\n    raise ImportError\ntime.sleep(30)\n"
    )
    return str(tmp_path), dicom(phantom.pixels.astype(np.uint16), bits=12, syntax=JPEGLosslessSV1)


@pytest.fixture(scope="module")
def plain_service() -> Iterator[PlainService]:
    """Address, process and log of a service for tests that neither set nor stop anything; empty is not set."""
    with running_service(PANOSEG_MODEL="", PANOSEG_THREADS="") as running:
        yield running


@pytest.mark.parametrize("provider", ["cuda", "tensorrt"])
def test_a_provider_that_is_not_here_keeps_the_service_from_starting(provider: str) -> None:
    import onnxruntime

    if any(provider in name.lower() for name in onnxruntime.get_available_providers()):
        pytest.skip(f"the installed ONNX Runtime has {provider}")
    outcome = start_and_fail("--provider", provider)
    assert outcome.returncode == 2
    assert "install panoseg[" in outcome.stderr
    assert "Traceback" not in outcome.stderr


def test_a_folder_without_models_keeps_the_service_from_starting(tmp_path: Path) -> None:
    outcome = start_and_fail("--models", str(tmp_path))
    assert outcome.returncode == 2
    assert "holds no model package" in outcome.stderr


@pytest.mark.parametrize(
    ("variable", "value"), [("TIMEOUT_S", "abc"), ("PORT", "80x"), ("PORT", "80000"), ("RELOAD", "perhaps")]
)
def test_a_wrong_setting_is_told_in_one_line(variable: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(f"PANOSEG_{variable}", value)
    command = [sys.executable, "-m", "service.cli", "serve"]
    outcome = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=60, check=False)
    (line,) = outcome.stderr.splitlines()
    assert outcome.returncode == 2
    assert line.startswith("panoseg: ")
    assert variable.lower() in line.lower()


def test_an_address_that_is_taken_keeps_the_service_from_starting() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        outcome = start_and_fail("--port", str(port))
    assert outcome.returncode == 2
    assert f"Cannot listen on 127.0.0.1, port {port}: another program" in outcome.stderr


def test_an_address_that_is_not_this_machines_keeps_the_service_from_starting() -> None:
    outcome = start_and_fail("--host", "192.0.2.1")  # kept for documentation (RFC 5737)
    assert outcome.returncode == 2
    assert "Cannot listen on 192.0.2.1, port 0: " in outcome.stderr
    assert "Set another host or port" in outcome.stderr


@pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="needs IPv6")
@pytest.mark.parametrize("host", ["::", "[::]"])
def test_both_kinds_of_addresses_are_answered_where_the_host_is_of_the_new_kind(host: str) -> None:
    with running_service("--host", host) as (url, _, _):
        assert url.startswith("http://[::]:")
        for each in ("[::1]", "127.0.0.1"):
            assert httpx.get(f"http://{each}:{urlsplit(url).port}/health/ready").status_code == 200


def test_empty_settings_count_as_not_set(plain_service: PlainService) -> None:
    url, _, _ = plain_service
    assert httpx.get(f"{url}/health/ready").status_code == 200


def test_what_is_being_received_has_its_bounds(phantom_png: bytes) -> None:
    with running_service(PANOSEG_MAX_UPLOAD_MB="1") as (url, _, _):
        address = urlsplit(url)
        stalled = [socket.create_connection((address.hostname, address.port), timeout=30) for _ in range(9)]
        answers = []
        for caller in stalled:
            # Short of what is declared, so that the service goes on waiting.
            caller.sendall(b"POST /v1/mask HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n" + bytes(900_000))
        stalled[-1].sendall(bytes(99_999))
        for caller in stalled:
            caller.settimeout(20)
            answers.append(caller.recv(4000)[:12])
            caller.close()
        assert b"HTTP/1.1 503" in answers
        assert httpx.post(f"{url}/v1/mask", content=phantom_png, timeout=60).status_code == 200


def test_connections_are_kept_between_radiographs_and_do_not_keep_the_service_from_stopping() -> None:
    with running_service() as (url, process, _), ExitStack() as stack:
        address = urlsplit(url)
        kept, other, silent = (
            stack.enter_context(closing(HTTPConnection(address.hostname or "", address.port, timeout=30)))
            for _ in range(3)
        )
        silent.connect()
        for connection in (kept, other):
            connection.request("GET", "/health/live")
            assert connection.getresponse().read()
        socket_before = kept.sock
        time.sleep(6)  # longer than uvicorn itself keeps them
        kept.request("GET", "/health/live")
        assert kept.getresponse().read()
        assert kept.sock is socket_before
        process.terminate()
        assert process.wait(timeout=5) == 0


BEFORE_TRAILERS = b"POST /v1/mask HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n"


@pytest.mark.parametrize(
    ("begin", "more"),
    [
        (b"GET /health/live HTTP/1.1\r\nHost: x\r\nX-Long: ", b"a" * 100_000),
        (BEFORE_TRAILERS + b"X-Long: ", b"a" * 100_000),
        (BEFORE_TRAILERS, b"X: y\r\n" * 16_667),
    ],
    ids=["a header", "a trailer", "trailers"],
)
def test_headers_without_end_are_refused_and_others_answered_meanwhile(
    service_url: str, begin: bytes, more: bytes
) -> None:
    address = urlsplit(service_url)
    with socket.create_connection((address.hostname, address.port), timeout=30) as caller:
        caller.sendall(begin)
        try:
            for _ in range(40):
                caller.sendall(more)
                time.sleep(0.01)
            answer = caller.recv(4000)
        except ConnectionError:
            pass  # it hung up before all of it was sent
        else:
            assert answer.startswith(b"HTTP/1.1 400") or not answer
    assert httpx.get(f"{service_url}/health/live").status_code == 200


def test_a_connection_whose_headers_do_not_come_is_closed_and_others_are_answered(service_url: str) -> None:
    address = urlsplit(service_url)
    with ExitStack() as stack:
        silent, half, again, empty, uploading = (
            stack.enter_context(closing(HTTPConnection(address.hostname or "", address.port, timeout=60)))
            for _ in range(5)
        )
        silent.connect()
        half.connect()
        half.sock.sendall(b"POST /v1/segment HTTP/1.1\r\nHost: x\r\n")
        uploading.connect()
        uploading.sock.sendall(b"POST /v1/segment HTTP/1.1\r\nHost: x\r\nContent-Length: 5000\r\n\r\n")
        for each in (again, empty):
            each.request("GET", "/health/live")
            assert each.getresponse().read()
        empty.sock.sendall(b"\r\n")
        again.sock.sendall(b"POST /v1/segment HTTP/1.1\r\nHost: x\r\n")
        assert [each.sock.recv(1) for each in (silent, half, again, empty)] == [b""] * 4
        assert uploading.sock.recv(4000).startswith(b"HTTP/1.1 504")
    assert httpx.get(f"{service_url}/health/live").status_code == 200


def test_a_request_with_long_headers_is_answered(service_url: str) -> None:
    answer = httpx.get(f"{service_url}/health/live", headers={"X-Long": "a" * 60_000, "Cookie": "b" * 60_000})
    assert answer.status_code == 200


def test_long_headers_do_not_add_up_over_the_requests_of_a_connection(service_url: str) -> None:
    with httpx.Client(headers={"X-Long": "a" * 800_000}) as client:
        answers = [client.get(f"{service_url}/health/live").status_code for _ in range(4)]
    assert answers == [200] * 4


def test_requests_that_wait_for_their_turn_are_the_queue(plain_service: PlainService, large_png: bytes) -> None:
    count = usable_cores() + 4
    if count > 16:
        pytest.skip("the service has fewer places than this machine has cores")
    url, _, _ = plain_service
    with ThreadPoolExecutor(count) as callers:
        answers = [callers.submit(httpx.post, f"{url}/v1/mask", content=large_png, timeout=120) for _ in range(count)]
        deepest = 0
        while not all(answer.done() for answer in answers):
            deepest = max(deepest, httpx.get(f"{url}/v1/latency").json()["queue_depth"])
            time.sleep(0.01)
        assert deepest >= 2
        assert httpx.get(f"{url}/v1/latency").json()["queue_depth"] == 0


def test_requests_that_time_out_count_against_the_target(large_png: bytes) -> None:
    with running_service(PANOSEG_TIMEOUT_S="0.05") as (url, _, _):
        for _ in range(50):
            httpx.post(f"{url}/v1/overlay", content=large_png, timeout=60)
            if httpx.get(f"{url}/v1/latency").json()["within_target"] is not None:
                break
        assert httpx.get(f"{url}/v1/latency").json()["within_target"] == 0
        assert "panoseg_timed_out_total 0.0" not in httpx.get(f"{url}/metrics").text


def test_tensors_that_time_out_do_not(package: ModelPackage) -> None:
    fit = package.manifest.input
    zeros = {
        "name": "pixels",
        "datatype": "UINT8",
        "shape": [1, fit.height, fit.width],
        "data": [0] * (fit.height * fit.width),
    }
    with running_service(PANOSEG_TIMEOUT_S="0.01") as (url, _, _):
        asked = f"{url}/v2/models/{package.manifest.name}/infer"
        assert httpx.post(asked, json={"inputs": [zeros]}, timeout=60).status_code == 504
        assert httpx.get(f"{url}/v1/latency").json()["within_target"] is None


def test_beyond_its_places_the_service_is_busy_and_says_when_to_come_back(large_png: bytes) -> None:
    with running_service("--max-requests", "1") as (url, _, _), ThreadPoolExecutor(6) as callers:
        answers = list(callers.map(lambda _: httpx.post(f"{url}/v1/overlay", content=large_png, timeout=60), range(6)))
        refused = [answer for answer in answers if answer.status_code == 503]
        assert any(answer.status_code == 200 for answer in answers)
        assert refused
        for answer in refused:
            assert answer.json()["type"] == "urn:panoseg:problem:busy"
            assert int(answer.headers["retry-after"]) >= 1


def test_a_request_past_its_deadline_is_told_so_and_the_service_goes_on(large_png: bytes, phantom_png: bytes) -> None:
    with running_service("--timeout-s", "0.25") as (url, _, _):
        late = httpx.post(f"{url}/v1/overlay?format=png", content=large_png, timeout=60)
        assert late.status_code == 504
        assert late.json()["type"] == "urn:panoseg:problem:timed-out"
        assert "the work itself took that long" in late.json()["detail"]  # nothing waited
        assert httpx.get(f"{url}/health/ready").status_code == 200


def test_a_caller_who_hangs_half_way_is_let_go_and_the_service_goes_on(phantom_png: bytes) -> None:
    with running_service("--timeout-s", "2") as (url, _, _):
        address = urlsplit(url)
        with socket.create_connection((address.hostname, address.port)) as hung:
            hung.sendall(b"POST /v1/mask HTTP/1.1\r\nHost: x\r\nContent-Length: 5000\r\n\r\n" + phantom_png[:100])
            assert httpx.post(f"{url}/v1/mask", content=phantom_png, timeout=30).status_code == 200
            hung.settimeout(20)
            assert b"504" in hung.recv(4000)
        assert httpx.get(f"{url}/health/ready").status_code == 200


@pytest.mark.parametrize(
    "behind", [b"", b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n"], ids=["one", "another behind it"]
)
def test_the_work_of_a_caller_who_has_gone_is_dropped(large_png: bytes, phantom_png: bytes, behind: bytes) -> None:
    with running_service("--max-requests", "4") as (url, _, _):
        address = urlsplit(url)
        for _ in range(4):
            with socket.create_connection((address.hostname, address.port)) as gone:
                head = f"POST /v1/overlay?format=png HTTP/1.1\r\nHost: x\r\nContent-Length: {len(large_png)}\r\n\r\n"
                gone.sendall(head.encode() + large_png + behind)
        # Their places are free again without any of them having been answered in full.
        for _ in range(200):
            answer = httpx.post(f"{url}/v1/mask", content=phantom_png, timeout=30)
            if answer.status_code == 200:
                break
            time.sleep(0.1)
        assert answer.status_code == 200
        metrics = httpx.get(f"{url}/metrics").text
        assert 'status="499"' in metrics
        assert "panoseg_faults_total 0.0" in metrics


@pytest.mark.parametrize("told", [signal.SIGTERM, signal.SIGINT], ids=lambda told: told.name)
def test_told_to_stop_it_finishes_what_is_under_way_and_goes(large_png: bytes, told: signal.Signals) -> None:
    with running_service() as (url, process, _):
        answers: list[httpx.Response] = []
        caller = threading.Thread(
            target=lambda: answers.append(httpx.post(f"{url}/v1/mask", content=large_png, timeout=60))
        )
        caller.start()
        while "panoseg_under_way 1.0" not in httpx.get(f"{url}/metrics").text:
            assert caller.is_alive(), "it was answered before it was seen"
            time.sleep(0.01)
        process.send_signal(told)
        caller.join()
        assert process.wait(timeout=10) == 0
        assert answers[0].status_code == 200


def test_while_it_stops_whoever_asks_anew_is_told_so(large_png: bytes) -> None:
    with running_service() as (url, process, _), ThreadPoolExecutor(8) as callers:
        answers = [callers.submit(httpx.post, f"{url}/v1/mask", content=large_png, timeout=60) for _ in range(8)]
        while "panoseg_under_way 8.0" not in httpx.get(f"{url}/metrics").text:
            assert not any(answer.done() for answer in answers), "one was answered before all were seen"
            time.sleep(0.01)
        process.send_signal(signal.SIGTERM)
        for _ in range(3):
            ready = httpx.get(f"{url}/health/ready")
            assert (ready.status_code, ready.json()["type"]) == (503, "urn:panoseg:problem:not-ready")
            assert ready.headers["retry-after"] == "5"
            assert httpx.get(f"{url}/v2/health/ready").status_code == 503
        refused = httpx.post(f"{url}/v1/mask", content=large_png, timeout=60)
        assert refused.json()["type"] == "urn:panoseg:problem:not-ready"
        assert {answer.result().status_code for answer in answers} <= {200, 503}
        assert process.wait(timeout=15) == 0


def test_what_a_stop_leaves_unanswered_is_told_so_and_is_no_fault(large_png: bytes) -> None:
    """Uploads that never end outlast the grace."""
    with running_service("--timeout-s", "60") as (url, process, log):
        address = urlsplit(url)
        with socket.create_connection((address.hostname, address.port)) as hung:
            hung.sendall(b"POST /v1/mask HTTP/1.1\r\nHost: x\r\nContent-Length: 5000\r\n\r\n" + large_png[:100])
            while "panoseg_ready 1.0" not in httpx.get(f"{url}/metrics").text:
                time.sleep(0.01)
            process.send_signal(signal.SIGTERM)
            hung.settimeout(20)
            answer = b"".join(iter(lambda: hung.recv(4000), b""))
        assert b" 503 " in answer
        assert b"urn:panoseg:problem:not-ready" in answer
        assert process.wait(timeout=15) == 0
        assert "Traceback" not in log.read_text()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a file that cannot be written")
@pytest.mark.parametrize("stderr", ["full", "closed"])
def test_a_log_that_cannot_be_written_changes_nothing(stderr: str, phantom_png: bytes) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    target = "2>/dev/full" if stderr == "full" else "2>&-"
    command = ["/bin/sh", "-c", f'exec "$0" -m service.cli serve --port {port} {target}', sys.executable]
    process = subprocess.Popen(command, cwd=REPOSITORY, stdin=subprocess.DEVNULL)
    try:
        for _ in range(600):
            try:
                if httpx.get(f"{url}/health/ready").status_code == 200:
                    break
            except httpx.TransportError:
                assert process.poll() is None
            time.sleep(0.1)
        assert httpx.post(f"{url}/v1/mask", content=phantom_png, timeout=60).status_code == 200
        process.terminate()
        assert process.wait(timeout=20) == 0
    finally:
        process.kill()
        process.wait()


def test_logs_are_json_lines_without_names_from_the_request(plain_service: PlainService, phantom_png: bytes) -> None:
    url, _, log = plain_service
    httpx.post(f"{url}/v1/segment", files={"file": ("Jane_Doe_1970.png", phantom_png)}, timeout=30)
    httpx.get(f"{url}/Jane_Doe_1970")
    lines = log.read_text().splitlines()
    assert "Jane" not in "".join(lines)
    assert {json.loads(line)["event"] for line in lines} >= {"listening", "ready", "request"}


def test_an_answer_is_found_in_the_log_by_its_id_with_what_was_sent_and_where_the_time_went(
    plain_service: PlainService, phantom_png: bytes, phantom: Phantom
) -> None:
    url, _, log = plain_service
    response = httpx.post(f"{url}/v1/segment", content=phantom_png, timeout=30)
    answer = response.json()
    httpx.get(f"{url}/v1/latency")  # the line is written once the answer has been sent
    (line,) = [json.loads(line) for line in log.read_text().splitlines() if answer["id"] in line]
    height, width = phantom.pixels.shape
    assert (line["event"], line["answer_id"]) == ("request", answer["id"])
    assert line["request_id"] == response.headers["x-request-id"]
    assert (line["format"], line["width"], line["height"], line["bytes"]) == ("png", width, height, len(phantom_png))
    assert line["timings_ms"] == answer["timings_ms"]


def test_memory_does_not_follow_a_bomb(plain_service: PlainService) -> None:
    bomb = cv2.imencode(".png", np.zeros((2, 2), np.uint8))[1].tobytes()
    header = bomb[:16] + (60000).to_bytes(4, "big") * 2 + bomb[24:29]
    bomb = header + zlib.crc32(header[12:29]).to_bytes(4, "big") + bomb[33:]
    url, process, _ = plain_service

    def resident_mb() -> float:
        pages = int(Path(f"/proc/{process.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 1e6

    if not Path("/proc/self/statm").exists():
        pytest.skip("needs /proc to read a process's memory")
    before = resident_mb()
    for _ in range(5):
        answer = httpx.post(f"{url}/v1/segment", content=bomb, timeout=30)
        assert answer.json()["type"] == "urn:panoseg:problem:too-many-pixels"
    assert resident_mb() - before < 150


def test_work_that_does_not_end_is_answered_in_time_and_does_not_keep_the_service_from_stopping(
    hanging: tuple[str, bytes],
) -> None:
    folder, upload = hanging
    with running_service(PANOSEG_TIMEOUT_S="0.5", PYTHONPATH=folder) as (url, process, log):
        assert httpx.post(f"{url}/v1/segment", content=upload, timeout=60).status_code == 504
        assert "panoseg_under_way 1.0" in httpx.get(f"{url}/metrics").text
        process.terminate()
        assert process.wait(timeout=25) == 0
        stopping, stopped = list(map(json.loads, log.read_text().splitlines()))[-2:]
    assert (stopping["event"], stopping["requests"]) == ("stopping", 1)
    assert (stopped["event"], stopped["unfinished"]) == ("stopped", 1)


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="the system has no SIGHUP")
def test_work_that_does_not_end_does_not_keep_a_service_from_stopping_whose_model_was_replaced(
    hanging: tuple[str, bytes],
) -> None:
    folder, upload = hanging
    with running_service(PANOSEG_TIMEOUT_S="0.5", PYTHONPATH=folder) as (url, process, log):
        process.send_signal(signal.SIGHUP)
        assert httpx.post(f"{url}/v1/segment", content=upload, timeout=60).status_code == 504
        while log.read_text().count('"ready"') < 2:
            time.sleep(0.05)
        process.terminate()
        assert process.wait(timeout=10) == 0


def test_the_log_says_why_a_request_was_refused_and_holds_no_probes(phantom_png: bytes) -> None:
    with running_service(PANOSEG_PROVIDR="cpu") as (url, process, log):
        ready = httpx.get(f"{url}/health/ready").json()
        assert ready["version"] == version("panoseg")
        assert ready["warnings"] == ["PANOSEG_PROVIDR is set, and nothing reads it."]
        httpx.get(f"{url}/metrics")
        httpx.post(f"{url}/v1/segment", content=phantom_png[:-100], timeout=60)
        httpx.post(f"{url}/v1/segment", content=HALF_A_TIFF, timeout=60, headers={"X-Request-ID": "half"})
        httpx.post(f"{url}/v2/models/other/infer", content=b"", timeout=60)
        process.terminate()
        assert process.wait(timeout=60) == 0
        lines = list(map(json.loads, log.read_text().splitlines()))
    requests = [
        (line["route"], line["problem"]) for line in lines if line["event"] == "request" and line["method"] == "POST"
    ]
    assert all(line["status"] == 503 for line in lines if line.get("method") == "GET")  # until it was ready
    assert requests == [
        ("/v1/segment", "damaged-image"),
        ("/v1/segment", "damaged-image"),
        ("/v2/models/{name}/infer", "unknown-model"),
    ]
    assert [line["event"][:21] for line in lines if line.get("request_id") == "half"] == [
        "damaged image: tiff, ",
        "request",
    ]
    assert [line["variable"] for line in lines if line["event"] == "unknown setting"] == ["PANOSEG_PROVIDR"]
    assert [line["event"] for line in lines[-2:]] == ["stopping", "stopped"]


def test_an_unforeseen_fault_while_loading_stops_the_service_and_stands_in_the_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "openvino.py").write_text("raise ValueError('a fault of the library itself')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    outcome = start_and_fail("--provider", "openvino")
    assert outcome.returncode == 2
    assert "unforeseen fault" in outcome.stderr
    assert '"exception"' in outcome.stderr
    assert "Traceback" not in outcome.stderr.splitlines()[-1]


def test_a_body_longer_than_declared_is_answered_for_what_was_declared(service_url: str, phantom_png: bytes) -> None:
    address = urlsplit(service_url)
    with socket.create_connection((address.hostname, address.port)) as caller:
        caller.settimeout(20)
        caller.sendall(b"POST /v1/mask HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n" + phantom_png[:5000])
        answer = caller.recv(4000)
    assert answer.startswith(b"HTTP/1.1 400")
    assert httpx.get(f"{service_url}/health/ready").status_code == 200
    assert httpx.post(f"{service_url}/v1/mask", content=phantom_png, timeout=30).status_code == 200


def test_the_time_of_its_upload_is_part_of_what_a_request_has(large_png: bytes) -> None:
    with running_service("--timeout-s", "3") as (url, _, _):
        address = urlsplit(url)
        with socket.create_connection((address.hostname, address.port)) as slow:
            head = f"POST /v1/overlay?format=png HTTP/1.1\r\nHost: x\r\nContent-Length: {len(large_png)}\r\n\r\n"
            slow.sendall(head.encode() + large_png[:-1])
            time.sleep(2.9)
            slow.sendall(large_png[-1:])
            slow.settimeout(20)
            assert slow.recv(4000).startswith(b"HTTP/1.1 504")


def test_nobody_sends_a_radiograph_to_a_service_without_a_place(hanging: tuple[str, bytes]) -> None:
    folder, upload = hanging
    with running_service("--max-requests", "1", "--timeout-s", "60", PYTHONPATH=folder) as (url, _, _):
        address = urlsplit(url)
        first, second = (socket.create_connection((address.hostname, address.port)) for _ in range(2))
        with first, second:
            first.sendall(b"POST /v1/mask HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(upload) + upload)
            while "panoseg_under_way 1.0" not in httpx.get(f"{url}/metrics").text:
                time.sleep(0.01)
            second.sendall(b"POST /v1/mask HTTP/1.1\r\nHost: x\r\nContent-Length: 5000\r\n\r\n")
            second.settimeout(10)
            assert second.recv(4000).startswith(b"HTTP/1.1 503")


def as_tensor(upload: bytes) -> tuple[bytes, dict[str, str]]:
    """The body and the headers that have a radiograph read by the Open Inference Protocol."""
    behind = len(upload).to_bytes(4, "little") + upload
    size = {"binary_data_size": len(behind)}
    sent = {"name": "radiograph", "shape": [1], "datatype": "BYTES", "parameters": size}
    text = json.dumps({"inputs": [sent]}).encode()
    return text + behind, {"Inference-Header-Content-Length": str(len(text))}


def test_a_radiograph_does_not_wait_for_requests_that_may_be_of_many(
    hanging: tuple[str, bytes], phantom_png: bytes
) -> None:
    folder, upload = hanging
    content, headers = as_tensor(upload)
    head = "".join(f"{name}: {value}\r\n" for name, value in {**headers, "Content-Length": len(content)}.items())
    count = usable_cores() + 4
    with (
        running_service("--max-requests", str(count + 1), "--timeout-s", "20", PYTHONPATH=folder) as (url, _, _),
        ExitStack() as stack,
    ):
        address = urlsplit(url)
        for _ in range(count):
            caller = stack.enter_context(socket.create_connection((address.hostname, address.port)))
            caller.sendall(f"POST /v2/models/radiograph/infer HTTP/1.1\r\nHost: x\r\n{head}\r\n".encode() + content)
        while f"panoseg_under_way {count}.0" not in httpx.get(f"{url}/metrics").text:
            time.sleep(0.01)
        assert httpx.post(f"{url}/v1/mask", content=phantom_png, timeout=60).status_code == 200
