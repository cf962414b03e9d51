"""A session with aiokafka: produce in every way, consume by assignment and in groups.

    python aiokafka_session.py <address> <prefix of topic names> <file with a text>

Prints one line per step: `ok <step>` or `FAIL <step>: <reason>`; exit status 1 if one failed.
"""
import asyncio
import sys
import traceback

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRebalanceListener, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

ADDRESS, PREFIX, TEXT_FILE = sys.argv[1:4]
with open(TEXT_FILE, "rb") as text_file:
    LINES = text_file.read().splitlines(keepends=True)
WAIT_S = 180


async def create(name, partitions=1):
    admin = AIOKafkaAdminClient(bootstrap_servers=ADDRESS)
    await admin.start()
    await admin.create_topics([NewTopic(f"{PREFIX}-{name}", partitions, 1)])
    await admin.close()
    return f"{PREFIX}-{name}"


async def produce(topic, values, keys=None, **options):
    out = AIOKafkaProducer(bootstrap_servers=ADDRESS, acks="all", **options)
    await out.start()
    try:
        waits = [await out.send(topic, v, key=keys[i] if keys else None) for i, v in enumerate(values)]
        return [await w for w in waits]
    finally:
        await out.stop()


def same(got, wanted, what):
    if got != wanted:
        raise AssertionError(f"{what}: got {str(got)[:300]}, wanted {str(wanted)[:300]}")


async def read(consumer, count):
    got = []
    async with asyncio.timeout(WAIT_S):
        while len(got) < count:
            for batch in (await consumer.getmany(timeout_ms=500)).values():
                got += batch
    return got


async def step_send_and_wait():
    topic = await create("sync")
    out = AIOKafkaProducer(bootstrap_servers=ADDRESS)
    await out.start()
    offsets = [(await out.send_and_wait(topic, line)).offset for line in LINES[:30]]
    await out.stop()
    same(offsets, list(range(30)), "offsets")


async def step_compressions_and_idempotence():
    for codec in (None, "gzip", "snappy", "lz4", "zstd"):
        topic = await create(f"codec-{codec}")
        await produce(topic, LINES[:500], compression_type=codec, enable_idempotence=True)
        consumer = AIOKafkaConsumer(bootstrap_servers=ADDRESS, enable_auto_commit=False)
        await consumer.start()
        try:
            place = TopicPartition(topic, 0)
            consumer.assign([place])
            await consumer.seek_to_beginning(place)
            got = await read(consumer, 500)
            same(b"".join(r.value for r in got), b"".join(LINES[:500]), f"values with {codec}")
            consumer.seek(place, 490)
            same([r.offset for r in await read(consumer, 10)], list(range(490, 500)), "after a seek")
        finally:
            await consumer.stop()


async def step_keys_stay_together():
    topic = await create("keyed", 3)
    keys = [b"k%d" % (i % 17) for i in range(300)]
    await produce(topic, LINES[:300], keys)
    consumer = AIOKafkaConsumer(topic, bootstrap_servers=ADDRESS, auto_offset_reset="earliest")
    await consumer.start()
    try:
        got = await read(consumer, 300)
    finally:
        await consumer.stop()
    same(len({(r.key, r.partition) for r in got}), 17, "pairs of key and partition")
    for key in set(keys):
        same([r.value for r in got if r.key == key], [v for v, k in zip(LINES, keys) if k == key], f"values of {key}")


async def step_group_commits_and_resumes():
    topic = await create("resume")
    await produce(topic, LINES[:100])
    options = {"bootstrap_servers": ADDRESS, "group_id": f"{PREFIX}-resume", "auto_offset_reset": "earliest",
               "enable_auto_commit": False, "max_poll_records": 40}
    first = AIOKafkaConsumer(topic, **options)
    await first.start()
    async with asyncio.timeout(WAIT_S):
        got = [await first.getone() for _ in range(40)]
    await first.commit({TopicPartition(topic, 0): got[-1].offset + 1})
    same(await first.committed(TopicPartition(topic, 0)), 40, "committed")
    await first.stop()
    second = AIOKafkaConsumer(topic, **options)
    await second.start()
    got += await read(second, 60)
    await second.stop()
    same(b"".join(r.value for r in got), b"".join(LINES[:100]), "values over both")


class Seen(ConsumerRebalanceListener):
    def __init__(self):
        self.now, self.changes = set(), 0

    async def on_partitions_revoked(self, revoked):
        self.now -= set(revoked)

    async def on_partitions_assigned(self, assigned):
        self.now, self.changes = set(assigned), self.changes + 1


async def step_group_of_two_rebalances():
    topic = await create("pair", 4)
    keys = [b"k%d" % (i % 50) for i in range(400)]
    await produce(topic, LINES[:400], keys)
    members, seen = [], []
    for _ in range(2):
        seen.append(Seen())
        members.append(AIOKafkaConsumer(bootstrap_servers=ADDRESS, group_id=f"{PREFIX}-pair",
                                        auto_offset_reset="earliest", session_timeout_ms=30000,
                                        heartbeat_interval_ms=500))
        members[-1].subscribe([topic], listener=seen[-1])
        await members[-1].start()
    got = []
    async with asyncio.timeout(WAIT_S):
        while len({(r.partition, r.offset) for r in got}) < 400 or not all(len(s.now) == 2 for s in seen):
            for m in members:
                for batch in (await m.getmany(timeout_ms=200)).values():
                    got += batch
    same(seen[0].now | seen[1].now, {TopicPartition(topic, p) for p in range(4)}, "assignments")
    await members[0].stop()
    async with asyncio.timeout(WAIT_S):
        while len(seen[1].now) < 4:
            await members[1].getmany(timeout_ms=200)
    await members[1].stop()


async def step_pattern():
    topic = await create("by-pattern-1")
    await produce(topic, LINES[:20])
    consumer = AIOKafkaConsumer(bootstrap_servers=ADDRESS, group_id=f"{PREFIX}-pattern",
                                auto_offset_reset="earliest", metadata_max_age_ms=1000)
    consumer.subscribe(pattern=f"^{PREFIX}-by-pattern-.*")
    await consumer.start()
    try:
        same([r.value for r in await read(consumer, 20)], LINES[:20], "values")
    finally:
        await consumer.stop()


async def step_callbacks_and_timeouts():
    topic = await create("callbacks")
    out = AIOKafkaProducer(bootstrap_servers=ADDRESS, linger_ms=20)
    await out.start()
    done, waits = [], []
    for line in LINES[:50]:
        future = await out.send(topic, line)
        future.add_done_callback(lambda f: done.append(f.result().offset))
        waits.append(future)
    await asyncio.gather(*waits)
    await out.stop()
    same(done, list(range(50)), "offsets in callbacks")
    consumer = AIOKafkaConsumer(bootstrap_servers=ADDRESS)
    await consumer.start()
    try:
        place = TopicPartition(topic, 0)
        consumer.assign([place])
        await consumer.seek_to_end(place)
        same(await consumer.getmany(timeout_ms=200), {}, "nothing in time")
        try:
            await asyncio.wait_for(consumer.getone(), 0.3)
            raise AssertionError("a record from beyond the end")
        except asyncio.TimeoutError:
            pass
    finally:
        await consumer.stop()


async def main():
    failed = 0
    for step in (step_send_and_wait, step_compressions_and_idempotence, step_keys_stay_together,
                 step_group_commits_and_resumes, step_group_of_two_rebalances, step_pattern,
                 step_callbacks_and_timeouts):
        try:
            await step()
            print(f"ok {step.__name__[5:]}", flush=True)
        except Exception as e:  # every kind of failure is one line
            failed = 1
            print(f"FAIL {step.__name__[5:]}: {type(e).__name__}: {e}", flush=True)
            traceback.print_exc()
    return failed


sys.exit(asyncio.run(main()))
