#!/bin/sh
# A short walk of every fuzz target from nothing with a fixed seed: finds what is broken, not what is
# rare (./dev fuzz runs longer). Prints "N passed, N failed, N skipped"; status 1 if one failed.
#   tests/fuzz/smoke.sh <build directory made with -Dfuzz=true> [runs] [seconds]
build=${1:?build directory} runs=${2:-20000} seconds=${3:-5}
passed=0 failed=0 skipped=0
for target in "$build"/tests/fuzz/*/fuzz_*; do
    [ -f "$target" ] && [ -x "$target" ] || continue
    name=$(basename "$target")
    out=$(mktemp)
    if "$target" -runs="$runs" -max_total_time="$seconds" -seed=1 -max_len=4096 -rss_limit_mb=4096 \
        -artifact_prefix="$build/$name-" >"$out" 2>&1; then
        passed=$((passed + 1))
        echo "pass fuzz/$name"
    else
        failed=$((failed + 1))
        echo "FAIL fuzz/$name"
        tail -n 40 "$out"
    fi
    rm -f "$out"
done
[ $((passed + failed)) -gt 0 ] || { skipped=1; echo "skip: no fuzz target in $build"; }
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" -eq 0 ]
