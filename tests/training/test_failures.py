"""The worst pictures of a split are drawn for someone to look at, with all but the sentences written down."""

import json
import shutil

import cv2
import pytest
import yaml
from typer.testing import CliRunner

from tests.training.drawn import drawn_config
from training.cli import app
from training.failures import FailuresError, choose_worst, read_failures


def test_the_worst_have_the_lowest_dice():
    rows = [{"name": str(number), "dice": abs(number - 7) / 10} for number in range(15)]
    worst = [row["name"] for row in choose_worst(rows)]
    assert worst[:3] == ["7", "6", "8"]
    assert len(worst) == 10
    assert len(choose_worst(rows[:4])) == 4


def test_what_is_drawn_becomes_the_packages_failures_with_a_sentence_each(package, tmp_path):
    folder, out = tmp_path / "package", tmp_path / "out"
    config = drawn_config(tmp_path / "drawn.yaml", data={"kind": "phantom", "train": 1, "val": 1, "test": 2, "seed": 7})
    shutil.copytree(package.folder, folder)
    (folder / "metrics.json").unlink()
    arguments = [str(folder), "--config", str(config)]
    unmeasured = CliRunner().invoke(app, ["failures", *arguments, "--out", str(out)])
    assert unmeasured.exit_code == 2
    assert "panoseg evaluate" in unmeasured.output
    assert CliRunner().invoke(app, ["evaluate", *arguments]).exit_code == 0
    drawn = CliRunner().invoke(app, ["failures", *arguments, "--out", str(out)])
    assert drawn.exit_code == 0, drawn.output

    sheets = sorted(out.glob("*.jpg"))
    rows = choose_worst(json.loads((folder / "metrics.json").read_text())["test"]["by_picture"])
    assert [sheet.stem for sheet in sheets] == [
        f"{place:02}-{row['name'].removesuffix('.png')}" for place, row in enumerate(rows, start=1)
    ]
    assert cv2.imread(str(sheets[0])).shape == (960, 1920, 3)

    skeleton = (out / "failures.yaml").read_text()
    assert skeleton.count(': ""\n') == len(rows)
    (folder / "failures.yaml").write_text(skeleton)
    with pytest.raises(FailuresError, match="have no sentence"):
        read_failures(folder)
    told = yaml.safe_load((out / "failures.yaml").read_text())
    told["pictures"] = dict.fromkeys(told["pictures"], "A premolar is missed.")
    (folder / "failures.yaml").write_text(yaml.safe_dump(told))
    assert [failure.figures["name"] for failure in read_failures(folder)] == [row["name"] for row in rows]

    sentences = out / "failures.yaml"
    sentences.write_text((folder / "failures.yaml").read_text())
    assert CliRunner().invoke(app, ["failures", *arguments, "--out", str(out)]).exit_code == 0
    assert yaml.safe_load(sentences.read_text())["pictures"] == told["pictures"]
    sentences.write_text(yaml.safe_dump({**told, "sha256": "another"}))
    refused = CliRunner().invoke(app, ["failures", *arguments, "--out", str(out)])
    assert (refused.exit_code, sentences.exists()) == (2, True)
    assert "another model file or split" in refused.output


@pytest.mark.parametrize(
    ("written", "says"),
    [
        (b"split: test\npictures:\n  a.png: A premolar: missed\n", r"failures\.yaml, line 3, .* in quotes"),
        (b"split: test\npictures:\n  a.png: 'The root's end.'\n", r"failures\.yaml, line 3, .* in quotes"),
        ("pictures:\n  a.png: Zähne fehlen.\n".encode("latin-1"), "as UTF-8"),
        (b"A premolar is missed.\n", "one sentence for each picture"),
        (b"pictures: [a.png]\n", "one sentence for each picture"),
        (b"pictures:\n  a.png: yes\n", "one sentence for each picture"),
    ],
    ids=["a colon", "an apostrophe", "another encoding", "no map", "a list", "no text"],
)
def test_a_file_of_sentences_that_is_written_wrongly_is_refused_in_a_sentence(package, tmp_path, written, says):
    shutil.copy(package.folder / "metrics.json", tmp_path)
    (tmp_path / "failures.yaml").write_bytes(written)
    with pytest.raises(FailuresError, match=says):
        read_failures(tmp_path)
