"""A run in lanes: processes beside each other that each take the next modules when theirs are done.

The tests wait most of the time, for brokers that start, disks, groups that come together. Those of a module stay in
one lane and in their order; each lane has a shared broker and tools of its own. What failed comes back by name, so that
the caller has its second tries when the lanes are done and the machine is quiet.
"""
import multiprocessing
import queue
import signal
import traceback

import brokers

# Those that take longest go first, so that no lane is left with one of them at the end.
LONGEST = ["test_crash", "test_bad_input", "test_clients", "test_groups", "test_differential"]
# One after the other in one lane: they look for what other runs of ./dev compare leave in build/.
TOGETHER = "test_bench"


def in_order(modules, first):
    """Lists of modules, each for one lane: the quickest to say that something is wrong, the longest, the rest as they are."""
    together = [m for m in modules if m.startswith(TOGETHER)]
    front = [m for m in [*first, *LONGEST] if m in modules]
    alone = front + [m for m in modules if m not in front and m not in together]
    return ([together] if together else []) + [[m] for m in alone]


def _lane(number, todo, results, make_context, run_module):
    brokers.take_lane(number)
    try:
        context = make_context()
        try:
            while (some := todo.get()) is not None:
                for module in some:
                    results.put(("module", run_module(context, module)))
        finally:
            for number_of_signal in (signal.SIGINT, signal.SIGTERM):
                signal.signal(number_of_signal, signal.SIG_IGN)  # one is enough
            try:
                context.close()
            finally:
                brokers.end_all()  # a forked process runs no exit handlers
    except KeyboardInterrupt:
        results.put(("lost", f"lane {number} was interrupted"))
        return
    except BaseException:  # whatever else ends it: that is told, and the run fails
        results.put(("lost", f"lane {number} ended: {traceback.format_exc()}"))
        raise
    results.put(("end", number))


def _collect(lanes, results):
    """What run_module returned, as it comes; RuntimeError if a lane ended before its time."""
    ended = 0
    while ended < len(lanes):
        try:
            kind, value = results.get(timeout=5)
        except queue.Empty:
            if any(lane.exitcode not in (None, 0) for lane in lanes):
                raise RuntimeError("a lane of the client tests was killed") from None
            continue
        if kind == "lost":
            raise RuntimeError(value)
        ended += kind == "end"
        if kind == "module":
            yield value


def run(count, lists, make_context, run_module):
    """Calls run_module(context, name) for each module of the lists in `count` processes, each with its own
    make_context(); yields the answers in no order."""
    fork = multiprocessing.get_context("fork")
    todo, results = fork.Queue(), fork.Queue()
    for some in [*lists, *[None] * count]:
        todo.put(some)
    lanes = [fork.Process(target=_lane, args=(n, todo, results, make_context, run_module)) for n in range(count)]
    for lane in lanes:
        lane.start()
    try:
        yield from _collect(lanes, results)
    except BaseException:
        for lane in lanes:
            lane.terminate()  # it takes its brokers along, see run.py
        raise
    finally:
        for lane in lanes:
            lane.join(timeout=120)
            if lane.is_alive():
                lane.kill()
                lane.join()
