"""The command line where the training extra is not installed."""

import pytest

from tests.running import run_without_training


def test_the_services_commands_need_nothing_of_training():
    listed = run_without_training("models", "--json")
    assert (listed.returncode, listed.stderr) == (0, "")


@pytest.mark.parametrize(
    "arguments",
    [
        ("train", "--config", "x.yaml"),
        ("check", "--config", "x.yaml"),
        ("evaluate", "x", "--config", "x.yaml"),
        ("report", "x", "--config", "x.yaml"),
        ("compare", "x"),
        ("sweep", "x.yaml"),
        ("export", "x", "--name", "x", "--version", "1", "--data", "x", "--data-licence", "x"),
    ],
    ids=lambda arguments: arguments[0],
)
def test_a_command_of_training_says_what_to_install(arguments):
    refused = run_without_training(*arguments)
    assert refused.returncode == 2
    assert "pip install -e '.[cpu,training]'" in refused.stderr
    assert "Traceback" not in refused.stderr


@pytest.mark.parametrize(("command", "file"), [("compare", "ablation"), ("ablate", "ablation"), ("sweep", "sweep")])
def test_a_table_of_ones_own_runs_takes_no_published_tables_place(command, file):
    told = run_without_training(command, "--help").stdout
    assert f"out/{file}.json" in told
    assert "benchmarks" not in told
