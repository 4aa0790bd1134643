"""The dashboard and the alert rules ask for what the service gives."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from tests.running import running_service

DOCKER = Path(__file__).resolve().parent.parent / "docker"


def dashboard_questions() -> Iterator[tuple[str, str]]:
    dashboard = json.loads((DOCKER / "grafana" / "dashboard.json").read_text())
    for panel in dashboard["panels"]:
        for target in panel["targets"]:
            yield f"panel {panel['title']}", target["expr"]


def alert_questions() -> Iterator[tuple[str, str]]:
    for group in yaml.safe_load((DOCKER / "prometheus" / "alerts.yml").read_text())["groups"]:
        for rule in group["rules"]:
            yield f"alert {rule['alert']}", rule["expr"]


QUESTIONS = [*dashboard_questions(), *alert_questions()]


@pytest.fixture(scope="module")
def given(service_url: str, phantom_png: bytes) -> dict[str, set[str]]:
    """The names that /metrics gives once a radiograph has been answered, with their labels."""
    assert httpx.post(f"{service_url}/v1/mask", content=phantom_png, timeout=60).status_code == 200
    httpx.get(f"{service_url}/health/live")
    # `job` is Prometheus' own label, on everything that it reads; `up` its own series.
    labels: dict[str, set[str]] = {"up": {"job"}}
    for family in text_string_to_metric_families(httpx.get(f"{service_url}/metrics").text):
        for sample in family.samples:
            labels.setdefault(sample.name, {"job"}).update(sample.labels)
    return labels


@pytest.mark.parametrize("question", [expr for _, expr in QUESTIONS], ids=[name for name, _ in QUESTIONS])
def test_every_question_is_about_metrics_and_labels_that_there_are(question: str, given: dict[str, set[str]]) -> None:
    asked = re.findall(r"\b(up|(?:panoseg|process)_\w+)(?:\{([^}]*)\})?", question)
    assert asked
    for name, selector in asked:
        assert name in given, f"/metrics has no {name}"
        assert set(re.findall(r"(\w+)!?=", selector)) <= given[name]
    grouped = {label.strip() for group in re.findall(r"by \(([^)]+)\)", question) for label in group.split(",")}
    assert grouped <= set().union(*(given[name] for name, _ in asked))


def test_the_dashboard_reads_from_whichever_prometheus_is_chosen() -> None:
    dashboard = json.loads((DOCKER / "grafana" / "dashboard.json").read_text())
    (variable,) = dashboard["templating"]["list"]
    assert (variable["name"], variable["type"], variable["query"]) == ("datasource", "datasource", "prometheus")
    assert {panel["datasource"]["uid"] for panel in dashboard["panels"]} == {"${datasource}"}


def test_nothing_in_the_dashboard_is_said_twice_of_which_one_would_be_lost() -> None:
    def as_told(pairs: list[tuple[str, object]]) -> dict[str, object]:
        assert len(dict(pairs)) == len(pairs), [key for key, _ in pairs]
        return dict(pairs)

    json.loads((DOCKER / "grafana" / "dashboard.json").read_text(), object_pairs_hook=as_told)


def test_what_compose_mounts_is_there() -> None:
    services = yaml.safe_load((DOCKER.parent / "docker-compose.yml").read_text())["services"]
    for name in ("prometheus", "grafana"):
        files = [volume.split(":")[0] for volume in services[name]["volumes"] if volume.startswith("./")]
        assert files
        assert all((DOCKER.parent / file).is_file() for file in files)


def test_the_target_and_what_is_within_it_are_told_alike_on_both_pages(service_url: str, given: dict) -> None:
    told = httpx.get(f"{service_url}/v1/latency").json()
    families = text_string_to_metric_families(httpx.get(f"{service_url}/metrics").text)
    values = {sample.name: sample.value for family in families for sample in family.samples}
    assert told["target_ms"] == 1000 * values["panoseg_target_seconds"] == 500
    within = told["within_target"] * told["since_start"]["total"]["count"]
    assert within == pytest.approx(values["panoseg_within_target_total"])


def test_a_target_of_ones_own_is_kept() -> None:
    with running_service(PANOSEG_LATENCY_TARGET_MS="80") as (url, _, _):
        assert httpx.get(f"{url}/v1/latency").json()["target_ms"] == 80
