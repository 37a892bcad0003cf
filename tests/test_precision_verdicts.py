"""Verdicts of two precisions are compared claim by claim, and only if nothing else differs."""

import json

import pytest

from benchmarks.precision_verdicts import compare_verdicts
from retina_kit.errors import UsageError

CLAIMS = {
    "float32": ("supported", "supported", "inconclusive"),
    "bfloat16": ("not supported", "supported", "not supported"),
}


@pytest.fixture
def outputs(tmp_path):
    """Write a finished output in each precision: one run, three claims."""
    for name, verdicts in CLAIMS.items():
        run, folder = tmp_path / name / "runs" / f"hash_{name}", tmp_path / name / "hu2018" / "lesson-synthetic"
        run.mkdir(parents=True)
        folder.mkdir(parents=True)
        settings = {"description": {"recipe": {"steps": 3}, "precision": name, "parent": f"parent_{name}"}}
        (run / "settings.json").write_text(json.dumps(settings))
        arm = {"arm": "a", "seed": 0, "fold": None, "hash": run.name, "precision": name}
        (folder / "results.json").write_text(json.dumps({"arms": [arm]}))
        rows = [f"claim_{k},0.{k},{verdict}" for k, verdict in enumerate(verdicts)]
        (folder / "claims.csv").write_text("\n".join(["claim,estimate,verdict", *rows]))
    return tmp_path


def test_a_verdict_flips_wavers_or_stays(outputs):
    rows = compare_verdicts("hu2018", "lesson-synthetic", outputs / "float32", outputs / "bfloat16")
    assert rows["change"].tolist() == ["flips", "", "wavers"]
    assert rows["verdict_float32"].tolist() == list(CLAIMS["float32"])
    assert rows["estimate_bfloat16"].tolist() == [0.0, 0.1, 0.2]
    assert rows["seeds"].tolist() == [1, 1, 1]


def test_runs_that_differ_in_more_than_the_precision_are_refused(outputs):
    path = outputs / "bfloat16" / "runs" / "hash_bfloat16" / "settings.json"
    path.write_text(path.read_text().replace('"steps": 3', '"steps": 4'))
    with pytest.raises(UsageError, match="differ in more than the precision"):
        compare_verdicts("hu2018", "lesson-synthetic", outputs / "float32", outputs / "bfloat16")
