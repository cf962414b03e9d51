"""A producer and a consumer of JSON events: python json_events.py <broker> <topic>"""
import json
import sys

from kafka import KafkaConsumer, KafkaProducer

broker, topic = sys.argv[1:3]
producer = KafkaProducer(bootstrap_servers=broker, acks="all",
                         value_serializer=lambda event: json.dumps(event).encode())
events = [{"user": f"user-{i % 3}", "action": "click", "n": i} for i in range(10)]
for event in events:
    where = producer.send(topic, event).get(timeout=60)
    print(f"sent {event} to partition {where.partition} at offset {where.offset}")
producer.close()

consumer = KafkaConsumer(topic, bootstrap_servers=broker, auto_offset_reset="earliest", consumer_timeout_ms=60000,
                         group_id=f"{topic}-readers", value_deserializer=lambda text: json.loads(text))
got = []
for record in consumer:
    print(f"read {record.value} from offset {record.offset}")
    got.append(record.value)
    if len(got) == len(events):
        break
consumer.close()
assert got == events, "other events came out than went in"
