"""A librdkafka program (confluent-kafka): rdkafka.py produce|consume|latency PORT TOPIC RECORDS BYTES ACKS; a line of JSON."""
import json
import sys
import time

from confluent_kafka import Consumer, Producer, TopicPartition, OFFSET_BEGINNING

SAMPLE_EVERY = 50
PATIENCE_S = 60


def quantiles(times):
    times.sort()
    return {name: times[min(len(times) - 1, int(q * len(times)))] * 1e6
            for name, q in (("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p99.9", 0.999))} | {"max": times[-1] * 1e6}


def producer(port, acks, linger):
    return Producer({"bootstrap.servers": f"127.0.0.1:{port}", "acks": acks, "linger.ms": linger,
                     "queue.buffering.max.messages": 200000})


def fail(error):
    if error:
        sys.exit(f"not delivered: {error}")


def produce(port, topic, n, size, acks):
    """As fast as it takes them; the latency of every fiftieth record, from produce() to its delivery report."""
    p, value, times = producer(port, acks, 5), b"x" * size, []

    def report(begin):
        return lambda error, message: (fail(error), times.append(time.perf_counter() - begin))

    begin = time.perf_counter()
    for i in range(n):
        while True:
            try:
                if i % SAMPLE_EVERY:
                    p.produce(topic, value)
                else:
                    p.produce(topic, value, on_delivery=report(time.perf_counter()))
                break
            except BufferError:
                p.poll(0.01)
        p.poll(0)
    if p.flush(PATIENCE_S):
        sys.exit("records are not acknowledged")
    return time.perf_counter() - begin, quantiles(times)


def latency(port, topic, n, size, acks):
    """One record after the other, each waited for."""
    p, value, times = producer(port, acks, 0), b"x" * size, []
    start = time.perf_counter()
    for _ in range(n):
        begin = time.perf_counter()
        p.produce(topic, value, on_delivery=lambda error, message: fail(error))
        if p.flush(PATIENCE_S):
            sys.exit("a record is not acknowledged")
        times.append(time.perf_counter() - begin)
    return time.perf_counter() - start, quantiles(times)


def consume(port, topic, n, size, acks):
    """All partitions from the start until n records came; the clock starts with the first."""
    c = Consumer({"bootstrap.servers": f"127.0.0.1:{port}", "group.id": "bench", "enable.auto.commit": False,
                  "fetch.queue.backoff.ms": 1})
    parts = c.list_topics(topic, 10).topics[topic].partitions
    c.assign([TopicPartition(topic, i, OFFSET_BEGINNING) for i in parts])
    got, begin, patience = 0, None, time.perf_counter() + PATIENCE_S
    while got < n and time.perf_counter() < patience:
        messages = c.consume(10000, 0.5)
        begin = begin or time.perf_counter()
        got += sum(1 for m in messages if not m.error())
    took = time.perf_counter() - begin
    c.close()
    if got < n:
        sys.exit(f"only {got} of {n} records came")
    return took, None


def main():
    mode, port, topic, n, size, acks = sys.argv[1:]
    seconds, times = {"produce": produce, "consume": consume, "latency": latency}[mode](
        int(port), topic, int(n), int(size), int(acks))
    row = {"records": int(n), "bytes": int(n) * int(size), "seconds": seconds, "records_per_s": int(n) / seconds}
    print(json.dumps(row | ({"latency_us": times} if times else {})))


main()
