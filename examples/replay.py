"""Reading again from a point in time: python replay.py <broker> <topic>"""
import sys
import time

from kafka import KafkaConsumer, KafkaProducer, TopicPartition

broker, topic = sys.argv[1:3]
start_ms = int(time.time() * 1000) - 10_000
producer = KafkaProducer(bootstrap_servers=broker, acks="all")
for i in range(10):  # one record a second, the last ten seconds
    producer.send(topic, b"event %d" % i, timestamp_ms=start_ms + 1000 * i).get(timeout=60)
producer.close()

consumer = KafkaConsumer(bootstrap_servers=broker, consumer_timeout_ms=60000)
place = TopicPartition(topic, 0)
consumer.assign([place])
moment = start_ms + 6000
found = consumer.offsets_for_times({place: moment})[place]
print(f"the first record at or after {moment} has offset {found.offset}")
consumer.seek(place, found.offset)
got = []
for record in consumer:
    print(f"{record.timestamp}: {record.value.decode()}")
    got.append(record.value)
    if len(got) == 4:
        break
consumer.close()
assert got == [b"event %d" % i for i in range(6, 10)], got
