"""The sessions of the course, read from notebooks/README.md: goals, misconception, questions, what to take care of."""

import re
from dataclasses import dataclass
from pathlib import Path

from retina_kit.errors import DataError
from retina_kit.files import kit_root

HEADING = re.compile(r"^## Session (\d+) · (.+?)(?: · notebook (\d+))?$", re.MULTILINE)
PART = re.compile(r"^\*\*([^*]+?)\.\*\* (.+?)(?=^\*\*[A-Z][^*]*\.\*\* |^\||^\#|^\s*$|\Z)", re.MULTILINE | re.DOTALL)
SCHEDULE = re.compile(r"^\*\*Every session, (.+?)\.\*\*\n\n((?:\|.*\n)+)", re.MULTILINE)
PARTS = ("Goals", "The misconception")  # what every session has


@dataclass(frozen=True)
class CourseSession:
    """A session: its number, title, notebook ("01", "" for none), and its parts by name, as Markdown."""

    number: int
    title: str
    notebook: str
    parts: dict[str, str]

    @property
    def questions(self) -> list[str]:
        """The questions for discussion.

        >>> CourseSession(1, "t", "01", {"Discuss": "1. Why? 2. How?"}).questions
        ['Why?', 'How?']
        """
        numbered = re.split(r"(?:^|\s)(?=\d\.\s)", self.parts.get("Discuss", ""))
        return [question[2:].strip() for question in numbered if question.strip()]


def read_sessions(page: str | Path | None = None) -> list[CourseSession]:
    """Read the sessions of a course page, by default the kit's; DataError if one lacks its goals or misconception."""
    text = _text(page)
    found = list(HEADING.finditer(text))
    sessions = []
    for heading, following in zip(found, [*found[1:], None], strict=True):
        body = text[heading.end() : following.start() if following else len(text)].split("\n## ")[0]
        parts = {name: " ".join(words.split()) for name, words in PART.findall(body)}
        missing = [name for name in PARTS if name not in parts]
        if missing:
            raise DataError(f"session {heading[1]} of the course page has no paragraph **{missing[0]}.**")
        sessions.append(CourseSession(int(heading[1]), heading[2], heading[3] or "", parts))
    return sessions


def read_schedule(page: str | Path | None = None) -> str:
    """Return the course page's table of minutes, as Markdown; "" if it has none."""
    found = SCHEDULE.search(_text(page))
    return found[2] if found else ""


def _text(page: str | Path | None) -> str:
    return Path(page or kit_root() / "notebooks" / "README.md").read_text(encoding="utf-8")
