"""figures: what the rounds of a comparison say: medians, ranges, ratios, losses, stages. All reports are made of these."""
import statistics

import spread as expectation

NOT_BROKERS = ("sluice", "null", "null_write", "disk")  # ourselves, and what has no promise
PERCENTILES = ("p50", "p90", "p99", "p99.9", "p99.99", "max")
STAGE_CLASSES = ("produce", "fetch")
REPEAT_SAID = ("±: an equal run gives a median within that in 95 % of cases (×÷3: between a third and three times), if the "
               "machine does not change meanwhile")

# (title, key, better when) for each kind of load; the first is what a row is about
COLUMNS = {
    "produce": [("records/s", "records_per_s", "more"), ("p50 us", "latency_us/p50", "less"),
                ("p99 us", "latency_us/p99", "less"), ("p99.9 us", "latency_us/p99.9", "less"),
                ("CPU s per M records", "cpu_s_per_m_records", "less")],
    "idle": [("share of a core", "broker_core_share", "less"),
             ("bytes a connection", "broker_bytes_per_connection", "less")],
}
COLUMNS["start"] = [("s to ready", "ready_s", "less"), ("MiB of its own", "own_mib", "less"),
                    ("MiB in shared memory", "pools_mib", "less")]
COLUMNS["memory"] = [("MiB of its own", "own_mib", "less"), ("MiB before the load", "started_mib", "less"),
                     ("MiB in shared memory", "pools_mib", "less")]
COLUMNS["fetch"] = COLUMNS["produce"]
COLUMNS["e2e"] = COLUMNS["produce"][1:]
COLUMNS["mixed"] = COLUMNS["produce"] + [("consumed/s", "fetch/records_per_s", "more")]


def value(r, key):
    for part in key.split("/"):
        if not isinstance(r, dict) or part not in r:
            return None
        r = r[part]
    return r


def spread(rounds, key):
    """Median, least, most of a figure over the rounds, and what a repeat may give (None: one round); None if a round lacks it."""
    values = [value(r, key) for r in rounds]
    if not values or any(v is None for v in values):
        return None
    return statistics.median(values), min(values), max(values), expectation.expected(values)


def ratio(entry, key, peer):
    """Ours to the peer's as spread() tells it, round by round: turns side by side have the same machine. None without both."""
    pairs = [(value(a, key), value(b, key)) for a, b in zip(entry["rounds"].get("sluice", []), entry["rounds"].get(peer, []))]
    if not pairs or any(a is None or not b for a, b in pairs):
        return None
    values = [a / b for a, b in pairs]
    return statistics.median(values), min(values), max(values), expectation.expected(values)


def number(v):
    if v is None:
        return "-"
    if v >= 100:
        return f"{v:,.0f}"
    if v >= 1:
        return f"{v:.2f}" if v < 10 else f"{v:.1f}"
    return f"{v:.3g}"


def repeat(s):
    """How far the median of a repeat may be from that of a spread; empty: one round does not say."""
    if s[3] is None:
        return ""
    middle, (least, most) = s[0], s[3]
    if least <= 0:
        return f"±{number(most - middle)}"
    times = most / middle
    return f"±{(times - 1) * 100:.0f} %" if times < 1.5 else f"×÷{times:.1f}" if times < 100 else "×÷>100"


def seen(s):
    return f"{number(s[1])}-{number(s[2])}"


def cell(s):
    """Median, what a repeat may give, range."""
    return "-" if s is None else " ".join(w for w in (number(s[0]), repeat(s), f"({seen(s)})") if w)


def medians(entry):
    return {k: {key: spread(rounds, key) for _, key, _ in COLUMNS[entry["load"]]}
            for k, rounds in entry["rounds"].items() if rounds}


def title_of(load, key):
    return next(t for t, k, _ in COLUMNS[load] if k == key)


def ratios(entry):
    """Lines such as "7.1x stock Kafka"; empty while a peer has no figure."""
    title, key, better = COLUMNS[entry["load"]][0]
    lines = []
    for peer in entry["rounds"]:
        r = None if peer == "sluice" else ratio(entry, key, peer)
        if r:
            told = f"{number(r[0])}x {peer}" if better == "more" else f"{number(r[0])} of {peer}'s"
            lines.append(f"{title}: {told} {repeat(r)}".rstrip())
    return lines


def losses(everything):
    """[row, figure, ours, peer, theirs, ours to theirs], as text, of every column in which Sluice is behind a real broker."""
    found = []
    for name, entry in everything.items():
        m = medians(entry)
        for peer in m:
            if peer in NOT_BROKERS or "sluice" not in m:
                continue
            for title, key, better in COLUMNS[entry["load"]]:
                a, b = m["sluice"][key], m[peer][key]
                if a and b and (a[0] < b[0] if better == "more" else a[0] > b[0]):
                    found.append((name, title, number(a[0]), peer, number(b[0]), f"{number(a[0] / b[0])}x" if b[0] else "-"))
    return found


def nothing_lost(everything):
    real = any(peer not in NOT_BROKERS for entry in everything.values() for peer in entry["rounds"])
    return "In no column measured." if real else "No other broker was measured."


def middle(rounds):
    """The round in the middle by its rate."""
    return sorted(rounds, key=lambda r: r.get("records_per_s", 0))[len(rounds) // 2]


def stage_rows(entry):
    """Where Sluice's microseconds went, in the round in the middle: [class, stage, count, p50, p99]."""
    rounds = [r for r in entry["rounds"].get("sluice", []) if r.get("stages")]
    if not rounds:
        return []
    rows = middle(rounds)["stages"]
    most = max(r[2] for r in rows)
    return [r for r in rows if r[0] in STAGE_CLASSES and r[2] > most / 100]


def limits(entry):
    """Peers in whose turns the load's own thread was busy all the time."""
    return [k for k, rounds in entry["rounds"].items() if rounds and all(r.get("client_is_limit") for r in rounds)]


def noise(about):
    said = [f"Others used {about['busy_before']:.0%} of the processors before the run"] if "busy_before" in about else []
    said += [f"the hypervisor took {about['stolen_share']:.0%} of them in it"] if "stolen_share" in about else []
    return "; ".join(said) + "." if said else ""


def length(about):
    """Of a turn, as text; a run may have had several lengths."""
    lengths = about.get("durations") or [about["seconds"]]
    return " and ".join(f"{x:g}" for x in lengths) + " s"


def facts(about):
    """[(what, text)] of a run: machine, versions, settings of the run. What an older result does not hold is left out."""
    warm = f", each after {about['warmup_s']:g} s of load that do not count" if "warmup_s" in about else ""
    rows = [("machine", f"{about['cpu']}, {about['cores']} cores, {about['memory_gib']} GiB"), ("kernel", f"Linux {about['kernel']}"),
            ("versions", ", ".join(f"{name} {text}" for name, text in about.get("versions", {}).items())),
            ("load", "over loopback, one thread of sluice-bench unless a row names another program"),
            ("turns", f"{about['rounds']} rounds of {length(about)}, the brokers in turns{warm}"),
            ("durability", about["durability"]), ("noise", noise(about))]
    return [(what, text) for what, text in rows if text]


def command(about):
    """The command that repeats a run, with the rounds and seconds that it had, whatever is the default by then."""
    words = about["command"].split()
    told = {w.split("=")[0] for w in words}
    spelled = [] if told & {"--rounds", "--quick"} else ["--rounds", f"{about['rounds']}"]
    if not told & {"--seconds", "--durations", "--quick"}:
        spelled += ["--seconds", f"{about['seconds']:g}"]
    return " ".join(words[:2] + spelled + words[2:])
