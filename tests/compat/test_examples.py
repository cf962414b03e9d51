"""Every lab of examples/ runs as its README says."""
import os
import subprocess
from pathlib import Path

from runner import check, needs

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


def run(context, name):
    """Against a broker that was just started, as a newcomer has it."""
    broker = context.fresh()
    done = subprocess.run([EXAMPLES / name], env=dict(os.environ, BROKER=broker.address), capture_output=True,
                          text=True, timeout=900)
    check(done.returncode == 0 and done.stdout.rstrip().endswith("done"),
          f"{name} ended with {done.returncode}\n{done.stdout[-1500:]}\n{done.stderr[-1500:]}")


@needs("java", "slow")
def test_examples_first_topic(context):
    run(context, "first_topic.sh")


@needs("slow")
def test_examples_json_events(context):
    run(context, "json_events.sh")


@needs("slow")
def test_examples_group_of_two(context):
    run(context, "group_of_two.sh")


@needs("slow")
def test_examples_node(context):
    run(context, "node.sh")


@needs("java", "slow")
def test_examples_connect(context):
    run(context, "connect.sh")


@needs("slow", "sluice")
def test_examples_restart(context):
    run(context, "restart.sh")


@needs("slow")
def test_examples_replay(context):
    run(context, "replay.sh")
