#include "bench/shim/shim.h"

#include <benchmark/benchmark.h>
#include <x86intrin.h>

#include <chrono>

/* Times are measured around each run of a burst and handed in, so that settling costs nothing that is reported. */
static void run_case(benchmark::State &state, const shim_case *c)
{
    void *ctx = c->setup();
    if (!ctx) {
        state.SkipWithError("setup failed");
        return;
    }
    uint64_t cycles = 0, events = 0, ops = 0;
    c->run(ctx, c->burst); /* warm */
    if (c->settle)
        c->settle(ctx);
    while (state.KeepRunningBatch(c->burst)) {
        uint64_t events_before = c->events();
        auto begin = std::chrono::steady_clock::now();
        uint64_t cycles_before = __rdtsc();
        c->run(ctx, c->burst);
        cycles += __rdtsc() - cycles_before;
        auto end = std::chrono::steady_clock::now();
        events += c->events() - events_before;
        ops += c->burst;
        state.SetIterationTime(std::chrono::duration<double>(end - begin).count());
        if (c->settle)
            c->settle(ctx);
    }
    state.counters["cycles"] = ops ? (double)cycles / (double)ops : 0;
    state.counters["allocs"] = ops ? (double)events / (double)ops : 0;
    shim_note note = {c->bytes, nullptr};
    if (c->describe)
        c->describe(ctx, &note);
    if (note.bytes)
        state.SetBytesProcessed((int64_t)(ops * note.bytes));
    if (note.label)
        state.SetLabel(note.label);
    c->teardown(ctx);
}

extern "C" void shim_add(const shim_case *c)
{
    benchmark::RegisterBenchmark(c->name, run_case, c)->UseManualTime();
}

extern "C" int shim_run(int argc, char **argv)
{
    benchmark::Initialize(&argc, argv);
    if (benchmark::ReportUnrecognizedArguments(argc, argv))
        return 1;
    size_t n = benchmark::RunSpecifiedBenchmarks();
    benchmark::Shutdown();
    return n ? 0 : 1;
}
