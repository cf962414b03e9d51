"""aims: what each row is to reach, read from the scenarios' files and held against a result.

In a row of bench/scenarios/*.toml: aims = [{ figure = "records_per_s", of = "kafka", least = 7.0 }, ...]. Fields:

    figure   a column of that load (figures.COLUMNS)
    least    the figure, or its ratio, is to be that or more        (one of the two)
    most     ... or less
    of       a ratio to this peer's figure in the same run          (one of the two, or none: the figure itself is judged)
    row      a ratio to Sluice's own figure in this row of the same run
    plus     ["L1", "null", "latency_us/p50"]: the median of that row, peer and figure is allowed on top, where the run has it
    plus_is  what it is, in words
    note     what the aim says beyond its number

durability = "fsync" in a row: its aims are for that promise (without it: os). Wrong fields raise ValueError with file and row.
"""
import tomllib
from pathlib import Path

import figures

FOLDER = Path(__file__).resolve().parent / "scenarios"
PEERS = frozenset(p.stem for p in (FOLDER.parent / "peers").glob("*.py") if not p.stem.startswith("_")) | {"disk"}
FIELDS = frozenset(("figure", "least", "most", "of", "row", "plus", "plus_is", "note"))
DURABILITIES = ("os", "fsync")


def columns(rows, name):
    row = rows.get(name, {})
    return [key for _, key, _ in figures.COLUMNS.get(row.get("shape", row.get("load")), [])]


def fault(rows, name, aim):
    """Text about what is wrong with an aim; empty: nothing."""
    if not isinstance(aim, dict):
        return "is no table { figure = ..., of = ..., least = ... }"
    unknown = sorted(set(aim) - FIELDS)
    if unknown:
        return f"unknown field {unknown[0]}"
    if aim.get("figure") not in columns(rows, name):
        return f"figure {aim.get('figure')!r} is none of {', '.join(columns(rows, name))}"
    bounds = [aim[k] for k in ("least", "most") if k in aim]
    if len(bounds) != 1 or isinstance(bounds[0], bool) or not isinstance(bounds[0], (int, float)) or not bounds[0] > 0:
        return "wants least or most, one of the two, and above 0"
    if "of" in aim and "row" in aim:
        return "of and row: one of the two"
    if "of" in aim and (aim["of"] not in PEERS or aim["of"] == "sluice"):
        return f"of = {aim['of']!r} is no peer; there are {', '.join(sorted(PEERS - {'sluice'}))}"
    if "row" in aim and (aim["row"] == name or aim["figure"] not in columns(rows, aim["row"])):
        return f"row = {aim['row']!r} is no other row with the figure {aim['figure']}"
    if not all(isinstance(aim.get(k, ""), str) for k in ("note", "plus_is")):
        return "note and plus_is are texts"
    return fault_of_plus(rows, aim)


def fault_of_plus(rows, aim):
    if ("plus" in aim) != ("plus_is" in aim):
        return "plus and plus_is: both or none"
    if "plus" in aim:
        plus = aim["plus"]
        if not isinstance(plus, list) or len(plus) != 3 or plus[1] not in PEERS or plus[2] not in columns(rows, plus[0]):
            return "plus is [row, peer, figure of that row]"
        if "most" not in aim or "of" not in aim:
            return "plus goes with of and most"
    return ""


def load(folder=FOLDER):
    """{row: {"durability", "aims": [...]}} of the rows that have aims; ValueError names file, row and field."""
    files = {p: tomllib.loads(p.read_text()) for p in sorted(folder.glob("*.toml"))}
    rows = {name: row for found in files.values() for name, row in found.items()}
    wanted = {}
    for path, found in files.items():
        for name, row in found.items():
            where = f"{path.name}: [{name}]"
            if row.get("durability", "os") not in DURABILITIES:
                raise ValueError(f"{where} durability: {row['durability']!r} is none of {', '.join(DURABILITIES)}")
            if not isinstance(row.get("aims", []), list):
                raise ValueError(f"{where} aims: is no list")
            for i, aim in enumerate(row.get("aims", [])):
                if fault(rows, name, aim):
                    raise ValueError(f"{where} aims[{i}]: {fault(rows, name, aim)}")
            if row.get("aims"):
                wanted[name] = {"durability": row.get("durability", "os"), "aims": row["aims"]}
    return wanted


def median(rounds, figure):
    s = figures.spread(rounds, figure)
    return s[0] if s else None


def beside(scenarios, entry, name, peer):
    """The rounds of a peer in another row of the same run, with turns of the same length."""
    for title, other in scenarios.items():
        if other.get("scenario", title) == name and other.get("seconds") == entry.get("seconds"):
            return other["rounds"].get(peer, [])
    return []


def bound(aim):
    word, wanted = ("at least", aim["least"]) if "least" in aim else ("at most", aim["most"])
    return f"{word} {wanted:,}" if isinstance(wanted, int) else f"{word} {wanted:g}"


def said(aim, yardstick):
    """An aim in words: "at least 0.7 of null's"."""
    text = bound(aim) + (f" of {yardstick}'s" if yardstick else "")
    return text + (f", plus {aim['plus_is']}" if "plus" in aim else "")


def judge(scenarios, title, aim):
    """One aim as a dict of texts: row, figure, aim, ours, theirs, ratio, verdict (reached, missed, not measured), note."""
    entry, figure = scenarios[title], aim["figure"]
    rounds, theirs = entry["rounds"], None
    if "of" in aim:
        theirs = median(rounds.get(aim["of"], []), figure)
    elif "row" in aim:
        theirs = median(beside(scenarios, entry, aim["row"], "sluice"), figure)
    yardstick = aim.get("of") or (f"our {aim['row']}" if "row" in aim else "")
    ours = median(rounds.get("sluice", []), figure)
    out = {"row": title, "figure": figures.title_of(entry["load"], figure), "aim": said(aim, yardstick), "ours": figures.number(ours),
           "theirs": figures.number(theirs) if yardstick else "", "ratio": "", "verdict": "not measured", "note": aim.get("note", "")}
    if ours is None or yardstick and not theirs:
        return out
    measured, allowed = ours / theirs if yardstick else ours, aim.get("least", aim.get("most"))
    if "plus" in aim:
        name, peer, other = aim["plus"]
        more = median(beside(scenarios, entry, name, peer), other)
        allowed += (more or 0) / theirs
        told = f"{aim['plus_is']}: {figures.number(more)}" if more else f"judged without {aim['plus_is']}: not in this run"
        out["note"] = "; ".join(t for t in (told, out["note"]) if t)
    out["ratio"] = figures.number(measured) if yardstick else ""
    out["verdict"] = "reached" if (measured >= allowed if "least" in aim else measured <= allowed) else "missed"
    return out


def judged(about, scenarios, wanted=None):
    """Every aim of the rows of a result that was made under the promise of the aim."""
    wanted = load() if wanted is None else wanted
    found = []
    for title, entry in scenarios.items():
        row = wanted.get(entry.get("scenario", title))
        if row and row["durability"] == about["durability"]:
            known = {key for _, key, _ in figures.COLUMNS[entry["load"]]}
            found += [judge(scenarios, title, aim) for aim in row["aims"] if aim["figure"] in known]
    return found


def markdown(found):
    """Table and what was not measured, as lines; [] without aims."""
    rows = [a for a in found if a["verdict"] != "not measured"]
    out = []
    if rows:
        out += ["| row | figure | Sluice | yardstick | ratio | aim | |", "|---|---|---:|---:|---:|---|---|"]
        for a in rows:
            verdict = a["verdict"] if a["verdict"] == "reached" else f"**{a['verdict']}**"
            out.append(f"| {a['row']} | {a['figure']} | {a['ours']} | {a['theirs']} | {a['ratio']} | {a['aim']} | "
                       f"{verdict}{' (' + a['note'] + ')' if a['note'] else ''} |")
        out.append("")
    return out + ([f"Aims that this run does not judge: {unmeasured(found)}.", ""] if unmeasured(found) else [])


def unmeasured(found):
    return "; ".join(f"{a['row']} {a['figure']} {a['aim']}" for a in found if a["verdict"] == "not measured")
