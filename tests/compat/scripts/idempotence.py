"""Idempotent producing: sequences, epochs, duplicates; DescribeProducers; after a restart."""
import client
from records import GZIP, batch


def put(s, name, topic, pid, epoch, sequence, values=(b"v",), partition=0, version=9, **more):
    return s.ask(name, "Produce", version, client.produce_body(topic, {partition: batch(
        list(values), producer_id=pid, producer_epoch=epoch, base_sequence=sequence, **more)}))


def producers(s, name, *topics):
    """DescribeProducers of (topic, partitions)."""
    s.ask(name, "DescribeProducers", 0, {"topics": [
        {"name": t, "partitionIndexes": list(p)} for t, p in topics]})


def ends(s, name, *topics):
    s.ask(name, "ListOffsets", 7, {"replicaId": -1, "topics": [
        {"name": t, "partitions": [{"partitionIndex": 0, "timestamp": -1}]} for t in topics]})


def sequences(s):
    """In order, duplicated, with gaps, going back, at every version."""
    for v in s.versions("Produce"):
        if v >= 13:
            break  # the same by topic id: see sequences_by_id
        t = f"seq{v}"
        s.create(t)
        pid, epoch = s.new_producer()

        def one(name, sequence, values=(b"v",), e=epoch, t=t, pid=pid, v=v):
            put(s, name, t, pid, e, sequence, values, version=v)
        one("first", 0)
        one("second, three records", 1, [b"a", b"b", b"c"])
        one("third", 4)
        one("third again", 4)
        one("second again", 1, [b"a", b"b", b"c"])
        one("second again, fewer records", 1, [b"a", b"b"])
        one("second again, more records", 1, [b"a", b"b", b"c", b"d"])
        one("inside the second", 2)
        one("first again", 0)
        one("gap", 6)
        one("far gap", 1000)
        one("negative", -1)
        one("negative five", -5)
        one("fourth", 5)
        one("epoch before", 6, e=epoch - 1)
        one("epoch after, not from zero", 6, e=epoch + 1)
        one("epoch after", 0, e=epoch + 1)
        one("old epoch", 6, e=epoch)
        one("epoch after again", 0, e=epoch + 1)
        one("epoch after, next", 1, e=epoch + 1)
        ends(s, "end", t)
    producers(s, "producers", ("seq3", [0]), ("seq12", [0]))


def sequences_by_id(s):
    """Produce v13, topic ids."""
    topic_id = s.create("seq-id")
    pid, epoch = s.new_producer()
    for name, sequence in (("first", 0), ("second", 1), ("second again", 1), ("gap", 5),
                           ("first again", 0), ("third", 2)):
        s.ask(name, "Produce", 13, client.produce_body("seq-id", {0: batch(
            producer_id=pid, producer_epoch=epoch, base_sequence=sequence)}, topic_id=topic_id))
    ends(s, "end", "seq-id")


def duplicates_window(s):
    """Duplicates of the last five batches are known, older ones are not."""
    s.create("window")
    pid, epoch = s.new_producer()
    for sequence in range(8):
        put(s, f"batch {sequence}", "window", pid, epoch, sequence, [b"%d" % sequence])
    for sequence in range(7, -1, -1):
        put(s, f"again {sequence}", "window", pid, epoch, sequence, [b"%d" % sequence])
        put(s, f"other content {sequence}", "window", pid, epoch, sequence, [b"changed"])
    put(s, "next", "window", pid, epoch, 8)
    put(s, "again 8, gzip", "window", pid, epoch, 8, codec=GZIP)
    ends(s, "end", "window")
    s.ask("stored", "Fetch", 11, client.fetch_body("window", max_wait=0))


def unknown_producers(s):
    """Producer ids that nobody gave out, or that start in the middle."""
    s.create("stranger")
    pid, epoch = s.new_producer()
    put(s, "not from zero", "stranger", pid, epoch, 7)
    put(s, "goes on", "stranger", pid, epoch, 8)
    put(s, "back to zero", "stranger", pid, epoch, 0)
    put(s, "unknown id", "stranger", 10**12, 0, 0)
    put(s, "unknown id not from zero", "stranger", 10**12 + 1, 3, 50)
    put(s, "largest id", "stranger", 2**63 - 1, 32767, 2**31 - 1)
    put(s, "after the largest sequence", "stranger", 2**63 - 1, 32767, 0)
    put(s, "wraps within a batch", "stranger", 10**12 + 2, 0, 2**31 - 2, [b"a", b"b", b"c", b"d"])
    put(s, "after the wrap", "stranger", 10**12 + 2, 0, 2)
    put(s, "again after the wrap", "stranger", 10**12 + 2, 0, 2)
    ends(s, "end", "stranger")


def several_partitions(s):
    """Each partition has its own sequence; one request may touch several."""
    s.create("many-seq", 3)
    pid, epoch = s.new_producer()

    def request(name, *sequences):
        s.ask(name, "Produce", 9, client.produce_body("many-seq", {
            p: batch(producer_id=pid, producer_epoch=epoch, base_sequence=n)
            for p, n in enumerate(sequences)}))
    request("all from zero", 0, 0, 0)
    request("one gap", 1, 5, 1)
    request("one again", 1, 1, 2)
    producers(s, "producers", ("many-seq", [0, 1, 2]))
    other, _ = s.new_producer()
    put(s, "another producer", "many-seq", other, 0, 0)
    put(s, "not idempotent between", "many-seq", -1, -1, -1)
    put(s, "the first goes on", "many-seq", pid, epoch, 2)
    s.ask("two batches at once", "Produce", 9, client.produce_body("many-seq", {
        0: batch(producer_id=pid, producer_epoch=epoch, base_sequence=3) +
        batch(producer_id=pid, producer_epoch=epoch, base_sequence=4)}))
    producers(s, "producers at the end", ("many-seq", [0]))


def describe_producers(s):
    """DescribeProducers: unknown topics and partitions, nobody there."""
    s.create("dp", 2)
    producers(s, "nobody", ("dp", [0, 1]))
    producers(s, "unknown partition", ("dp", [0, 5, -1]))
    producers(s, "unknown topic", ("dp-unknown", [0]))
    producers(s, "bad names", ("..", [0]), ("a/b", [0]), ("", [0]))
    producers(s, "no partitions", ("dp", []))
    producers(s, "nothing")
    pid, epoch = s.new_producer()
    put(s, "put", "dp", pid, epoch, 0, [b"a", b"b"])
    producers(s, "one", ("dp", [0]))


def pipelined_sequences(s):
    """Five requests in flight on a connection answer in order, with consecutive offsets."""
    s.create("flight")
    pid, epoch = s.new_producer()
    connection = s.connection("flight")

    def burst(name, sequences):
        for n in sequences:
            connection.send("Produce", 9, client.produce_body("flight", {0: batch(
                [b"%d" % n], producer_id=pid, producer_epoch=epoch, base_sequence=n)}))
        for n in sequences:
            s.note(f"{name}: {n}", s.normalise(connection.receive()[1]))
    burst("in order", [0, 1, 2, 3, 4])
    burst("again", [0, 1, 2, 3, 4])
    burst("one missing", [5, 7, 8, 9])
    burst("repaired", [6, 7, 8, 9])
    ends(s, "end", "flight")


SCRIPTS = [sequences, sequences_by_id, duplicates_window, unknown_producers, several_partitions,
           describe_producers, pipelined_sequences]
