"""The README's table "What we found" and its minutes: `python -m retina_kit.authoring.readme`.

The table is made from the kept claims, the minutes from notebooks/results/timing.toml.

Kept claims are notebooks/results/<paper>_<profile>_<data>_claims.csv, copies of a run's claims.csv. A paper without
kept claims gets the published and our scores of the arms that its first claim compares.
"""

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

import pandas as pd

from retina_kit.evaluation.claims import Claim, headline
from retina_kit.experiment_file import Paper, find_paper, list_papers
from retina_kit.files import atomic_path, kit_root
from retina_kit.reporting.saved_run import read_table
from retina_kit.reporting.timing import read_timing, with_minutes
from retina_kit.reporting.units import estimate, percent, short_name_of_metric

BEGIN, END = "<!-- {}: made by `python -m retina_kit.authoring.readme` -->", "<!-- end of {} -->"
HEAD = "| paper | claim | replication | control (without the confound) | data |\n|---|---|---|---|---|"


def findings_markdown(folder: Path, papers: Iterable[str] = ()) -> str:
    """Write one row per paper as Markdown: a claim of it, our verdict, and the verdict of the control.

    The control is the first one about a transfer, the claim the replication that it corrects. `folder` holds the kept
    results. Real data come before synthetic data if both are kept.
    """
    rows = [_row_of(key, folder) for key in papers or list_papers()]
    return "\n".join([HEAD, *rows])


def _row_of(key: str, folder: Path) -> str:
    """Write the row of one paper."""
    paper = find_paper(key)
    replication, control = headline(paper.claims)
    link = f"[{paper.title}](notebooks/{paper.notebook}.ipynb)"
    for data in ("public", "synthetic"):
        kept = sorted(folder.glob(f"{key}_*_{data}_claims.csv"))
        if kept:
            table = read_table(kept[0]).set_index("claim")
            asked = f'"{control.statement}": {_verdict_of(table, control)}' if control else "-"
            return _line(link, replication.statement, _verdict_of(table, replication), asked, _data_of(paper, data))
    for data in ("public", "synthetic"):
        kept = sorted(folder.glob(f"{key}_*_{data}.csv"))
        if kept:
            scores = read_table(kept[0])
            cells = [_scores_of(scores, claim) for claim in (replication, control) if claim]
            return _line(link, replication.statement, *cells, _data_of(paper, data))
    return _line(link, replication.statement, "not run yet", "not run yet", "-")


def pretrains_on_synthetic(paper: Paper, data: str) -> bool:
    """Tell whether networks of a lesson on real images are first trained on synthetic ones.

    >>> pretrains_on_synthetic(find_paper("melinscak2020"), "public")
    True
    """
    arms = paper.resolve_arms("lesson", paper.resolve_settings("lesson", data))
    return data != "synthetic" and any(arm.data.dataset.startswith("synthetic") for arm in arms)


def _data_of(paper: Paper, data: str) -> str:
    """Name the data of a row, also those of the other device if no real ones are at hand."""
    return f"{data}, pretrained on synthetic" if pretrains_on_synthetic(paper, data) else data


def _line(*cells: str) -> str:
    """Join the cells of a row of a Markdown table."""
    return f"| {' | '.join(re.sub('[|]', '/', cell) for cell in cells)} |"


def _verdict_of(table: pd.DataFrame, claim: Claim) -> str:
    """Write the verdict on a claim with its estimate and interval."""
    if claim.id not in table.index:
        return "not run yet"
    row = table.loc[claim.id]
    if pd.isna(row["estimate"]):
        return f"**{row['verdict']}**"
    metric = re.match(r"[a-z_]*", str(row["statistic"]))
    name = short_name_of_metric(metric[0]) if metric else ""
    return f"**{row['verdict']}**, {name} {estimate(row['estimate'], row['ci_low'], row['ci_high'])}"


def _scores_of(scores: pd.DataFrame, claim: Claim) -> str:
    """Write our score and the published one of each arm that a claim compares, in percent."""
    cells = [_score_of(scores, arm, claim.metric) for arm in _names(claim.arms)]
    return f"{claim.metric.replace('_', ' ').capitalize()} in %: {'; '.join(cells)}"


def _names(arms: Sequence[str] | Sequence[Sequence[str]]) -> list[str]:
    """List the names of arms, of pairs the first two."""
    return [arm for pair in arms for arm in ([pair] if isinstance(pair, str) else pair)][:2]


def _score_of(scores: pd.DataFrame, arm: str, metric: str) -> str:
    """Write one arm's score in percent, with the published value if there is one."""
    rows = scores[(scores["arm"] == arm) & (scores["metric"] == metric) & scores["ours_mean"].notna()]
    if rows.empty:
        return f"{arm}: -"
    row = rows.iloc[0]
    published = f" (paper {percent(row['paper_value'])})" if pd.notna(row["paper_value"]) else ""
    return f"{row['label']}: {percent(row['ours_mean'])}{published}"


def fresh_readme(readme: str) -> str:
    """Return a README with its findings and its minutes as they are now."""
    findings = findings_markdown(kit_root() / "notebooks" / "results")
    notebooks = readme.split(BEGIN.format("notebooks"), 1)[1].split(END.format("notebooks"), 1)[0]
    return with_part(with_part(readme, "findings", findings), "notebooks", with_minutes(notebooks, read_timing()))


def with_part(readme: str, part: str, markdown: str) -> str:
    """Return a README with what is between the two markers of a part replaced.

    >>> print(with_part(f"a\\n{BEGIN.format('findings')}\\nold\\n{END.format('findings')}", "findings", "new"))
    a
    <!-- findings: made by `python -m retina_kit.authoring.readme` -->
    new
    <!-- end of findings -->
    """
    begin, end = BEGIN.format(part), END.format(part)
    before, rest = readme.split(begin, 1)
    return f"{before}{begin}\n{markdown}\n{end}{rest.split(end, 1)[1]}"


def main() -> None:
    """Write the parts that are made into the README of this checkout."""
    readme = kit_root() / "README.md"
    fresh = fresh_readme(readme.read_text(encoding="utf-8"))
    with atomic_path(readme) as path:
        path.write_text(fresh, encoding="utf-8")


if __name__ == "__main__":
    main()
