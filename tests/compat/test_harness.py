"""The harness itself: the comparison sees differences, the codecs and batches hold together."""
import contextlib
import io
import types

import kafkaproto
import known_differences
import records
import run
import test_differential
from runner import check, equal, skip


def test_harness_comparison_sees_differences(context):
    stock = [("a", ("answer", {"errorCode": 0, "errorMessage": "x", "list": [{"p": 1}]})),
             ("b", ("closed", None)), ("c", ("answer", {"v": 1}))]
    ours = [("a", ("answer", {"errorCode": 3, "errorMessage": "y", "list": [{"p": 1}, {"p": 2}]})),
            ("b", ("answer", {})), ("c", ("answer", {"v": True}))]
    found, messages, known = test_differential.compare("s", stock, ours)
    equal([place for place, _, _ in found],
          ["s: a [1].errorCode", "s: a [1].list[]", "s: b [0]", "s: b [1]", "s: c [1].v"],
          "differences")
    equal([place for place, _, _ in messages], ["s: a [1].errorMessage"], "messages")
    equal(known, [], "known differences")
    found, _, _ = test_differential.compare("s", stock, ours[:2])
    check(any("steps" in place for place, _, _ in found), "a step not taken is not noticed")
    equal(test_differential.compare("s", stock, stock), ([], [], []), "the same on both sides")


def test_harness_known_differences_have_reasons(context):
    for known in known_differences.KNOWN:
        check(len(known.why.split()) >= 4 and len(known.what.split()) >= 4, f"no reason for {known.place}")


def test_harness_second_try(context):
    """Passes if the test then passes, says so, and counts once; a test that may not fail at all has no second try,
    and one that then skips has failed."""
    for fails, once, totals, said in ((0, False, {"FAIL": 0, "pass": 1}, "UNSTEADY m.t: failed"),
                                      (1, False, {"FAIL": 1}, "FAIL m.t, second try"),
                                      (2, False, {"FAIL": 1, "skip": 1}, "skip m.t, second try"),
                                      (0, True, {"FAIL": 1}, "no second try for m.t")):
        def again(_, fails=fails):
            if fails == 2:
                skip("not here")
            check(not fails, "it fails again")
        again.needs = frozenset({"once"}) if once else frozenset()
        counted, text = {"FAIL": 1}, io.StringIO()
        with contextlib.redirect_stdout(text):
            run.second_try("m.t", again, types.SimpleNamespace(end_test=lambda failed: None), counted, False)
        equal(counted, totals, "counts")
        check(said in text.getvalue(), text.getvalue())


def test_harness_batches(context):
    """CRC32C by its published check value; every codec there and back."""
    equal(records.crc32c(b"123456789"), 0xE3069283, "CRC32C")
    values = [b"one", b"", None, b"four" * 100]
    for codec in records.CODECS.values():
        data = records.batch(values, keys=[b"k", None, b"", b"x"], codec=codec,
                             headers=[(b"h", b"v"), (b"n", None)])
        batch, = records.parse(data)
        equal([(r.value, r.key) for r in batch.records],
              list(zip(values, [b"k", None, b"", b"x"])), f"records with codec {codec}")
        check(batch.crc_ok, "CRC")
    check(not records.parse(records.batch(crc=1))[0].crc_ok, "a wrong CRC is not noticed")


def test_harness_round_trip_of_every_message(context):
    """Defaults of every API and version survive encoding and decoding."""
    for protocol in (kafkaproto.current(), kafkaproto.old()):
        for api in protocol.by_key.values():
            for message in (api.request, api.response):
                for version in range(message.versions[0], message.versions[1] + 1):
                    data = message.encode(version, {})
                    equal(message.encode(version, message.decode(version, data)), data,
                          f"{message.name} v{version}")
