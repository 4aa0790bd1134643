"""How the model is run: what is set wins, then what was measured on this very ground, and nothing of it is silent."""

import json
import re
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from service.doctor import examine
from service.errors import SetupError
from service.machine import free_memory_mb, quota, usable_cores
from service.model.package import ModelPackage
from service.settings import Settings
from service.tune import choose, describe, tune, ways
from service.tuning import Ground, Measured, Tuning, Way, choose_way
from tests.running import running_service
from training.cli import app

TUNED = Way(provider="cpu", threads=1, spinning=False)


@pytest.fixture
def tuned(package: ModelPackage, tmp_path: Path) -> Path:
    """A file as `panoseg tune` writes it, for this machine."""
    measured = (Measured(way=TUNED, median_ms=1.0),)
    tuning = Tuning(date="2030-01-01", ground=Ground.here(package), best=TUNED, measured=measured)
    path = tmp_path / "tuning.json"
    path.write_text(tuning.model_dump_json())
    return path


def test_without_a_tuning_the_model_takes_the_cores_that_there_are(package: ModelPackage, tmp_path: Path) -> None:
    way = choose_way(package, Settings(tuning=tmp_path / "none.json"))
    assert (way.threads, way.spinning, way.reason, way.warning) == (usable_cores(), True, "default", None)


def test_threads_that_are_to_sleep_do_without_a_tuning_too(package: ModelPackage, tmp_path: Path) -> None:
    way = choose_way(package, Settings(tuning=tmp_path / "none.json", spinning=False))
    assert (way.spinning, way.reason) == (False, "spinning as set, else default")


def test_more_threads_than_cores_are_refused(package: ModelPackage) -> None:
    with pytest.raises(SetupError, match="more threads than cores"):
        choose_way(package, Settings(threads=100_000))


def test_a_tuning_is_used_and_what_is_set_wins(
    package: ModelPackage, tuned: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    way = choose_way(package, Settings(tuning=tuned))
    assert (way.threads, way.spinning, way.reason) == (1, False, "tuned on 2030-01-01")
    monkeypatch.setattr("service.tuning.affine_cores", lambda: 8)
    way = choose_way(package, Settings(tuning=tuned, threads=7))
    assert (way.threads, way.spinning) == (7, False)
    assert way.reason == "threads as set, else tuned on 2030-01-01"
    way = choose_way(package, Settings(tuning=tuned, spinning=True, threads=2))
    assert (way.threads, way.spinning, way.reason) == (2, True, "threads and spinning as set")


def test_a_tuning_is_for_the_provider_that_it_found_best(package: ModelPackage, tuned: Path) -> None:
    same = choose_way(package, Settings(tuning=tuned, provider="cpu"))
    assert (same.threads, same.spinning, same.reason) == (1, False, "tuned on 2030-01-01")
    other = choose_way(package, Settings(tuning=tuned, provider="openvino"))
    assert (other.provider, other.threads, other.spinning, other.reason) == (None, usable_cores(), True, "default")


@pytest.mark.parametrize("differs", Ground.model_fields)
def test_a_tuning_from_other_ground_is_passed_over_and_said_to_be(
    package: ModelPackage, tuned: Path, differs: str
) -> None:
    content = json.loads(tuned.read_text())
    content["ground"][differs] = 99 if differs == "cores" else "another"
    tuned.write_text(json.dumps(content))
    way = choose_way(package, Settings(tuning=tuned))
    assert way.reason == "default"
    assert way.warning is not None
    assert f"another {differs}" in way.warning


def test_a_tuning_for_another_version_or_other_files_is_passed_over(package: ModelPackage, tuned: Path) -> None:
    manifest = package.manifest
    more = manifest.files[0].model_copy(update={"sha256": "0" * 64})
    for changed in ({"version": "999"}, {"files": (*manifest.files, more)}):
        other = replace(package, manifest=manifest.model_copy(update=changed))
        assert "another model" in str(choose_way(other, Settings(tuning=tuned)).warning)


def test_a_file_that_is_no_tuning_is_passed_over_and_said_to_be(package: ModelPackage, tuned: Path) -> None:
    tuned.write_text("{}")
    for path in (tuned, tuned.parent):
        way = choose_way(package, Settings(tuning=path))
        assert way.reason == "default"
        assert "run `panoseg tune` again" in str(way.warning)


def test_the_service_says_in_its_log_how_the_model_runs(tuned: Path) -> None:
    with running_service("--tuning", str(tuned)) as (_, _, log):
        (ready,) = (line for line in map(json.loads, log.read_text().splitlines()) if line["event"] == "ready")
    assert (ready["threads"], ready["spinning"], ready["chosen"]) == (1, False, "tuned on 2030-01-01")


def test_tune_measures_every_way_and_writes_one_of_them_down(
    package: ModelPackage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PANOSEG_TUNING", str(tmp_path / "new" / "tuning.json"))
    outcome = CliRunner().invoke(app, ["tune", "--rounds", "1"])
    assert outcome.exit_code == 0, outcome.output
    tuning = Tuning.model_validate_json((tmp_path / "new" / "tuning.json").read_bytes())
    assert [each.way for each in tuning.measured] == list(ways(package))
    assert tuning.best in list(ways(package))
    assert tuning.ground == Ground.here(package)
    assert choose_way(package, Settings()).reason == f"tuned on {tuning.date}"


def test_openvino_is_tried_only_where_it_is_installed_and_the_package_has_a_file_for_it(
    package: ModelPackage, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert {way.provider for way in ways(package)} == {"cpu", "openvino"}
    file = package.manifest.files[0].model_copy(update={"providers": ("CPUExecutionProvider",)})
    without = replace(package, manifest=package.manifest.model_copy(update={"files": (file,)}))
    assert {way.provider for way in ways(without)} == {"cpu"}
    monkeypatch.setattr("service.opening.is_installed", lambda _: False)
    assert {way.provider for way in ways(package)} == {"cpu"}


def test_a_way_that_cannot_be_gone_is_told_and_the_others_are_measured(
    package: ModelPackage, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise RuntimeError("no such primitive")

    simplest, other = TUNED, Way(provider="openvino", threads=1, spinning=False)
    monkeypatch.setattr("openvino.Core.compile_model", refuse)
    monkeypatch.setattr("service.tune.ways", lambda _: [simplest, other])
    told: list[str] = []
    tuning = tune(package, Settings(), 1, told.append)
    assert ([each.way for each in tuning.measured], tuning.best) == ([simplest], simplest)
    assert len(told) == 2
    assert re.fullmatch(r"openvino, 1 thread: not here\. .*no such primitive\.?", told[0])
    assert re.fullmatch(r"cpu, 1 thread, waiting asleep: [\d.]+ ms", told[1])
    monkeypatch.setattr("service.tune.ways", lambda _: [other, simplest])
    with pytest.raises(SetupError, match="no such primitive"):
        tune(package, Settings(), 1, told.append)


def test_how_threads_wait_is_told_only_where_it_can_be_set() -> None:
    assert describe(Way(provider="cpu", threads=2, spinning=True)) == "cpu, 2 threads, spinning"
    assert describe(Way(provider="openvino", threads=2, spinning=False)) == "openvino, 2 threads"


@given(st.lists(st.floats(1, 1000), min_size=1, max_size=6))
def test_the_simplest_way_is_left_only_for_one_that_is_clearly_better(medians_ms: list[float]) -> None:
    measured = tuple(
        Measured(way=Way(provider="cpu", threads=index + 1, spinning=False), median_ms=median)
        for index, median in enumerate(medians_ms)
    )
    best = choose(measured)
    chosen_ms = medians_ms[best.threads - 1]
    assert chosen_ms == min(medians_ms) or (best == measured[0].way and chosen_ms * 0.97 <= min(medians_ms))


def test_the_doctor_says_what_would_run_and_why_not_something_else(
    package: ModelPackage, tuned: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PANOSEG_TUNING", str(tuned))
    facts = {(fact.topic, fact.name): fact.value for fact in examine(Settings())}
    manifest = package.manifest
    assert facts["what would run", "threads"] == "1, waiting asleep"
    assert "(tuned on 2030-01-01" in facts["what would run", "provider"]
    assert f"{manifest.name}/{manifest.version}" in facts["what would run", "model"]
    assert "sha256" in facts["models", f"{manifest.name}/{manifest.version}"]
    assert facts["settings", "tuning"].endswith("(set)")
    assert facts["settings", "port"].endswith("(default)")
    for provider in ("cpu", "cuda", "tensorrt", "openvino"):
        assert facts["providers", provider].endswith("works") or "not here. " in facts["providers", provider]


def test_where_nothing_would_run_the_doctor_says_so_and_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PANOSEG_MODELS", str(tmp_path))
    outcome = CliRunner().invoke(app, ["doctor"])
    assert outcome.exit_code == 2
    assert "holds no model package" in outcome.output


GROUPS = {
    "a container's own, version 2": ({"cpu.max": "150000 100000"}, "0::/", 1.5),
    "no limit": ({"cpu.max": "max 100000"}, "0::/", sys.maxsize),
    "a systemd service": (
        {"system.slice/panoseg.service/cpu.max": "50000 100000"},
        "0::/system.slice/panoseg.service",
        0.5,
    ),
    "a group above": ({"a/cpu.max": "200000 100000", "a/b/cpu.max": "400000 100000"}, "0::/a/b", 2),
    "version 1": ({"cpu/cpu.cfs_quota_us": "300000\n", "cpu/cpu.cfs_period_us": "100000\n"}, "3:cpu:/", 3),
    "version 1, no limit": ({"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, "3:cpu:/", sys.maxsize),
    "version 1, mounted with another": (
        {"cpu,cpuacct/x/cpu.cfs_quota_us": "200000", "cpu,cpuacct/x/cpu.cfs_period_us": "100000"},
        "3:cpu,cpuacct:/x",
        2,
    ),
    "both mounted": ({"unified/x/cpu.max": "100000 100000"}, "1:cpu:/\n0::/x", 1),
}


@pytest.mark.parametrize("case", GROUPS)
def test_the_quota_of_the_process_is_found_wherever_it_is_set(case: str, tmp_path: Path) -> None:
    files, own, expected = GROUPS[case]
    for name, content in files.items():
        path = tmp_path / "groups" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    (tmp_path / "own").write_text(own + "\n")
    assert quota(tmp_path / "groups", tmp_path / "own") == expected


MEMORY = {
    "a container's own, version 2": ({"memory.max": "3000000", "memory.current": "1000000"}, "0::/", 2),
    "a systemd service": (
        {
            "system.slice/panoseg.service/memory.max": "9000000",
            "system.slice/panoseg.service/memory.current": "4000000",
        },
        "0::/system.slice/panoseg.service",
        5,
    ),
    "version 1": (
        {"memory/memory.limit_in_bytes": "7000000", "memory/memory.usage_in_bytes": "1000000"},
        "4:memory:/",
        6,
    ),
}


@pytest.mark.parametrize("case", MEMORY)
def test_the_memory_that_is_left_is_what_the_process_may_have(case: str, tmp_path: Path) -> None:
    files, own, expected_mb = MEMORY[case]
    for name, content in files.items():
        path = tmp_path / "groups" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content + "\n")
    (tmp_path / "own").write_text(own + "\n")
    assert free_memory_mb(tmp_path / "groups", tmp_path / "own") == expected_mb
    unlimited = free_memory_mb(tmp_path / "none", tmp_path / "none")
    assert unlimited is None or unlimited > 50


@pytest.mark.parametrize(("allowed", "cores"), [(0.5, 1), (1.9, 1), (3.0, 3), (sys.maxsize, 4)])
def test_a_process_uses_whole_cores_of_its_quota_and_no_more_than_it_may_be_put_on(
    allowed: float, cores: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.machine.affine_cores", lambda: 4)
    monkeypatch.setattr("service.machine.quota", lambda: allowed)
    assert usable_cores() == cores
