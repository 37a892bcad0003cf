"""The kit's errors: one message each, and the exit code that the command line gives for it."""


class KitError(Exception):
    """A problem that a person can mend; its message names the thing, what was expected and the remedy."""

    exit_code = 1


class UsageError(KitError):
    """A wrong parameter, name or option (exit code 2)."""

    exit_code = 2


class DataError(KitError):
    """Data that are missing, damaged or not what the manifest says (exit code 3)."""

    exit_code = 3


class ClaimError(KitError):
    """A claim that the experiment file marks `must_hold` does not hold (exit code 4)."""

    exit_code = 4


class EnvironmentProblem(KitError):
    """Something outside the kit is missing or full: a device, a package, a disk (exit code 5)."""

    exit_code = 5
