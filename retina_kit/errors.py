"""The kit's errors: each has one message, and the exit code that the command line ends with."""

import difflib
from collections.abc import Iterable

MOST_LISTED = 20  # names in a message that suggests one of them


class KitError(Exception):
    """An error the user can fix. The message states what is wrong, what was expected, and how to fix it."""

    exit_code = 1

    def _render_traceback_(self) -> list[str]:
        """Show only the message in a notebook: an error that the user can fix needs no frames of the library."""
        return [f"{type(self).__name__}: {self}"]


class UsageError(KitError):
    """A wrong parameter, name or option (exit code 2)."""

    exit_code = 2


class DataError(KitError):
    """Data that are missing, damaged or not what the manifest lists (exit code 3)."""

    exit_code = 3


class SetupError(KitError):
    """Something outside the kit is missing or full: a device, a package, a disk (exit code 5)."""

    exit_code = 5


class Interrupted(KitError):
    """Training was asked to stop before its last step; what was begun has a checkpoint (exit code 130)."""

    exit_code = 130


def did_you_mean(name: object, known: Iterable[object]) -> str:
    """Return the end of a message about an unknown name: the closest known name, and all known names.

    If one name is close and there are many, the others are left out.

    >>> did_you_mean("adma", ["adam", "sgd"])
    "; did you mean 'adam'? Known: adam, sgd"
    >>> did_you_mean("step", [f"setting_{number}" for number in range(40)] + ["steps"])
    "; did you mean 'steps'?"
    """
    names = [str(item) for item in known]
    close = difflib.get_close_matches(str(name), names, n=1)
    hint = f"; did you mean {close[0]!r}?" if close else "."
    listed = names and not (close and len(names) > MOST_LISTED)
    return f"{hint} Known: {', '.join(names)}" if listed else hint


def unknown_name(kind: str, name: object, known: Iterable[object]) -> UsageError:
    """Return a UsageError about a name that does not exist, with the closest one that does."""
    return UsageError(f"no {kind} is called {name!r}{did_you_mean(name, known)}")
