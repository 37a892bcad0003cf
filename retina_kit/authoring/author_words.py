"""The author's own words in a report: kept when the report is made again.

    <!-- author: what_was_easy -->
    The code was public.
    <!-- end author -->

Everything outside such places is made from the run. If somebody edited it nevertheless, a copy of the old report is
kept: a hash of the generated text at its end tells.
"""

import hashlib
import re
from collections.abc import Callable, Mapping

from retina_kit.errors import UsageError

PLACE = re.compile(r"<!-- author: (\w+) -->\n(.*?)\n?<!-- end author -->", re.DOTALL)
OPENING = re.compile(r"<!-- author: \w+ -->")
STAMP = re.compile(r"\n<!-- generated: ([0-9a-f]{16}) -->\n?$")
PROMPTS = {
    "authors": "*Write here: your names and affiliations.*",
    "scope": "*Write here: which claims of the paper you test, and which you do not.*",
    "summary_of_results": "*Write here: what the verdicts mean, in one or two sentences.*",
    "introduction": "*Write here: what the paper is about, in a few sentences.*",
    "methodology": "*Write here: whether you used the authors' code, and what you had to decide yourself.*",
    "results_of_the_paper": "*Write here: how your numbers relate to the published ones.*",
    "results_beyond_the_paper": "*Write here: what the controls show that the paper did not ask.*",
    "discussion": "*Write here: do the results support the claims? What are the limits of this reproduction?*",
    "what_was_easy": "*Write here: what was clear in the paper, and what worked at once.*",
    "what_was_difficult": "*Write here: what was missing, ambiguous, or took long.*",
    "communication": "*Write here: whether you wrote to the authors, what you asked, and what they answered.*",
    "deviations": "*Write here: what else differs from the paper, and why.*",
}


def read_words(report: str) -> dict[str, str]:
    """Return {place: the author's text} of a report; places that still hold the prompt are left out.

    Raises UsageError if a place has no end, because its text would be lost.

    >>> read_words("<!-- author: scope -->\\nClaim 1 only.\\n<!-- end author -->")
    {'scope': 'Claim 1 only.'}
    """
    found = PLACE.findall(report)
    if len(found) != len(OPENING.findall(report)):
        raise UsageError("a place of the report has lost its line <!-- end author -->; put it back after your text")
    return {name: text for name, text in found if text.strip() and text != PROMPTS.get(name)}


def place_of(words: Mapping[str, str]) -> Callable[[str], str]:
    """Return the function that writes a place into a report, with the author's text or the prompt.

    >>> print(place_of({})("scope").splitlines()[0])
    <!-- author: scope -->
    """
    return lambda name: f"<!-- author: {name} -->\n{words.get(name, PROMPTS[name])}\n<!-- end author -->"


def with_leftovers(report: str, words: Mapping[str, str]) -> str:
    """Append the words whose place the report no longer has, so that none are lost."""
    left = {name: text for name, text in words.items() if name not in PROMPTS}
    places = [f"<!-- author: {name} -->\n{text}\n<!-- end author -->" for name, text in left.items()]
    return report if not left else f"{report.rstrip()}\n\n## Other notes\n\n" + "\n\n".join(places) + "\n"


def stamped(report: str) -> str:
    """Append the hash of the generated part of a report.

    >>> was_edited(stamped("text")), was_edited(stamped("text").replace("text", "texts"))
    (False, True)
    """
    return f"{report.rstrip()}\n\n<!-- generated: {_hash_of(report)} -->\n"


def was_edited(report: str) -> bool:
    """Tell whether a report was changed outside the author's places since it was generated."""
    stamp = STAMP.search(report)
    return stamp is None or stamp.group(1) != _hash_of(STAMP.sub("", report))


def _hash_of(report: str) -> str:
    """Return the hash of the part of a report that is not the author's."""
    text = PLACE.sub(r"<!-- author: \1 -->", report).rstrip()
    return hashlib.sha256(text.encode()).hexdigest()[:16]
