"""Where Sluice's answers may differ from stock Kafka's, each with its reason.

    python3 tests/compat/known_differences.py            print the list into docs/differences.md
    python3 tests/compat/known_differences.py --check    fail if the page does not show it

`place` is a regular expression that must match the whole place of a difference, `<script>: <name of the step>
(<API> v<version>) <path of the field>`, as test_differential.py prints it; the fewer and narrower, the better. `what`
says the difference to people. One that no longer differs fails a test: it has to be removed here.
"""
import sys
from collections import namedtuple
from pathlib import Path

Known = namedtuple("Known", "place what why")
PAGE = Path(__file__).resolve().parents[2] / "docs" / "differences.md"
BEGIN = "<!-- printed by tests/compat/known_differences.py from its list; edit that -->\n"
END = "<!-- end of the list -->\n"
OLDER = "clients of Kafka 3.9 and before go on"
CAUSE = "stock Kafka fails with an internal error (-1); the cause is known here and told"
NO_SUCH_GROUPS = "there are no share and streams groups yet: their settings are unknown names"

KNOWN = [
    Known(r"api_versions: range of (CreateTopics|DeleteTopics|OffsetForLeaderEpoch|DescribeConfigs|"
          r"DescribeLogDirs|OffsetCommit) .*",
          "ApiVersions tells versions of CreateTopics, DeleteTopics, OffsetForLeaderEpoch, DescribeConfigs, "
          "DescribeLogDirs and OffsetCommit that Kafka 3.9 serves and 4.3 has dropped", OLDER),
    Known(r"removed_versions: (CreateTopics|DeleteTopics|DescribeConfigs|DescribeLogDirs|"
          r"OffsetForLeaderEpoch|OffsetCommit) v\d+ .*",
          "these versions are answered; stock Kafka 4.3 closes the connection", OLDER),
    Known(r"api_versions: answer .*\.(finalized|supported)Features\[\]",
          "ApiVersions tells fewer features", "a feature is told and finalised only when it is built"),
    Known(r"bad_batches: (good )?(after )?(deltas not in order|delta twice|delta gap|delta not from zero).*",
          "an uncompressed batch whose offset deltas are out of order, twice there, with gaps or not from zero is "
          "INVALID_RECORD; stock Kafka takes it",
          "offsets in the log stay dense"),
    Known(r"bad_batches: (length max|long varint|codec \d \w+)(, acks 1)? .*\.errorCode",
          "batches with a length that cannot be, a varint that is too long or compressed bytes that cannot be read are "
          "INVALID_RECORD", CAUSE),
    Known(r"metadata_by_id: neither .*\.errorCode",
          "Metadata of a topic with neither a name nor an id is INVALID_REQUEST", CAUSE),
    Known(r"describe_topic_partitions: empty name .*",
          "DescribeTopicPartitions of an empty name is INVALID_TOPIC_EXCEPTION", CAUSE),
    Known(r"by_topic_config: stored in tc-\w+ .*\.attributes",
          "batches are stored as the producer compressed them, whatever the topic's `compression.type` says",
          "nothing here compresses yet"),
    Known(r"good_batches: newest time in good-no-time .*",
          "ListOffsets for the newest timestamp (-3) of records without timestamps gives -1; stock Kafka gives their "
          "first offset", "none of them has a timestamp"),
    Known(r"describe_group_configs: all keys.*\.configs\[\]",
          "DescribeConfigs of a group tells the settings of consumer groups alone", NO_SUCH_GROUPS),
    Known(r"other_group_configs: (share|streams)\..*\.error(Code|Message)",
          "settings `share.*` and `streams.*` of a group cannot be altered", NO_SUCH_GROUPS),
    Known(r"request_headers: (header|body) tags too many .*",
          "a request with a count of tagged fields over 2^31 closes the connection",
          "it is malformed; stock Kafka reads it as a negative count of none"),
    Known(r"describe_broker_configs: broker synonyms .*\.configs\[[01]\]\.synonyms\[\]",
          "`node.id` and `log.dirs` have default values in DescribeConfigs",
          "the broker starts without a file"),
]


def page_with(text):
    """The page with the list as it is now between its marks."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        sys.exit(f"docs/differences.md has no place for the list: {BEGIN.strip()} ... {END.strip()}")
    rows = [f"| {known.what} | {known.why} | `{known.place.split(':')[0]}` |\n" for known in KNOWN]
    return "".join([before, BEGIN, "| Difference | Why | Script |\n|---|---|---|\n", *rows, END, after])


def main():
    text = PAGE.read_text()
    wanted = page_with(text)
    if "--check" in sys.argv[1:]:
        if text != wanted:
            sys.exit("docs/differences.md does not show the list of known differences: "
                     "run tests/compat/known_differences.py")
        return
    PAGE.write_text(wanted)


if __name__ == "__main__":
    main()
