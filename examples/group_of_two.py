"""Three partitions, keys, and a group of two: python group_of_two.py <broker> <topic>"""
import sys
import threading
import time
from collections import defaultdict

from kafka import KafkaConsumer, KafkaProducer
from kafka.admin import KafkaAdminClient, NewTopic

broker, topic = sys.argv[1:3]
COUNT, KEYS = 60, 6
admin = KafkaAdminClient(bootstrap_servers=broker)
admin.create_topics([NewTopic(topic, 3, 1)])
admin.close()

got = {"anna": [], "ben": []}  # member -> records
assigned = {}
stop = threading.Event()


def member(name):
    consumer = KafkaConsumer(topic, bootstrap_servers=broker, group_id=f"{topic}-group", auto_offset_reset="earliest",
                             session_timeout_ms=45000, heartbeat_interval_ms=500)
    while not stop.is_set():
        # Longer than a rebalance takes: kafka-python 3.0.12 can lose an assignment that comes while poll gives up.
        for records in consumer.poll(timeout_ms=2000).values():
            got[name] += records
        assigned[name] = {p.partition for p in consumer.assignment()}
    consumer.close()


# daemon: none outlives a failure
threads = [threading.Thread(target=member, args=(name,), daemon=True) for name in ("anna", "ben")]
for t in threads:
    t.start()
limit = time.monotonic() + 180
while not (len(assigned) == 2 and all(assigned.values()) and assigned["anna"] | assigned["ben"] == {0, 1, 2}
           and not assigned["anna"] & assigned["ben"]):
    assert time.monotonic() < limit, f"the group never shared the partitions: {assigned}"
    time.sleep(0.1)
print(f"anna has partitions {sorted(assigned['anna'])}, ben has {sorted(assigned['ben'])}")

producer = KafkaProducer(bootstrap_servers=broker, acks="all")
for i in range(COUNT):
    producer.send(topic, key=b"key-%d" % (i % KEYS), value=b"%d" % i)
producer.flush()
producer.close()
limit = time.monotonic() + 120
while sum(len(r) for r in got.values()) < COUNT:
    assert time.monotonic() < limit, f"only {sum(len(r) for r in got.values())} of {COUNT} records came"
    time.sleep(0.1)
stop.set()
for t in threads:
    t.join()

readers = defaultdict(set)
for name, records in got.items():
    for r in records:
        readers[r.key].add(name)
for key, names in sorted(readers.items()):
    print(f"{key.decode()} was read by {', '.join(sorted(names))}")
assert all(len(n) == 1 for n in readers.values()), "a key was read by both: it was in two partitions"
