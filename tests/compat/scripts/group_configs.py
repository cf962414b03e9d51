"""Settings of groups (GROUP resources): describe, alter, list; what they are checked against."""
from scripts.configs import APPEND, BROKER, CLIENT_METRICS, DELETE, GROUP, LOGGER, SET, SUBTRACT
from scripts.configs import TOPIC, alter, describe
from scripts.consumer_groups import A, BEAT, beat, create_known, joining, know
from scripts.groups import coordinator

SESSION, HEARTBEAT = "consumer.session.timeout.ms", "consumer.heartbeat.interval.ms"
KEYS = [SESSION, HEARTBEAT, "consumer.assignment.interval.ms"]
# Those of share and streams groups, which Sluice does not have.
OTHERS = {"share.session.timeout.ms": "45000", "share.record.lock.duration.ms": "15000",
          "share.isolation.level": "read_committed", "streams.heartbeat.interval.ms": "5000",
          "streams.num.standby.replicas": "1"}


def describe_group_configs(s):
    """DescribeConfigs of groups: every key, filters, synonyms, groups that nobody knows."""
    for v in s.versions("DescribeConfigs"):
        answer = s.quiet("DescribeConfigs", v, {
            "resources": [{"resourceType": GROUP, "resourceName": "gc-nobody",
                           "configurationKeys": None}],
            "includeSynonyms": True, "includeDocumentation": True})
        for entry in answer["results"][0]["configs"]:
            if entry["name"] in KEYS:
                s.note(f"{entry['name']} (DescribeConfigs v{v})", s.normalise(entry))
        describe(s, "all keys", v, (GROUP, "gc-nobody", None))
        describe(s, "consumer keys", v, (GROUP, "gc-nobody", KEYS))
        describe(s, "one key", v, (GROUP, "gc-nobody", [SESSION]))
        describe(s, "unknown key", v, (GROUP, "gc-nobody", ["no.such.key", HEARTBEAT]))
        describe(s, "empty name", v, (GROUP, "", None))
        describe(s, "odd names", v, (GROUP, "a b/c", [SESSION]), (GROUP, "grüße", [SESSION]))
        describe(s, "group twice", v, (GROUP, "gc-nobody", [SESSION]),
                 (GROUP, "gc-nobody", [HEARTBEAT]))
        describe(s, "all keys, none named", v, (GROUP, "gc-nobody", []))


def alter_group_configs(s):
    """IncrementalAlterConfigs of groups: good and bad values, limits of the broker."""
    for v in s.versions("IncrementalAlterConfigs"):
        g = f"gc{v}"

        def look(name):
            for group in (g, "gc-none"):
                describe(s, f"{name}: {group} now", 4, (GROUP, group, KEYS), includeSynonyms=True)

        def one(name, key, operation, value, wait=None, **more):
            alter(s, name, v, (GROUP, g, [(key, operation, value)]), **more)
            if wait is not None:
                s.wait_config(GROUP, g, key, wait)
            look(name)
        one("set", SESSION, SET, "50000", "50000")
        one("set again", SESSION, SET, "55000", "55000")
        one("set another", HEARTBEAT, SET, "6000", "6000")
        one("validate only", SESSION, SET, "45000", validate=True)
        one("validate only, bad", SESSION, SET, "5", validate=True)
        one("spaces", SESSION, SET, " 51000 ", "51000")
        one("delete", SESSION, DELETE, None, "45000")
        one("delete again", SESSION, DELETE, None)
        one("delete with a value", HEARTBEAT, DELETE, "5", "5000")
        for key, values in ((SESSION, ("44999", "45000", "60000", "60001", "0", "-1", "soon", "",
                                       "99999999999", "45000.5")),
                            (HEARTBEAT, ("4999", "15000", "15001", "0", "-5", "x")),
                            ("consumer.assignment.interval.ms", ("-1", "0", "15000", "15001"))):
            for value in values:
                alter(s, f"{key}={value}", v, (GROUP, g, [(key, SET, value)]), validate=True)
        one("null", SESSION, SET, None)
        one("append", SESSION, APPEND, "5")
        one("subtract", SESSION, SUBTRACT, "5")
        one("operation 4", SESSION, 4, "5")
        one("unknown key", "no.such.key", SET, "1")
        one("delete unknown key", "no.such.key", DELETE, None)
        one("empty key", "", SET, "1")
        alter(s, "empty name", v, (GROUP, "", [(SESSION, SET, "50000")]))
        alter(s, "key twice", v, (GROUP, g, [(SESSION, SET, "50000"), (SESSION, SET, "50001")]))
        alter(s, "group twice", v, (GROUP, g, [(SESSION, SET, "50000")]),
              (GROUP, g, [(SESSION, SET, "50001")]))
        alter(s, "session under heartbeat", v, (GROUP, g, [(SESSION, SET, "45000"),
                                                           (HEARTBEAT, SET, "46000")]))
        alter(s, "good and bad keys", v, (GROUP, g, [(SESSION, SET, "50000"),
                                                     (HEARTBEAT, SET, "x")]))
        alter(s, "good and bad groups", v, (GROUP, g, [(SESSION, SET, "52000")]),
              (GROUP, "", [(SESSION, SET, "52000")]), (GROUP, f"{g}-b", [(SESSION, SET, "1")]))
        s.wait_config(GROUP, g, SESSION, "52000")
        look("after good and bad groups")
        alter(s, "nothing", v, (GROUP, g, []))
        look("at the end")
        one("cleared", SESSION, DELETE, None, "45000")


def other_group_configs(s):
    """Keys of share and streams groups."""
    for v in s.versions("IncrementalAlterConfigs"):
        for key, value in OTHERS.items():
            alter(s, key, v, (GROUP, "go", [(key, SET, value)]), validate=True)


def replace_group_configs(s):
    """AlterConfigs of groups: what is not named falls back."""
    for v in s.versions("AlterConfigs"):
        g = f"gr{v}"

        def ask(name, *resources, **more):
            alter(s, name, v, *resources, api="AlterConfigs", **more)
        ask("set", (GROUP, g, [(SESSION, 0, "50000"), (HEARTBEAT, 0, "6000")]))
        s.wait_config(GROUP, g, SESSION, "50000")
        ask("validate only", (GROUP, g, [(SESSION, 0, "51000")]), validate=True)
        ask("one of them", (GROUP, g, [(HEARTBEAT, 0, "7000")]))
        s.wait_config(GROUP, g, SESSION, "45000")
        describe(s, "replaced", 4, (GROUP, g, [SESSION, HEARTBEAT]), includeSynonyms=True)
        ask("bad", (GROUP, g, [(SESSION, 0, "5")]))
        ask("null", (GROUP, g, [(SESSION, 0, None)]))
        ask("empty name", (GROUP, "", [(SESSION, 0, "50000")]))
        ask("nothing named", (GROUP, g, []))
        s.wait_config(GROUP, g, HEARTBEAT, "5000")
        describe(s, "cleared", 4, (GROUP, g, [SESSION, HEARTBEAT]), includeSynonyms=True)


def group_configs_in_force(s):
    """What a member of the newer protocol is told; the settings outlive the group."""
    coordinator(s, "gf")
    create_known(s, "gf-a", group="gf")
    know(s, "gf-a", "gf-other")
    s.ask("join", BEAT, 1, joining("gf", "gf-a"))
    alter(s, "set", 1, (GROUP, "gf", [(HEARTBEAT, SET, "7000")]))
    s.wait_config(GROUP, "gf", HEARTBEAT, "7000")
    s.wait("the member hears of it", lambda: s.quiet(BEAT, 1, joining("gf", "gf-a"))[
        "heartbeatIntervalMs"] == 7000)
    s.ask("again", BEAT, 1, joining("gf", "gf-a"))
    s.ask("another group", BEAT, 1, joining("gf-other", "gf-a"))
    s.ask("leave", BEAT, 1, beat("gf", A, -1))
    s.ask("leave the other", BEAT, 1, beat("gf-other", A, -1))
    s.ask("delete the group", "DeleteGroups", 2, {"groupsNames": ["gf"]})
    describe(s, "after the group", 4, (GROUP, "gf", [HEARTBEAT]), includeSynonyms=True)


def restarted_group_configs(s):
    """Settings of groups survive a restart."""
    alter(s, "set", 1, (GROUP, "grs", [(SESSION, SET, "50000")]))
    s.wait_config(GROUP, "grs", SESSION, "50000")
    s.restart()
    s.wait_config(GROUP, "grs", SESSION, "50000")
    describe(s, "after", 4, (GROUP, "grs", KEYS), includeSynonyms=True)
    alter(s, "clear", 1, (GROUP, "grs", [(SESSION, DELETE, None)]))
    s.wait_config(GROUP, "grs", SESSION, "45000")


def list_config_resources(s):
    """ListConfigResources: by type, of types without any, of types that there are not."""
    alter(s, "a group's", 1, (GROUP, "gl", [(SESSION, SET, "50000")]))
    s.wait_config(GROUP, "gl", SESSION, "50000")
    s.create("gl-topic")

    def ask(name, v, types):
        s.ask(name, "ListConfigResources", v, {"resourceTypes": types})
    for v in s.versions("ListConfigResources"):
        ask("none named", v, [])
        if v == 0:
            continue
        ask("groups", v, [GROUP])
        ask("groups twice", v, [GROUP, GROUP])
        ask("groups and metrics", v, [GROUP, CLIENT_METRICS])
        ask("brokers", v, [BROKER])
        ask("loggers", v, [LOGGER])
        for kind in (0, 1, 3, 64, -1, 127):
            ask(f"kind {kind}", v, [kind])
            ask(f"kind {kind} and groups", v, [GROUP, kind])
        answer = s.quiet("ListConfigResources", v, {"resourceTypes": [TOPIC]})
        s.note(f"topics (v{v})", [r for r in answer["configResources"]
                                  if r["resourceName"].startswith("gl-")])
    alter(s, "cleared", 1, (GROUP, "gl", [(SESSION, DELETE, None)]))
    s.wait_config(GROUP, "gl", SESSION, "45000")
    s.ask("no group has settings", "ListConfigResources", 1, {"resourceTypes": [GROUP]})


SCRIPTS = [describe_group_configs, alter_group_configs, other_group_configs,
           replace_group_configs, group_configs_in_force, list_config_resources, restarted_group_configs]
