"""Downloads, against a real server on this machine that can fail in every way a real one does."""

import http.server
import os
import subprocess
import sys
import threading
from pathlib import Path
from urllib.parse import unquote, urlsplit

import cv2
import numpy as np
import pytest
import small_pack

from retina_kit.data import manifest
from retina_kit.data.card import Source, read_card
from retina_kit.errors import DataError, SetupError, UsageError
from retina_kit.packs.fetch import address_of, download, fetch_pack
from retina_kit.packs.files import pack_files

REAL = Path(__file__).resolve().parents[2] / "shared" / "data"
FOLDERS = (("images", "jpg"), ("masks", "png"), ("fov", "png"))
FILES = [f"{folder}/{eye}.{end}" for folder, end in FOLDERS for eye in small_pack.IDS]


class Server(http.server.ThreadingHTTPServer):
    """Serves originals below /someone/eyes/<commit>/; `faults` maps a name to what goes wrong, in turn."""

    daemon_threads = True

    def __init__(self, folder):
        super().__init__(("127.0.0.1", 0), Handler)
        self.folder, self.faults, self.asked = folder, {}, []
        self.stalled, self.go_on = threading.Event(), threading.Event()
        threading.Thread(target=self.serve_forever, args=[0.02], daemon=True).start()

    @property
    def address(self):
        """Where it listens."""
        return f"http://127.0.0.1:{self.server_port}"


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers one request, whole or spoilt."""

    def do_GET(self):
        """Send a file, or the next of its faults."""
        path = self.server.folder / unquote(self.path).split("/", 4)[4]
        self.server.asked.append(path.name)
        faults = self.server.faults.get(path.name, [])
        fault = faults.pop(0) if faults else None
        if isinstance(fault, int):
            self.send_error(fault)
            return
        content = b"" if fault == "elsewhere" else fault if isinstance(fault, bytes) else path.read_bytes()
        self.send_response(302 if fault == "elsewhere" else 200)
        self.send_header("Content-Length", len(content))
        if fault == "elsewhere":
            self.send_header("Location", "http://example.org/")
        self.end_headers()
        self.wfile.write(content[: len(content) // 2] if fault in ("cut", "stall") else content)
        if fault == "stall":
            self.wfile.flush()
            self.server.stalled.set()
            self.server.go_on.wait(30)

    def log_message(self, *_):
        """Say nothing."""


@pytest.fixture
def server(tmp_path, monkeypatch):
    """A server of small originals, with their card and manifest in use."""
    small_pack.write_originals(tmp_path / "originals")
    small_pack.write_manifest(tmp_path / "cards", tmp_path / "originals")
    small_pack.use_cards(monkeypatch, tmp_path / "cards")
    with Server(tmp_path / "originals") as running:
        yield running
        running.shutdown()
    small_pack.forget_cards()


def fetch(server, data_root, **options):
    """Fetch the small pack from the server."""
    return fetch_pack("small", data_root, base_url=server.address, progress=False, **options)


def files_in(folder):
    """Return the relative paths of all files below a folder, hidden and partial ones too."""
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def test_a_pack_is_fetched_converted_and_verified(server, tmp_path):
    assert fetch(server, tmp_path / "data") == 9
    assert files_in(tmp_path / "data/small") == sorted(["LICENSE.txt", *FILES])
    assert manifest.verify_pack("small", tmp_path / "data") == []
    assert sorted(server.asked) == sorted(
        [f"{eye}{end}" for eye in small_pack.IDS for end in (".jpg", "_vessels.png")]
    ), "an original that two files are made from is asked for once"


def test_what_may_name_a_patient_is_dropped(server, tmp_path):
    fetch(server, tmp_path / "data")
    assert b"John Doe" in (server.folder / "all eyes/eye_1.jpg").read_bytes()
    assert b"John Doe" not in (tmp_path / "data/small/images/eye_1.jpg").read_bytes()


def test_the_terms_and_the_source_are_next_to_the_images(server, tmp_path):
    fetch(server, tmp_path / "data")
    text = (tmp_path / "data/small/LICENSE.txt").read_text()
    assert "CC BY 4.0" in text
    assert "Somebody, Small eyes (2020)" in text
    assert small_pack.BASE in text


def test_verified_files_are_not_fetched_again(server, tmp_path):
    fetch(server, tmp_path / "data")
    before = (tmp_path / "data/small/images/eye_1.jpg").stat().st_mtime_ns
    (tmp_path / "data/small/masks/eye_2.png").unlink()
    server.asked.clear()
    assert fetch(server, tmp_path / "data") == 1
    assert server.asked == ["eye_2_vessels.png"]
    assert (tmp_path / "data/small/images/eye_1.jpg").stat().st_mtime_ns == before


def test_a_file_that_was_spoilt_is_fetched_again(server, tmp_path):
    fetch(server, tmp_path / "data")
    cv2.imwrite(str(tmp_path / "data/small/masks/eye_3.png"), np.zeros(small_pack.SIZE, np.uint8))
    assert fetch(server, tmp_path / "data") == 1
    assert manifest.verify_pack("small", tmp_path / "data") == []


@pytest.mark.parametrize("fault", ["cut", 500, 503])
def test_a_broken_connection_is_tried_again(server, tmp_path, fault):
    server.faults["eye_2.jpg"] = [fault]
    assert fetch(server, tmp_path / "data") == 9
    assert server.asked.count("eye_2.jpg") == 2


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("cut", r"eye_2\.jpg could not be downloaded"),
        (404, r"eye_2\.jpg answered 404"),
        (500, r"eye_2\.jpg answered 500"),
        (b"<html>not here</html>", r"eye_2\.jpg"),
        ("elsewhere", r"eye_2\.jpg: unsupported or truncated image file"),
    ],
)
def test_what_cannot_be_had_is_named_and_the_rest_is_kept(server, tmp_path, fault, message):
    server.faults["eye_2.jpg"] = [fault] * 3
    with pytest.raises(DataError, match=message):
        fetch(server, tmp_path / "data")
    there = files_in(tmp_path / "data/small")
    assert there == sorted(set(FILES) - {"images/eye_2.jpg", "fov/eye_2.png"})
    server.faults.clear()
    assert fetch(server, tmp_path / "data") == 2, "the next call resumes where this one stopped"
    assert manifest.verify_pack("small", tmp_path / "data") == []


def test_other_pixels_than_the_manifests_are_refused(server, tmp_path):
    server.faults["eye_1_vessels.png"] = [cv2.imencode(".png", np.zeros(small_pack.SIZE, np.uint8))[1].tobytes()]
    with pytest.raises(DataError, match=r"masks/eye_1\.png of the manifest"):
        fetch(server, tmp_path / "data")
    assert "masks/eye_1.png" not in files_in(tmp_path / "data/small")


def test_many_failures_stop_the_rest(server, tmp_path):
    for name in [f"{eye}{end}" for eye in small_pack.IDS for end in (".jpg", "_vessels.png")]:
        server.faults[name] = [404]
    with pytest.raises(DataError, match="5 originals"):
        fetch(server, tmp_path / "data", workers=1)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_cannot_be_written_is_named(server, tmp_path):
    (tmp_path / "data").mkdir(mode=0o500)
    with pytest.raises(SetupError, match="cannot write"):
        fetch(server, tmp_path / "data")


def test_a_data_root_that_is_a_file_is_named(server, tmp_path):
    (tmp_path / "data").write_text("a file")
    with pytest.raises(DataError, match="data is a file"):
        fetch(server, tmp_path / "data")


@pytest.mark.parametrize("room", [0, 600])  # for the download itself; for the finished file
def test_a_full_disk_is_a_setup_error(server, tmp_path, room):
    resource = pytest.importorskip("resource")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, before[1]))
    try:
        with pytest.raises(SetupError, match="cannot write"):
            fetch(server, tmp_path / "data", workers=1)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert not [name for name in files_in(tmp_path / "data/small") if name.endswith(".part")]
    fetch(server, tmp_path / "data")
    assert manifest.verify_pack("small", tmp_path / "data") == []


def test_terms_must_be_accepted(server, tmp_path):
    text = (tmp_path / "cards/small.toml").read_text()
    (tmp_path / "cards/small.toml").write_text(text.replace('access = "open"', 'access = "terms"'))
    small_pack.forget_cards()
    with pytest.raises(UsageError, match=r"CC BY 4\.0.*example\.org.*--accept-terms"):
        fetch(server, tmp_path / "data")
    assert server.asked == []
    assert fetch(server, tmp_path / "data", accept_terms=True) == 9


@pytest.mark.parametrize("name", ["drive", "eyepacs", "hrf"])
def test_what_needs_a_person_says_what_to_do(name, tmp_path):
    with pytest.raises(DataError, match="By hand: "):
        fetch_pack(name, tmp_path, accept_terms=True)


def test_only_https_or_this_machine():
    source = Source(of="image", convert="keep", base=small_pack.BASE, file="all eyes/a.jpg")
    assert address_of(source).endswith("/all%20eyes/a.jpg")
    assert address_of(source, "http://localhost:80/mirror/").startswith("http://localhost:80/mirror/someone/eyes/a1")
    for base_url in ("http://example.org", "ftp://127.0.0.1", "file:///etc", "http://127.0.0.1.example.org"):
        with pytest.raises(UsageError, match="is not https"):
            address_of(source, base_url)


def test_a_machine_that_does_not_answer_is_named(tmp_path):
    with pytest.raises(DataError, match=r"127\.0\.0\.1:1/a could not be downloaded"):
        download("http://127.0.0.1:1/a")


@pytest.mark.real_data
@pytest.mark.parametrize("name", ["chase_db1"])
def test_a_real_pack_is_rebuilt_from_the_names_its_home_uses(name, tmp_path):
    if not manifest.has_pack(name, REAL):
        pytest.skip(f"{name} is not in ../shared/data")
    card = read_card(name)
    for file in pack_files(card, REAL):
        original = tmp_path / "originals" / file.sources[0].file
        original.parent.mkdir(parents=True, exist_ok=True)
        if file.column != "mask_fov":
            original.write_bytes(file.path.read_bytes())
    with Server(tmp_path / "originals") as running:
        count = fetch_pack(name, tmp_path / "data", base_url=running.address, progress=False)
        running.shutdown()
    assert count == 112
    assert manifest.verify_pack(name, tmp_path / "data") == []
    assert urlsplit(card.sources[0].base).scheme == "https"


def test_a_killed_download_leaves_complete_files_only(server, tmp_path):
    server.faults["eye_3.jpg"] = ["stall"]
    code = (
        "import sys; from pathlib import Path; from retina_kit.data import card, manifest\n"
        "card.folder_of_cards = manifest.folder_of_cards = lambda: Path(sys.argv[1])\n"
        "from retina_kit.packs.fetch import fetch_pack\n"
        "fetch_pack('small', sys.argv[2], base_url=sys.argv[3])"
    )
    arguments = [str(tmp_path / "cards"), str(tmp_path / "data"), server.address]
    with subprocess.Popen([sys.executable, "-c", code, *arguments], stderr=subprocess.DEVNULL) as program:
        assert server.stalled.wait(30)
        program.kill()
    server.go_on.set()
    there = files_in(tmp_path / "data/small")
    assert set(there) <= set(FILES) - {"images/eye_3.jpg", "fov/eye_3.png"}
    assert fetch(server, tmp_path / "data") == 9 - len(there)
    assert manifest.verify_pack("small", tmp_path / "data") == []


def test_a_file_that_only_a_person_can_get_is_named(server, tmp_path):
    card = tmp_path / "cards" / "small.toml"
    card.write_text(card.read_text() + '[sources.where]\nid = "eye_1"\n')  # of the last source, the field of view
    small_pack.forget_cards()
    with pytest.raises(DataError, match=r"fov/eye_2\.png of data set 'small' has no public source"):
        fetch(server, tmp_path / "data")
