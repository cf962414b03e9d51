"""The same scripted session against stock Kafka and the broker under test, field by field.

Every script of scripts/ is one test. Both brokers are asked at the same time, each answer is
normalised (session.py says how), and the two logs are compared. A closed connection and no answer
are outcomes like any other. What may differ stands in known_differences.py. Texts of error
messages are compared apart from the rest: test_differential_error_messages.
"""
import concurrent.futures
import importlib
import re

import kafka_dist
import known_differences
import session
from runner import check, needs, skip

GROUPS = ["api_versions", "metadata", "topics", "configs", "produce", "idempotence", "fetch",
          "fetch_sessions", "offsets", "framing", "restart", "groups", "group_offsets",
          "consumer_groups", "group_configs"]
# Text meant for people; everything else is for programs.
MESSAGES = {"errorMessage", "batchIndexErrorMessage"}
OWN_ID = re.compile(r"(?<=Member )[A-Za-z0-9_-]{22}\b")  # in texts: the broker's own choice
SHOWN = 25
_messages_of_script = {}  # script that ran -> differences of messages
_known_of_script = {}  # script that ran -> places of known differences


def run_script(broker, script):
    play = session.Session(broker, script.__name__)
    try:
        script(play)
    finally:
        play.close()
    return play.log


def differences(a, b, path=""):
    """[(path, stock, ours)] of two normalised values."""
    if isinstance(a, dict) and isinstance(b, dict):
        return [d for key in [*a, *(k for k in b if k not in a)]
                for d in differences(a.get(key, "<absent>"), b.get(key, "<absent>"),
                                     f"{path}.{key}")]
    if isinstance(a, (list, tuple)) and isinstance(b, (list, tuple)):
        if len(a) != len(b):
            return [(f"{path}[]", a, b)]
        return [d for n, (x, y) in enumerate(zip(a, b))
                for d in differences(x, y, f"{path}[{n}]")]
    if a != b or type(a) is not type(b):
        return [(path, a, b)]
    return []


def compare(script_name, stock, ours):
    """(differences, differences of messages, known ones) as (place, stock, ours)."""
    found, messages, known = [], [], []
    names = [n for n, _ in stock]
    if names != [n for n, _ in ours]:
        extra = [n for n in names if n not in dict(ours)] + \
            [n for n, _ in ours if n not in names]
        found.append((f"{script_name}: steps", extra[:5], "the sessions took different ways"))
    ours = dict(ours)
    for name, outcome in stock:
        for path, a, b in differences(outcome, ours.get(name, "<step not taken>")):
            place = f"{script_name}: {name} {path}"
            if any(re.fullmatch(k.place, place) for k in known_differences.KNOWN):
                known.append((place, a, b))
            elif path.rpartition(".")[2] in MESSAGES and a is not None and b is not None:
                if OWN_ID.sub("<id>", a) != OWN_ID.sub("<id>", b):
                    messages.append((place, a, b))
            else:
                found.append((place, a, b))
    return found, messages, known


def shorten(value):
    text = repr(value)
    return text if len(text) < 300 else text[:300] + "..."


def report(found):
    lines = [f"{place}\n    stock: {shorten(a)}\n    ours:  {shorten(b)}"
             for place, a, b in found[:SHOWN]]
    more = f"\n  and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
    return f"{len(found)} differences\n  " + "\n  ".join(lines) + more


def write_logs(script_name, *logs):
    """Both logs in full, for whoever wants to know what stock Kafka answers."""
    folder = kafka_dist.cache_dir() / "differential"
    folder.mkdir(exist_ok=True)
    for side, log in zip(("stock", "ours"), logs):
        text = "".join(f"{name}\n    {outcome!r}\n" for name, outcome in log)
        (folder / f"{script_name}.{side}.txt").write_text(text)


def run_differential(context, script):
    stock, ours = context.pair
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        one, two = pool.submit(run_script, stock, script), pool.submit(run_script, ours, script)
        logs = one.result(), two.result()
    write_logs(script.__name__, *logs)
    found, messages, known = compare(script.__name__, *logs)
    _messages_of_script[script.__name__] = messages
    _known_of_script[script.__name__] = [place for place, _, _ in known]
    check(logs[0], "the script asked nothing")
    check(not found, report(found))


def _make(script):
    def test(context):
        run_differential(context, script)
    test.__name__ = f"test_differential_{script.__name__}"
    test.__doc__ = script.__doc__
    return needs("java")(test)


for _group in GROUPS:
    for _script in importlib.import_module(f"scripts.{_group}").SCRIPTS:
        globals()[f"test_differential_{_script.__name__}"] = _make(_script)


@needs("java", "once")
def test_differential_error_messages(context):
    """The texts of error messages in all the scripts that ran before."""
    if context.pair_unused():
        skip("no script ran before")
    found = [m for messages in _messages_of_script.values() for m in messages]
    check(not found, report(found))


@needs("java", "sluice", "once")
def test_differential_known_still_differ(context):
    """A known difference of a script that ran, and did not show it, is none any more."""
    told = [k for k in known_differences.KNOWN if k.place.split(":")[0] in _known_of_script]
    if not told:
        skip("no script with a known difference ran before")
    gone = [k.place for k in told
            if not any(re.fullmatch(k.place, p) for p in _known_of_script[k.place.split(":")[0]])]
    check(not gone, f"take them off known_differences.py: {gone}")
