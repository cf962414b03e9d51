"""starts: the rows without records: from exec to ready, and the memory that a broker holds."""
import time

WAIT_S = 300
POLL_S = 0.005


def memory(pid):
    """(MiB of its own, MiB of shared memory) resident: what lies in pools that are mapped by name is told apart."""
    kib = {}
    with open(f"/proc/{pid}/status", encoding="ascii") as file:
        for line in file:
            key, _, value = line.partition(":")
            if key in ("RssAnon", "RssFile", "RssShmem"):
                kib[key] = int(value.split()[0])
    return (kib["RssAnon"] + kib["RssFile"]) / 1024, kib["RssShmem"] / 1024


def all_serve(broker, topic, partitions):
    import client
    try:
        with broker.connect() as c:
            return client.leaders_serve(c, topic, partitions)
    except (OSError, client.Closed, client.NoAnswer):
        return False


def restart(broker, topic, partitions):
    """A clean stop, then the time from exec until every partition answers."""
    broker.inner.stop(WAIT_S)
    begin = time.monotonic()
    broker.start(POLL_S, WAIT_S)
    while not all_serve(broker, topic, partitions):
        if time.monotonic() > begin + WAIT_S:
            raise RuntimeError(f"{broker.title}: {topic} does not answer {WAIT_S} s after the start")
        time.sleep(POLL_S)
    seconds = time.monotonic() - begin
    own, pools = memory(broker.process.pid)
    return {"records": 0, "ready_s": seconds, "own_mib": own, "pools_mib": pools}


def after_load(broker, started, load):
    """What a broker holds that was just `started`, and what it holds after a load, which `load` runs."""
    r = load()
    own, pools = memory(broker.process.pid)
    return {"records": 0, "bytes": r["bytes"], "started_mib": started["own_mib"], "own_mib": own, "pools_mib": pools}
