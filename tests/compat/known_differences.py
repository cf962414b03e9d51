"""Where Sluice's answers may differ from stock Kafka's, each with its reason.

An entry is (pattern, reason). The pattern is a regular expression that must match the whole
place of a difference, `<script>: <name of the step> (<API> v<version>) <path of the field>`, as
test_differential.py prints it. The fewer and narrower, the better. docs/differences.md tells the
same to users.
"""
OLDER = "versions that Kafka 3.9 serves and 4.3 has dropped are served, so that older clients go on"
FEATURES = "a feature is told and finalised only when it is built"
CHECKED = "offset deltas of uncompressed batches are checked too: a batch with gaps would break offsets"
INTERNAL = "stock Kafka fails with an internal error (-1); the cause is known here and told"
NO_SUCH_GROUPS = "there are no share and streams groups: their settings are unknown names"
RECOMPRESS = "batches are kept as the producer made them, whatever the topic's compression.type says"

KNOWN = [
    (r"api_versions: range of (CreateTopics|DeleteTopics|OffsetForLeaderEpoch|DescribeConfigs|"
     r"DescribeLogDirs|OffsetCommit) .*", OLDER),
    (r"removed_versions: (CreateTopics|DeleteTopics|DescribeConfigs|DescribeLogDirs|"
     r"OffsetForLeaderEpoch|OffsetCommit) v\d+ .*", OLDER),
    (r"api_versions: answer .*\.(finalized|supported)Features\[\]", FEATURES),
    (r"bad_batches: (good )?(after )?(deltas not in order|delta twice|delta gap|delta not from zero)"
     r".*", CHECKED),
    (r"bad_batches: (length max|long varint|codec \d \w+)(, acks 1)? .*\.errorCode", INTERNAL),
    (r"metadata_by_id: neither .*\.errorCode", INTERNAL),
    (r"describe_topic_partitions: empty name .*", INTERNAL),
    (r"by_topic_config: stored in tc-\w+ .*\.attributes", RECOMPRESS),
    (r"good_batches: newest time in good-no-time .*",
     "records without timestamps have no newest one: offset -1 and not the first record"),
    (r"describe_group_configs: all keys.*\.configs\[\]", NO_SUCH_GROUPS),
    (r"other_group_configs: (share|streams)\..*\.error(Code|Message)", NO_SUCH_GROUPS),
    (r"request_headers: (header|body) tags too many .*",
     "a count of tagged fields over 2^31 is malformed; stock Kafka reads it as a negative count of none"),
    (r"describe_broker_configs: broker synonyms .*\.configs\[[01]\]\.synonyms\[\]",
     "node.id and log.dirs have defaults here, so that the broker starts without a file"),
]
