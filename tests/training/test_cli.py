"""The command line where the training extra is not installed."""

import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]

WITHOUT = """
import sys
for name in ("torch", "lightning", "segmentation_models_pytorch", "matplotlib", "jinja2", "pycocotools"):
    sys.modules[name] = None
from training.cli import app
app()
"""


def run(*arguments):
    return subprocess.run(
        [sys.executable, "-c", WITHOUT, *arguments], cwd=REPOSITORY, capture_output=True, text=True, check=False
    )


def test_the_services_commands_need_nothing_of_training():
    listed = run("models", "--json")
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
    refused = run(*arguments)
    assert refused.returncode == 2
    assert "pip install -e '.[cpu,training]'" in refused.stderr
    assert "Traceback" not in refused.stderr


@pytest.mark.parametrize(("command", "file"), [("compare", "ablation"), ("ablate", "ablation"), ("sweep", "sweep")])
def test_a_table_of_ones_own_runs_takes_no_published_tables_place(command, file):
    told = run(command, "--help").stdout
    assert f"out/{file}.json" in told
    assert "benchmarks" not in told
