"""Downloads a data pack from its pinned public source; the only module of the kit that opens an address."""

import ipaddress
import logging
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from urllib.parse import quote, urlsplit

import pooch
import requests

from retina_kit.data.manifest import can_fetch, read_card
from retina_kit.errors import DataError, SetupError, UsageError
from retina_kit.packs.convert import convert
from retina_kit.packs.files import missing_files, put_file, work_through, write_terms

TRIES = 3
PATIENCE = (10, 60)  # seconds to wait for a connection, and for the next bytes


def fetch_pack(name, data_root, *, accept_terms=False, base_url=None, progress=True, workers=8):
    """Download what a pack lacks, and return how many files were written.

    Files that are there and proven are left alone, so a broken download goes on where it stopped; a file gets
    its name only after its pixels were compared with the manifest. `base_url` replaces the scheme and host of
    the card's addresses (a mirror). Raises DataError where the pack cannot be downloaded: what to do by hand.
    """
    card = read_card(name)
    check_allowed(card, data_root, accept_terms)
    missing = missing_files(card, data_root)
    originals = defaultdict(list)
    for file in missing:
        source = next(source for source in file.sources if is_public(source))
        originals[address_of(source, base_url)].append((file, source))
    fetcher = Fetcher(card)
    work_through(list(originals.items()), fetcher.fetch, title=f"fetch {name}", workers=workers, progress=progress)
    write_terms(card, data_root)
    return len(missing)


def check_allowed(card, data_root, accept_terms):
    """Raise where a pack must be got by hand, or where its terms were not accepted."""
    if not can_fetch(card):
        reason = f"{card.name} cannot be downloaded for you ({card.access}: {card.license})"
        raise DataError(f"{reason}. By hand: {card.how_to_get}")
    if card.access == "terms" and not accept_terms:
        raise UsageError(
            f"{card.name} has terms: {card.license}. Home: {card.home}. Cite: {card.citation}. "
            f"If you accept them: retina-kit data fetch {card.name} --accept-terms --data-root {data_root}"
        )


def is_public(source):
    """Say whether a source can be had without a person: it has an address, or needs none."""
    return bool(source.get("base")) or source["convert"] == "empty_mask"


def address_of(source, base_url=None):
    """Return the address of a source's original ("" for none); https, or plain http on this machine only."""
    if not source.get("base"):
        return ""
    parts = urlsplit(f"{source['base']}/{quote(source['file'])}")
    address = f"{base_url.rstrip('/')}{parts.path}" if base_url else parts.geturl()
    parts = urlsplit(address)
    if parts.scheme != "https" and not (parts.scheme == "http" and is_loopback(parts.hostname)):
        raise UsageError(f"{address} is not https; plain http is for addresses of this machine only")
    return address


def is_loopback(host):
    """Say whether a host name means this machine."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class Fetcher:
    """Downloads one original and makes the pack's files from it."""

    def __init__(self, card):
        self.card = card
        pooch.get_logger().setLevel(logging.ERROR)

    def fetch(self, address, wanted):
        """Write the files (with their sources) that are made from the original at an address."""
        content = download(address) if address else b""
        for file, source in wanted:
            name = address or file.relative
            put_file(file, self.card, convert(source, content, name, self.card.size), name)


def download(address):
    """Return the bytes at an address; a broken connection is tried again, a refusal is not."""
    for attempt in range(1, TRIES + 1):
        try:
            with tempfile.TemporaryDirectory(prefix="retina-kit-") as folder:
                path = Path(folder) / "original"
                pooch.HTTPDownloader(timeout=PATIENCE, allow_redirects=False)(address, str(path), None)
                return path.read_bytes()
        except requests.HTTPError as error:
            if error.response.status_code < 500 or attempt == TRIES:
                raise DataError(f"{address} answered {error.response.status_code} {error.response.reason}") from error
        except requests.RequestException as error:
            if attempt == TRIES:
                reason = type(error).__name__
                raise DataError(
                    f"{address} could not be downloaded ({reason}); check the connection, run again"
                ) from error
        except OSError as error:
            raise SetupError(f"cannot write to {tempfile.gettempdir()}: {error.strerror or error}") from error
        time.sleep(0.2 * attempt)
    raise AssertionError("unreachable")
