"""kafka-python through whatever lies between: what was produced comes back, each record once.

usage: through.py BROKER TOPIC SEED RECORDS        runs in the client tests' Python environment
"""
import random
import sys

from kafka import KafkaConsumer, KafkaProducer, TopicPartition


def main():
    broker, topic, seed, count = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
    rng = random.Random(seed)
    sent = [(b"%d" % i, rng.randbytes(rng.randrange(1, 2000))) for i in range(count)]
    producer = KafkaProducer(bootstrap_servers=broker, acks="all", retries=10)
    futures = [producer.send(topic, key=k, value=v, partition=0) for k, v in sent]
    for future in futures:
        future.get(timeout=200)
    producer.close()
    consumer = KafkaConsumer(bootstrap_servers=broker, auto_offset_reset="earliest", enable_auto_commit=False,
                             consumer_timeout_ms=120000)
    consumer.assign([TopicPartition(topic, 0)])
    consumer.seek_to_beginning()
    got = []
    for record in consumer:
        got.append((record.key, record.value))
        if len(got) == count:
            break
    consumer.close()
    if got != sent:
        sys.exit(f"{len(got)} records came back of {count}, or others")


if __name__ == "__main__":
    main()
