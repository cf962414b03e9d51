"""A batch of 100 MiB: under limits that were not raised, under raised ones, and where it does not fit in memory."""
import re
import threading
import time

import client
import records
from runner import check, equal, needs

NEEDS = frozenset({"slow"})
HUGE = 100 << 20
MESSAGE_TOO_LARGE, UNKNOWN_SERVER_ERROR = 10, -1
LIMITS = {"socket.request.max.bytes": str(HUGE + (50 << 20))}
ROOM = {"sluice.memory": "2g", "sluice.shards": "1"}  # Kafka reads both as names it does not know
SECONDS = 120


class Others:
    """A client of its own that produces and fetches small records all the time."""

    def __init__(self, broker):
        self.broker, self.rounds, self.failure = broker, 0, None
        self._stop = threading.Event()
        with broker.connect() as raw:
            client.create_topic(raw, "others", 1)
        self._thread = threading.Thread(target=self._run, daemon=True)

    def _run(self):
        try:
            with self.broker.connect(SECONDS) as raw:
                while not self._stop.is_set():
                    value = b"other %d" % self.rounds
                    equal(put(raw, "others", value)["errorCode"], 0, "a small record")
                    got = get(raw, "others", self.rounds)
                    equal([r.value for b in records.parse(got["records"]) for r in b.records],
                          [value], "it comes back")
                    self.rounds += 1
                    time.sleep(0.005)
        except BaseException as failure:  # whatever it is, the test says it
            self.failure = failure

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *error):
        self._stop.set()
        self._thread.join(SECONDS)
        if error[0] is None:
            check(self.failure is None, f"the other client: {self.failure!r}")
            check(self.rounds > 0, f"the other client did {self.rounds} rounds")


def put(raw, topic, value):
    answer = raw.request("Produce", 9, client.produce_body(topic, {0: records.batch([value])}))
    return answer["responses"][0]["partitionResponses"][0]


def get(raw, topic, offset):
    answer = raw.request("Fetch", 12, client.fetch_body(topic, 0, offset, max_wait=100,
                                                        max_bytes=1 << 20))
    return answer["responses"][0]["partitions"][0]


def huge_value():
    return bytes(range(256)) * (HUGE // 256)


def put_huge(broker, topic):
    """The partition's answer, or None where the broker closed the connection."""
    with broker.connect(SECONDS) as raw:
        try:
            return put(raw, topic, huge_value())
        except client.Closed:
            return None


def same(broker, topic, offset):
    with broker.connect(SECONDS) as raw:
        got = get(raw, topic, offset)
        equal(got["errorCode"], 0, "fetch error")
        batches = records.parse(got["records"])
        equal([(b.base_offset, b.crc_ok) for b in batches], [(offset, True)], "what came back")
        check(batches[0].records[0].value == huge_value(), "the value is another one")


def resident(broker):
    """Most bytes of memory that the broker had at once."""
    with open(f"/proc/{broker.process.pid}/status", encoding="ascii") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmHWM:")) * 1024


def test_huge_batch_over_the_request_limit(context):
    """Longer than socket.request.max.bytes: the connection is closed, the others are served."""
    broker = context.fresh(overrides=ROOM)
    with broker.connect() as raw:
        client.create_topic(raw, "huge", 1, {"max.message.bytes": str(2 * HUGE)})
    with Others(broker):
        equal(put_huge(broker, "huge"), None, "an answer")
        time.sleep(0.5)
    check(broker.running(), "the broker ended")


def test_huge_batch_over_the_message_limit(context):
    """The request is within its limit, the batch is over max.message.bytes."""
    broker = context.fresh(overrides={**ROOM, **LIMITS})
    with broker.connect() as raw:
        client.create_topic(raw, "huge", 1)
    with Others(broker):
        equal(put_huge(broker, "huge")["errorCode"], MESSAGE_TOO_LARGE, "error")
    check(broker.running(), "the broker ended")


def test_huge_batch_within_raised_limits(context):
    """Taken, given back from memory and, after a restart, from the disk; others are served meanwhile."""
    broker = context.fresh(overrides={**ROOM, **LIMITS})
    with broker.connect() as raw:
        client.create_topic(raw, "huge", 1, {"max.message.bytes": str(2 * HUGE)})
    with Others(broker):
        for offset in range(2):
            answer = put_huge(broker, "huge")
            equal((answer["errorCode"], answer["baseOffset"]), (0, offset), "answer")
        same(broker, "huge", 0)
    if context.kind == "sluice":
        check(resident(broker) < (2 << 30) + (256 << 20), f"{resident(broker)} bytes of memory")
    broker.stop()
    broker.start()
    with broker.connect() as raw:
        client.wait_topic(raw, "huge", 1)
    for offset in range(2):
        same(broker, "huge", offset)


@needs("sluice")
def test_huge_batch_and_little_memory(context):
    """Where sluice.memory admits no such request its connection is closed, and the log says why. One that is
    in the log already is refused with an error that names it; what is behind it is served."""
    broker = context.fresh(overrides={**ROOM, **LIMITS})
    with broker.connect() as raw:
        client.create_topic(raw, "huge", 1, {"max.message.bytes": str(2 * HUGE)})
    equal(put_huge(broker, "huge")["errorCode"], 0, "with much memory")
    with broker.connect() as raw:
        equal(put(raw, "huge", b"behind")["errorCode"], 0, "a record behind it")
    broker.stop()
    broker.overrides["sluice.memory"] = "96m"
    broker.start()
    told = re.findall(r"socket\.request\.max\.bytes=(\d+) needs sluice\.memory=(\d+)m", broker.log_text())
    equal([request for request, _ in told], [LIMITS["socket.request.max.bytes"]], "starts that say what they admit")
    with broker.connect() as raw:
        client.wait_topic(raw, "huge", 1)
    with Others(broker):
        equal(put_huge(broker, "huge"), None, "an answer")
        with broker.connect(SECONDS) as raw:
            equal(get(raw, "huge", 0)["errorCode"], UNKNOWN_SERVER_ERROR, "fetch error")
            got = get(raw, "huge", 1)
            equal([r.value for b in records.parse(got["records"]) for r in b.records],
                  [b"behind"], "what is behind it")
    log = broker.log_text()
    check("huge-0/00000000000000000000.log" in log and "sluice.memory" in log,
          f"the log does not say it: {log[-600:]}")
    check(resident(broker) < 512 << 20, f"{resident(broker)} bytes of memory")
    equal(broker.stop(), 0, "exit status")
    broker.overrides["sluice.memory"] = told[0][1] + "m"
    broker.start()
    equal(broker.log_text().count("needs sluice.memory="), 1, "starts that say it")
    with broker.connect() as raw:
        client.wait_topic(raw, "huge", 1)
    same(broker, "huge", 0)
