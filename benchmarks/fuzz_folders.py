"""Runs the commands that read a stranger's folder on damaged real files, again and again, in one process.

    python -m benchmarks.fuzz_folders --minutes 30                 # all targets, input 0, 1, 2, ... of each
    python -m benchmarks.fuzz_folders --target predict --input 17  # one input once more, its files kept

An input is a copy of real files (`hostile_folders`), of which a few are damaged (`mutations`); its number is the seed
of both. The command must end with an exit code and one message. A finding is a traceback, 20 seconds of computing, or a
file written, made or removed outside the copy. Each is listed once, with the number of the first input that shows it.
"""

import argparse
import contextlib
import io
import os
import random
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

SLOWEST_SECONDS, LONGEST_SECONDS, EXTRA_MEMORY = 20, 300, 3 * 2**30  # of computing, of waiting
WRITING = {"os.mkdir": 0, "os.rename": 1, "os.remove": 0, "os.rmdir": 0, "os.symlink": 1, "os.link": 1}
EYES = "target_options={num_patients = 12, images_per_patient = 1, size = [32, 32]}"
RUN_OPTIONS = ["--profile", "smoke", "--seeds", "0,1,2", "--set", EYES]  # of the run that `hostile_folders` makes
Commands = list[list[str]]


class TooSlow(BaseException):
    """A command took too long; not an Exception, so that nothing takes it for one of its own."""


@dataclass
class Target:
    """A kind of folder: how its real files are made, which of them are damaged, and the commands that read them."""

    make: Callable[[Path], Any]
    damaged: tuple[str, ...]  # patterns below the folder
    commands: Callable[[random.Random], Commands]  # of one input, all run in its folder


def targets() -> dict[str, Target]:
    """Return all targets."""
    from benchmarks import hostile_folders as made
    from retina_kit.experiment_file import find_paper, list_papers

    sources = {paper: find_paper(paper).files.source for paper in list_papers()[:1]}
    finished = "outputs/smith2024/*"
    return {
        "predict": Target(made.weights, ("*.safetensors",) * 3 + ("mine/images/*",), predict_commands),
        "import": Target(made.finished_runs, ("runs.zip",), lambda rng: [["store", "import", "runs.zip",
                         "--output-root", "elsewhere"]]),
        "own images": Target(made.own_images, ("images/*", "masks/*", "table.csv"), own_image_commands),
        "pack": Target(made.pack, ("data/eyes/*/*", "data/eyes/card.toml", "data/eyes/manifest.csv"), lambda rng: [
                       ["data", "verify", "eyes"], ["data", "show", "eyes"], ["data", "list"]]),
        "paper": Target(made.train_paper, ("smith2024/*.toml", "smith2024/*.py"), paper_commands),
        "class": Target(lambda folder: made.school_class(folder, sources), ("handed_in/*.zip", "handed_in/*/*",
                        "variants/variants.csv"), lambda rng: [["class", "grade", "handed_in", "--variants",
                        "variants/variants.csv", "--output", "graded", "--output-root", "none"]]),
        "runs": Target(made.finished_runs, (f"{finished}/*.json", f"{finished}/*.csv", f"{finished}/*/*.csv",
                       f"{finished}/notebook.ipynb", "outputs/runs/*/*"), runs_commands),
        "site": Target(made.finished_runs, (f"{finished}/*.json", f"{finished}/*.csv", f"{finished}/*/*.csv",
                       f"{finished}/notebook.ipynb"), lambda rng: [["site", "--output", "site"]]),
    }  # fmt: skip


def predict_commands(rng: random.Random) -> Commands:
    """Predict with one of the networks, one or two images."""
    name = rng.choice(("plain", "windows", "classes", "color", "localizer"))
    options = rng.sample(["--flip", "--probabilities"], rng.randrange(3)) if name != "localizer" else []
    images = rng.choice(["mine/images", "mine/images/0_L.tif"])
    return [["predict", f"{name}.safetensors", "--images", images, "--output", "found", *options]]


def own_image_commands(rng: random.Random) -> Commands:
    """Make a pack of one's own images, by names or by a table."""
    where = ["--images", "images", "--masks", "masks", "--patient-regex", r"^(\d+)_"]
    if rng.random() < 0.3:
        where = ["--table", "table.csv"]
    options = [["--mask-threshold", "128"], ["--missing-mask", "empty"], ["--size", "64x48"], ["--invert-masks"],
               ["--resize-masks"], ["--mask-class", "disc=255"]]  # fmt: skip
    chosen = [word for option in rng.sample(options, rng.randrange(3)) for word in option]
    return [["data", "new", "eyes", *where, *chosen]]


def paper_commands(rng: random.Random) -> Commands:
    """Audit, look up, explain, draft, build and report a paper of one's own."""
    paper = "smith2024"
    return [
        ["audit", paper],
        ["paper", "settings", paper],
        ["run", paper, "--profile", "smoke", "--explain"],
        rng.choice([
            ["paper", "notebook", paper, "--output", "draft.py"],
            ["build", paper, rng.choice(["--student", "--otter", "--slides", "--check"]), "--output", "built"],
            ["paper", "report", paper, *RUN_OPTIONS, "--output", "report"],
        ]),
    ]  # fmt: skip


def runs_commands(rng: random.Random) -> Commands:
    """Compare, verify and report finished runs."""
    name = "outputs/smith2024"
    (folder,) = [path.name for path in Path(name).iterdir()]
    options = [["compare", f"{name}/{folder}", f"{name}/{folder}"], ["store", "list"], ["store", "verify"],
               ["store", "export", "again.zip"], ["paper", "report", "smith2024", *RUN_OPTIONS]]  # fmt: skip
    return rng.sample(options, 2)


@dataclass
class Tally:
    """What a target has shown: inputs, exit codes, and findings by where they happened."""

    inputs: int = 0
    codes: Counter = field(default_factory=Counter)
    findings: dict[str, list[int]] = field(default_factory=dict)


class Campaign:
    """All targets with their real files, and one folder in which every input is tried."""

    def __init__(self, sandbox: Path, names: list[str]) -> None:
        self.sandbox, self.work, self.written = sandbox, sandbox / "a" / "b" / "c" / "work", Counter[str]()
        known = targets()
        self.targets, self.allowed = {name: known[name] for name in names or known}, ("/dev/null",)
        made: dict[Callable[[Path], Any], Path] = {}
        for name, target in self.targets.items():
            folder = sandbox / "real" / name
            if target.make in made:
                shutil.copytree(made[target.make], folder)
                continue
            folder.mkdir(parents=True)
            with contextlib.chdir(folder):
                target.make(folder)
            made[target.make] = folder
        skip_sphinx()
        for name, number in [(name, number) for name in self.targets for number in range(10)]:
            for code, what in self.run(name, number, most=0):  # what is set up at first use, before writes are watched
                if code not in ("0", "1", "3"):
                    raise RuntimeError(f"{name} fails on whole files: {code} {what}")
        sys.addaudithook(self.watch)

    def watch(self, event: str, arguments: tuple[Any, ...]) -> None:
        """Note what is written, made or removed outside the folder of an input."""
        is_write = event == "open" and arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
        path = arguments[WRITING.get(event, 0)] if is_write or event in WRITING else None
        if isinstance(path, str | bytes | os.PathLike) and self.allowed != ("/dev/null",):
            place = os.path.normpath(os.path.join(os.getcwd(), os.fsdecode(path)))  # noqa: PTH109, PTH118
            if not place.startswith(self.allowed):
                self.written[place] += 1

    def run(self, name: str, number: int, most: int = 2) -> Iterator[tuple[str, str]]:
        """Try one input, with at most so many damaged files.

        Yield (exit code, what was printed) or ("finding", what happened) for each of its commands.
        """
        from retina_kit.data.manifest import forget_cards

        rng, target = random.Random(f"{name}/{number}"), self.targets[name]
        forget_cards()  # of the last input, which lay in the same place
        shutil.rmtree(self.work, ignore_errors=True)
        (self.sandbox / "tmp").mkdir(exist_ok=True)
        shutil.copytree(self.sandbox / "real" / name, self.work)
        from benchmarks.mutations import damage

        with contextlib.chdir(self.work):
            found = [sorted(Path().glob(pattern)) for pattern in target.damaged]
            files = [path for paths in found for path in paths if path.is_file()]
            for path in {rng.choice(files): None for _ in range(min(most, rng.choice((1, 1, 1, 2))))}:
                damage(path, rng)
            self.written.clear()
            for command in target.commands(rng):
                self.allowed = (f"{self.work}", f"{self.sandbox}/tmp", "/dev/null")
                yield run_command(command)
                self.allowed = ("/dev/null",)
                strange = [*self.written, *map(str, self.sandbox.glob("**/escaped*"))]
                if strange:
                    yield "finding", f"{command[0]}: outside its folder: {strange[0]}"
        for path in self.sandbox.glob("**/escaped*"):
            path.unlink() if path.is_file() else shutil.rmtree(path)


def run_command(command: list[str]) -> tuple[str, str]:
    """Run a command in this process; return (exit code, what it printed) or ("finding", where and what)."""
    from retina_kit.cli import main

    printed = io.StringIO()
    sys.argv = ["retina-kit", *command]
    signal.setitimer(signal.ITIMER_PROF, SLOWEST_SECONDS)
    signal.alarm(LONGEST_SECONDS)
    try:
        with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
            main()
    except SystemExit as end:
        if "Traceback" in printed.getvalue():
            return "finding", f"{command[0]}: a traceback on the screen: {printed.getvalue()[-300:]}"
        return str(end.code), printed.getvalue()
    except TooSlow as error:
        limits = f"{SLOWEST_SECONDS} s of computing or {LONGEST_SECONDS} of waiting"
        return "finding", f"{command[0]}: more than {limits}, in {last_frame(error)}"
    except BaseException as error:
        kind = type(error).__name__
        return "finding", f"{command[0]}: {kind} in {last_frame(error)}: {str(error)[:160]}"
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.alarm(0)
    return "none", ""


def last_frame(error: BaseException) -> str:
    """Return file and line of the innermost frame of the kit."""
    frames = traceback.extract_tb(error.__traceback__)
    mine = [frame for frame in frames if "retina_kit" in frame.filename] or frames
    return f"{Path(mine[-1].filename).name}:{mine[-1].lineno}"


def skip_sphinx() -> None:
    """Leave out of `site` what does not depend on a stranger's files: Sphinx itself, and the reference."""
    from retina_kit.reporting.website import build

    def made(source: Path, target: Path, folder: Path) -> None:
        target.mkdir()
        (target / "index.html").write_text("")

    build.NEEDED = ()  # type: ignore[assignment]
    build._run_sphinx = made
    build.write_reference = lambda *arguments: 0


def too_slow(*arguments: Any) -> None:
    """End what runs now."""
    raise TooSlow


def limit() -> None:
    """Set a limit of memory, and one thread."""
    import torch

    torch.set_num_threads(1)
    now = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (now + EXTRA_MEMORY, now + EXTRA_MEMORY))


def fuzz(campaign: Campaign, names: list[str], minutes: float, first: int) -> dict[str, Tally]:
    """Try the inputs of all targets in turn until the time is over."""
    tallies = {name: Tally() for name in names}
    end, number = time.monotonic() + 60 * minutes, first
    while time.monotonic() < end:
        for name, tally in tallies.items():
            tally.inputs += 1
            for code, what in campaign.run(name, number):
                tally.codes[code] += 1
                if code == "finding":
                    if what not in tally.findings:
                        print(f"{name} {number}: {what}", flush=True)
                    tally.findings.setdefault(what, []).append(number)
        number += 1
        if number % 50 == 0:
            print(f"{sum(tally.inputs for tally in tallies.values())} inputs so far", flush=True)
    return tallies


def main() -> None:
    """Run the campaign and print its table, or one input with what its commands printed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--first", type=int, default=0, help="number of the first input")
    parser.add_argument("--target", action="append", help="only this one; repeatable")
    parser.add_argument("--input", type=int, help="try this input only, and keep its folder")
    options = parser.parse_args()
    sys.dont_write_bytecode = True
    sandbox = Path(tempfile.mkdtemp(prefix="fuzz-folders-")).resolve()
    tempfile.tempdir = str(sandbox / "tmp")
    os.environ |= {"HOME": str(sandbox), "MPLCONFIGDIR": str(sandbox / "matplotlib")}
    for late in (signal.SIGALRM, signal.SIGPROF):
        signal.signal(late, too_slow)
    campaign = Campaign(sandbox, options.target)
    limit()
    names = list(campaign.targets)
    if options.input is not None:
        for name in names:
            for code, what in campaign.run(name, options.input):
                print(f"{name}: {code} {what}")
        print(f"its folder: {campaign.work}")
        return
    tallies = fuzz(campaign, names, options.minutes, options.first)
    for name, tally in tallies.items():
        codes = ", ".join(f"{code}: {count}" for code, count in sorted(tally.codes.items()))
        print(f"{name:12} {tally.inputs:>7} inputs, {len(tally.findings)} findings; exit codes {codes}")
    shutil.rmtree(sandbox)


if __name__ == "__main__":
    main()
