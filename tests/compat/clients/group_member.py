"""One member of a consumer group, in a process of its own.

    python group_member.py kafka-python|confluent|confluent-consumer|aiokafka <address> <topic> <group>

Prints a line per event: `assigned 0,1`, `revoked 0,1`, `got <partition> <offset>`, `committed`,
`left`. Commits after every poll that brought something. Leaves when its input ends. Its session lasts
MEMBER_SESSION_MS.
"""
import asyncio
import os
import selectors
import sys
import time

LIBRARY, ADDRESS, TOPIC, GROUP = sys.argv[1:5]
SESSION_MS = int(os.environ.get("MEMBER_SESSION_MS", "30000"))
LIFE_SECONDS = 900  # whatever became of who started it


def say(*words):
    print(*words, flush=True)


def names(partitions):
    return ",".join(str(p.partition) for p in sorted(partitions, key=lambda p: p.partition)) or "-"


def input_ended(selector):
    for key, _ in selector.select(0):
        if not key.fileobj.readline():
            return True
    return False


def with_kafka_python(ended):
    import kafka
    from kafka import ConsumerRebalanceListener, KafkaConsumer
    from kafka.errors import KafkaError
    # 2.0.2 gives a broker two seconds to say what it is
    patience = {"api_version_auto_timeout_ms": 60000} if kafka.__version__.startswith("2.0.") else {}

    class Listener(ConsumerRebalanceListener):
        def on_partitions_revoked(self, revoked):
            say("revoked", names(revoked))

        def on_partitions_assigned(self, assigned):
            say("assigned", names(assigned))
    consumer = KafkaConsumer(bootstrap_servers=ADDRESS, group_id=GROUP, enable_auto_commit=False,
                             auto_offset_reset="earliest", heartbeat_interval_ms=300,
                             session_timeout_ms=SESSION_MS, **patience)
    consumer.subscribe([TOPIC], listener=Listener())
    while not ended():
        # longer than a rebalance takes: kafka-python 3.0.12 can lose an assignment that comes while poll gives up
        try:
            records = consumer.poll(timeout_ms=2000)
        except KafkaError as error:  # 3.0.12 raises it when the broker is away
            say("not polled", type(error).__name__)
            time.sleep(0.2)
            continue
        for found in records.values():
            for r in found:
                say("got", r.partition, r.offset)
        if records:
            try:
                consumer.commit()
                say("committed")
            except Exception as error:  # a rebalance: what was read is read again by who gets it
                say("not committed", type(error).__name__)
    consumer.close(autocommit=False)


CLASSIC = {"heartbeat.interval.ms": 300, "session.timeout.ms": SESSION_MS}
NEWER = {"group.protocol": "consumer"}  # KIP-848: the broker sets the times


def with_confluent(ended, more):
    from confluent_kafka import Consumer, KafkaException
    held = set()

    def changed(word, partitions):
        """With the newer protocol both callbacks tell what changes; say what is held then."""
        numbers = {p.partition for p in partitions}
        if more is NEWER:
            held.update(numbers) if word == "assigned" else held.difference_update(numbers)
            say("assigned", ",".join(map(str, sorted(held))) or "-")
        else:
            say(word, names(partitions))
    consumer = Consumer({"bootstrap.servers": ADDRESS, "group.id": GROUP, "log_level": 1,
                         "enable.auto.commit": False, "auto.offset.reset": "earliest", **more})
    consumer.subscribe([TOPIC], on_assign=lambda _, p: changed("assigned", p),
                       on_revoke=lambda _, p: changed("revoked", p))
    while not ended():
        found = [m for m in consumer.consume(100, timeout=0.2) if m.error() is None]
        for m in found:
            say("got", m.partition(), m.offset())
        if found:
            try:
                consumer.commit(asynchronous=False)
                say("committed")
            except KafkaException as error:
                say("not committed", error.args[0].name())
    consumer.close()


async def with_aiokafka(ended):
    from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener
    from aiokafka.errors import KafkaError

    class Listener(ConsumerRebalanceListener):
        async def on_partitions_revoked(self, revoked):
            say("revoked", names(revoked))

        async def on_partitions_assigned(self, assigned):
            say("assigned", names(assigned))
    consumer = AIOKafkaConsumer(bootstrap_servers=ADDRESS, group_id=GROUP, enable_auto_commit=False,
                                auto_offset_reset="earliest", heartbeat_interval_ms=300,
                                session_timeout_ms=SESSION_MS)
    consumer.subscribe([TOPIC], listener=Listener())
    await consumer.start()
    while not ended():
        try:
            records = await consumer.getmany(timeout_ms=200)
        except KafkaError as error:
            say("not polled", type(error).__name__)
            await asyncio.sleep(0.2)
            continue
        for found in records.values():
            for r in found:
                say("got", r.partition, r.offset)
        if records:
            try:
                await consumer.commit()
                say("committed")
            except KafkaError as error:  # a rebalance: what was read is read again by who gets it
                say("not committed", type(error).__name__)
    await consumer.stop()


def main():
    selector = selectors.DefaultSelector()
    selector.register(sys.stdin, selectors.EVENT_READ)
    limit = time.monotonic() + LIFE_SECONDS

    def ended():
        return time.monotonic() > limit or input_ended(selector)
    {"kafka-python": with_kafka_python, "confluent": lambda e: with_confluent(e, CLASSIC),
     "confluent-consumer": lambda e: with_confluent(e, NEWER),
     "aiokafka": lambda e: asyncio.run(with_aiokafka(e))}[LIBRARY](ended)
    say("left")


main()
