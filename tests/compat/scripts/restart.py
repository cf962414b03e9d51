"""What is still known after a clean stop and after kill -9."""
import client
from records import BASE_TIME, batch


def look(s, when, topics):
    """Everything a client can see of the topics."""
    for t in topics:
        s.ask(f"{when}: {t}", "Metadata", 12, {"topics": [{"name": t}],
                                               "allowAutoTopicCreation": False})
        for stamp in (-1, -2, -3, BASE_TIME + 3000):
            s.ask(f"{when}: {t} offset at {stamp}", "ListOffsets", 7, {
                "replicaId": -1, "topics": [{"name": t, "partitions": [
                    {"partitionIndex": 0, "timestamp": stamp}]}]})
        for number, epoch in enumerate([*sorted(s.normalise.epochs), 1000]):
            s.ask(f"{when}: {t} end of epoch {number}", "OffsetForLeaderEpoch", 4, {
                "replicaId": -2, "topics": [{"topic": t, "partitions": [
                    {"partition": 0, "leaderEpoch": epoch}]}]})
        s.ask(f"{when}: {t} content", "Fetch", 12, client.fetch_body(t, 0, 3, max_wait=0,
                                                                     min_bytes=0))
        s.ask(f"{when}: {t} producers", "DescribeProducers", 0, {"topics": [
            {"name": t, "partitionIndexes": [0]}]})
        s.ask(f"{when}: {t} configs", "DescribeConfigs", 4, {"resources": [
            {"resourceType": 2, "resourceName": t,
             "configurationKeys": ["retention.bytes", "segment.bytes"]}],
            "includeSynonyms": True})
    s.ask(f"{when}: deleted", "Metadata", 12, {"topics": [{"name": "restart-gone"}],
                                               "allowAutoTopicCreation": False})


def restart(s):
    """Topics, ids, configs, records, log starts, producers' sequences, over two restarts."""
    topics = ["restart-a", "restart-b"]
    s.normalise.epochs = {}
    ids = [s.create("restart-a", 2, retention__bytes="123456789"), s.create("restart-b")]
    s.create("restart-gone")
    for t in topics:
        s.fill(t, 8)
    pid, epoch = s.new_producer()

    def put(name, sequence):
        s.ask(name, "Produce", 9, client.produce_body("restart-a", {0: batch(
            producer_id=pid, producer_epoch=epoch, base_sequence=sequence)}))
    for sequence in range(4):
        put(f"sequence {sequence}", sequence)
    s.quiet("DeleteRecords", 2, {"topics": [{"name": "restart-b", "partitions": [
        {"partitionIndex": 0, "offset": 5}]}], "timeoutMs": 5000})
    s.quiet("IncrementalAlterConfigs", 1, {"resources": [{
        "resourceType": 2, "resourceName": "restart-b", "configs": [
            {"name": "segment.bytes", "configOperation": 0, "value": "2000000"}]}]})
    s.wait_config(2, "restart-b", "segment.bytes", "2000000")
    s.quiet("DeleteTopics", 3, {"topicNames": ["restart-gone"], "timeoutMs": 5000})
    s.wait_gone("restart-gone")
    next_sequence = 4
    look(s, "before", topics)
    for kill in (False, True):
        when = "after kill" if kill else "after stop"
        s.restart(kill)
        for t in topics:
            client.wait_topic(s.connection(), t)
        s.note(f"{when}: topic ids are the same", ids == [
            client.wait_topic(s.connection(), t)["topicId"] for t in topics])
        look(s, when, topics)
        put(f"{when}: the last sequence again", next_sequence - 1)
        put(f"{when}: an older sequence again", next_sequence - 3)
        put(f"{when}: a gap", next_sequence + 5)
        put(f"{when}: the next sequence", next_sequence)
        next_sequence += 1
        new, _ = s.new_producer()
        s.note(f"{when}: a new producer id", new != pid)
        s.fill("restart-b", 2)
        look(s, f"{when}, later", topics)


SCRIPTS = [restart]
