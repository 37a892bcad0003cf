"""A JupyterLab that a browser visits: what the test in the browser and the timing of the first steps share."""

import contextlib
import shutil
import time
import urllib.request

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
         "--disable-component-update", "--disable-sync"]  # fmt: skip


def wait_for(true, what, seconds=60):
    """Wait until a function returns something true, and return that."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        found = true()
        if found:
            return found
        time.sleep(0.1)
    raise AssertionError(f"waited {seconds} s for {what}")


def answers(address):
    """Tell whether a server answers."""
    with contextlib.suppress(OSError), urllib.request.urlopen(address, timeout=1):
        return True
    return False


def image_of(page, name):
    """Return the address of the image that a widget shows: a new image has a new one."""
    return page.locator(f"img.kit-{name}, .kit-{name} img").first.get_attribute("src")
