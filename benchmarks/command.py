"""How a benchmark is run as a command: an error of the kit is one line on standard error and its exit code."""

import sys
from collections.abc import Callable

from retina_kit.errors import KitError


def run(main: Callable[[], int | None]) -> None:
    """End the process with the exit code of a benchmark's `main`, or with the message and code of the kit's error."""
    try:
        sys.exit(main())
    except KitError as error:
        print(f"retina-kit: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
