"""report: the results of a comparison as text, Markdown and JSON; report_html makes the page of it."""
import json

import aims
import figures
import report_html
from figures import COLUMNS, medians, number, repeat  # noqa: F401 (as report.X, for those who make no report)


def text_rows(name, entry):
    columns = figures.COLUMNS[entry["load"]]
    lines = [f"\n{name}: {entry['what']}", f"  {'':8}" + "".join(f"{t:>38}" for t, _, _ in columns)]
    for peer, m in figures.medians(entry).items():
        lines.append(f"  {peer:8}" + "".join(f"{figures.cell(m[key]):>38}" for _, key, _ in columns))
    lines += [f"  sluice {line}" for line in figures.ratios(entry)]
    return "\n".join(lines)


def run_facts(about):
    """What a run was made on and with, as a list; peers and their settings included."""
    out = [f"- {what}: {f'`{text}`' if what == 'durability' else text}" for what, text in figures.facts(about)]
    for p in about["peers"].values():
        out.append(f"- {p['title']}: {p['promise']}; {p['start_s']} s to start")
        if p.get("settings"):
            out.append(f"  - settings: {', '.join(f'`{s}`' for s in p['settings'])}")
    return out


def losses(everything):
    lost = figures.losses(everything)
    if not lost:
        return [figures.nothing_lost(everything)]
    return ["| row | figure | ours | theirs | ratio |", "|---|---|---:|---:|---:|",
            *(f"| {n} | {t} | {a} | {b} ({peer}) | {ratio} |" for n, t, a, peer, b, ratio in lost)]


def stages(everything, names=None):
    """Sluice's stage clocks as a table; names: of these scenarios only."""
    rows = [(n, r) for n, entry in everything.items() if names is None or entry.get("scenario", n) in names
            for r in figures.stage_rows(entry)]
    if not rows:
        return []
    out = ["Where the time goes in Sluice: us to each point from the one before (upper edge of a bucket).", "",
           "| | | count | p50 | p99 |", "|---|---|---:|---:|---:|"]
    out += [f"| {n} | {c} {s} | {count:,} | {figures.number(a)} | {figures.number(b)} |" for n, (c, s, count, a, b) in rows]
    return out + [""]


def scenario(name, entry):
    columns = figures.COLUMNS[entry["load"]]
    out = [f"## {name}", "", entry["what"] + (f" (`{entry['options']}`)" if entry.get("options") else ""), "",
           "| | " + " | ".join(t for t, _, _ in columns) + " |", "|---|" + "---:|" * len(columns)]
    for peer, m in figures.medians(entry).items():
        out.append(f"| {peer} | " + " | ".join(figures.cell(m[key]) for _, key, _ in columns) + " |")
    out += [""] + [f"- Sluice {line}" for line in figures.ratios(entry)] + [""]
    if figures.limits(entry):
        out += [f"The load's thread was busy all the time against {', '.join(figures.limits(entry))}: there it is the limit.", ""]
    return out


def markdown(about, everything, failure):
    out = ["# Comparison", ""]
    if failure:
        out += [f"**Partial: not everything was measured ({failure}).**", ""]
    out += [*run_facts(about), "", f"Median of the rounds, range in brackets. {figures.REPEAT_SAID}.", "",
            f"Repeat: `{figures.command(about)}`", "", "## Where Sluice loses", "", *losses(everything), ""]
    judged = aims.markdown(aims.judged(about, everything))
    out += ["## Against the aims", "", *judged] if judged else []
    for name, entry in everything.items():
        out += scenario(name, entry)
    told = stages(everything)
    out += ["## Stages", "", *told] if told else []
    return "\n".join(out).rstrip() + "\n"


def write(folder, about, everything, failure):
    (folder / "compare.json").write_text(json.dumps(
        {"about": about, "partial": failure, "scenarios": everything}, indent=1))
    (folder / "compare.md").write_text(markdown(about, everything, failure))
    (folder / "compare.html").write_text(report_html.page(about, everything, failure))
