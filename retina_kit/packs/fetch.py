"""Download a data set from its pinned public source; the only module of the kit that accesses the network."""

import ipaddress
import logging
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from urllib.parse import quote, urlsplit

import pooch
import requests

from retina_kit.data.card import Card, Source, can_fetch, read_card
from retina_kit.errors import DataError, SetupError, UsageError
from retina_kit.packs.convert import Original, convert_original
from retina_kit.packs.files import Wanted, missing_files, put_file, work_through, write_terms

NUM_TRIES = 3
TIMEOUT = (10, 60)  # seconds to wait for a connection, and for the next bytes


def fetch_pack(
    name: str,
    data_root: str | Path,
    *,
    accept_terms: bool = False,
    base_url: str | None = None,
    progress: bool = True,
    workers: int = 8,
) -> int:
    """Download the files that a pack lacks, and return how many were written.

    Verified files are left alone, so an interrupted download resumes; a file gets its name only after its pixels were
    compared with the manifest. `base_url` replaces the scheme and host of the card's addresses (a mirror). Raises
    DataError if the pack cannot be downloaded, with what to do by hand; UsageError if its terms were not accepted.
    """
    card = read_card(name)
    check_allowed(card, data_root, accept_terms)
    missing = missing_files(card, data_root)
    originals: dict[str, Wanted] = defaultdict(list)
    for file in missing:
        source = next((source for source in file.sources if is_public(source)), None)
        if source is None:
            raise DataError(f"{file.relative} of data set {name!r} has no public source; {card.how_to_get}")
        originals[address_of(source, base_url)].append((file, source))
    pooch.get_logger().setLevel(logging.ERROR)

    def fetch(address: str, wanted: Wanted) -> None:
        content = download(address) if address else b""
        for file, source in wanted:
            original = Original.of(source, address or file.relative, content, card.size)
            put_file(file, card, convert_original(source.convert, original), original.name)

    work_through(originals.items(), fetch, title=f"fetch {name}", workers=workers, progress=progress)
    write_terms(card, data_root)
    return len(missing)


def check_allowed(card: Card, data_root: str | Path, accept_terms: bool) -> None:
    """Raise DataError if a person must get a pack, UsageError if its terms were not accepted."""
    if not can_fetch(card):
        reason = f"{card.name} cannot be downloaded automatically ({card.access}: {card.license})"
        raise DataError(f"{reason}. By hand: {card.how_to_get}")
    if card.access == "terms" and not accept_terms:
        raise UsageError(
            f"{card.name} has terms: {card.license}. Home: {card.home}. Cite: {card.citation}. "
            f"If you accept them: retina-kit data fetch {card.name} --accept-terms --data-root {data_root}"
        )


def is_public(source: Source) -> bool:
    """Tell whether a source has a public address, or needs none."""
    return source.base is not None or source.convert == "empty_mask"


def address_of(source: Source, base_url: str | None = None) -> str:
    """The address of a source's original ("" if it has none); https, or plain http on this machine only."""
    if source.base is None:
        return ""
    parts = urlsplit(f"{source.base}/{quote(source.file or '')}")
    address = f"{base_url.rstrip('/')}{parts.path}" if base_url else parts.geturl()
    parts = urlsplit(address)
    if parts.scheme != "https" and not (parts.scheme == "http" and is_loopback(parts.hostname or "")):
        raise UsageError(f"{address} is not https; plain http is for addresses of this machine only")
    return address


def is_loopback(host: str) -> bool:
    """Tell whether a host name means this machine.

    >>> [is_loopback(host) for host in ("localhost", "127.0.0.1", "::1", "example.org")]
    [True, True, True, False]
    """
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def download(address: str) -> bytes:
    """Download the bytes at an address; retry a broken connection, but not a refusal."""
    for attempt in range(1, NUM_TRIES + 1):
        try:
            with tempfile.TemporaryDirectory(prefix="retina-kit-") as folder:
                path = Path(folder) / "original"
                pooch.HTTPDownloader(timeout=TIMEOUT, allow_redirects=False)(address, str(path), None)
                return path.read_bytes()
        except requests.HTTPError as error:
            answer = error.response
            assert answer is not None  # requests raises an HTTPError for an answer only
            if answer.status_code < 500 or attempt == NUM_TRIES:
                raise DataError(f"{address} answered {answer.status_code} {answer.reason}") from error
        except requests.RequestException as error:
            if attempt == NUM_TRIES:
                reason = type(error).__name__
                raise DataError(
                    f"{address} could not be downloaded ({reason}); check the connection and rerun"
                ) from error
        except OSError as error:
            raise SetupError(f"cannot write to {tempfile.gettempdir()}: {error.strerror or error}") from error
        time.sleep(0.2 * attempt)
    raise AssertionError("unreachable")
