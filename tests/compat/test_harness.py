"""The harness itself: the comparison sees differences, the codecs and batches hold together."""
import kafkaproto
import known_differences
import records
import test_differential
from runner import check, equal


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
