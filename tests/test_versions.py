"""The versions that stand in results.json, whatever is installed."""

import importlib.metadata

from retina_kit import __version__
from retina_kit.reporting import badges, report


def test_versions_are_those_of_what_is_installed():
    found = report.versions()
    assert found["retina-kit"] == __version__
    assert found["numpy"] == importlib.metadata.version("numpy")
    assert list(found)[-1] == "python"


def test_a_checkout_that_is_not_installed_and_another_opencv_have_versions_too(monkeypatch):
    def version(name):
        if name in ("retina-kit", "torchvision", "opencv-python-headless"):
            raise importlib.metadata.PackageNotFoundError(name)
        return "4.9"

    monkeypatch.setattr(report, "version", version)
    found = report.versions()
    assert found["retina-kit"] == __version__
    assert found["opencv-python"] == "4.9"
    assert not {"torchvision", "opencv-python-headless"} & set(found)


def test_a_kit_without_metadata_has_no_repository(monkeypatch, tmp_path):
    def metadata(name):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(badges, "kit_root", lambda: tmp_path)
    monkeypatch.setattr(importlib.metadata, "metadata", metadata)
    assert badges.repository() == ""
