"""The topic and console tools of Kafka 2.8 and 3.9, in JVMs of their own."""
import re

import kafka_dist
from runner import check, equal, needs


def run(context, version, name, *args, stdin=None, code=0):
    done = kafka_dist.run_older_tool(version, name, "--bootstrap-server", context.broker.address,
                                     *args, stdin=stdin)
    equal(done.returncode, code, f"{name} {args} of {version}: {done.stdout[-800:]}"
                                 f"{done.stderr[-1500:]}\nexit status")
    return done.stdout


def generation(context, version):
    topic = context.name(f"older-{version.replace('.', '-')}")
    lines = [f"line {n} of {version}" for n in range(500)]
    out = run(context, version, "topics", "--create", "--topic", topic, "--partitions", 3,
              "--replication-factor", 1, "--config", "retention.ms=3600000")
    check(f"Created topic {topic}." in out, out)
    check(topic in run(context, version, "topics", "--list").split(), "the list")
    out = run(context, version, "topics", "--create", "--topic", topic, "--partitions", 1, code=1)
    check("already exists" in out, f"created twice: {out}")
    run(context, version, "topics", "--alter", "--topic", topic, "--partitions", 4)
    out = run(context, version, "topics", "--describe", "--topic", topic)
    check(re.search(r"PartitionCount: ?4\s+ReplicationFactor: ?1\s+Configs: .*retention.ms=3600000",
                    out), out)
    equal(len(re.findall(r"Partition: \d\s+Leader: 1\s+Replicas: 1\s+Isr: 1", out)), 4, "lines")
    for number, extra in enumerate(([], ["--compression-codec", "zstd"],
                                    ["--producer-property", "acks=all",
                                     "--property", "parse.key=true", "--property",
                                     "key.separator=;"])):
        keyed = "".join(f"k{n};{line}\n" for n, line in enumerate(lines))
        run(context, version, "console-producer", "--topic", topic, *extra,
            stdin=keyed if number == 2 else "".join(f"{line}\n" for line in lines))
    group = context.name("older")
    out = run(context, version, "console-consumer", "--topic", topic, "--from-beginning",
              "--max-messages", 1500, "--timeout-ms", 30000)
    equal(sorted(out.split("\n")[:-1]), sorted(lines * 3), "all lines, without a group")
    out = run(context, version, "console-consumer", "--topic", topic, "--group", group,
              "--consumer-property", "auto.offset.reset=earliest", "--max-messages", 1000,
              "--timeout-ms", 30000)
    equal(out.count("\n"), 1000, "lines of the group")
    out += run(context, version, "console-consumer", "--topic", topic, "--group", group,
               "--max-messages", 500, "--timeout-ms", 30000)
    equal(sorted(out.split("\n")[:-1]), sorted(lines * 3), "the group goes on where it was")
    out = run(context, version, "console-consumer", "--topic", topic, "--partition", 0,
              "--offset", 1, "--max-messages", 1)
    equal(out.count("\n"), 1, "one line by partition and offset")
    run(context, version, "topics", "--delete", "--topic", topic)


@needs("java", "slow")
def test_older_tools_2_8(context):
    generation(context, "2.8.2")


@needs("java", "slow")
def test_older_tools_3_9(context):
    generation(context, "3.9.1")
