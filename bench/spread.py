"""spread: what another run of the same length may be expected to give.

The least and the most of n rounds do not say that. Even if nothing changes between two runs, the median of a second run of
three rounds falls outside the range of the first in 40 % of cases (of the six turns the best two, or the worst two, are both
the second run's: 2 x 3/15). What does is a prediction interval for the median of n further rounds.

On a logarithmic scale (rates and latencies vary by factors) take rounds x1..xn of one normal distribution, and n more of
it, y1..yn. (median(y) - median(x)) / s(x), s the sample's deviation, has a distribution that depends on n alone: Student's t with
n - 1 degrees of freedom for means (Hahn and Meeker, Statistical Intervals, section 4.8: a future sample's mean), somewhat wider
for medians, as they vary more and are not independent of s. FACTORS holds the number that |it| exceeds in 5 % of cases, from
3,000,000 draws for each n (two medians of two are means, so there it is t's 12.7); tests/compat/test_bench_spread.py draws anew.
"""
import math
import statistics

FACTORS = {2: 12.70, 3: 3.849, 4: 2.387, 5: 2.010, 6: 1.638, 7: 1.535, 8: 1.339, 9: 1.293, 10: 1.167, 11: 1.141, 12: 1.048,
           13: 1.034, 14: 0.961, 15: 0.952}
STEP = math.log(1 + 1 / 32)  # of the latency histogram (base/hist.h): the same latency may be told as the next one


def factor(n):
    """Beyond the table the width shrinks as the root of n: a little too wide, since Student's t shrinks as well."""
    last = max(FACTORS)
    return FACTORS[n] if n <= last else FACTORS[last] * math.sqrt(last / n)


def expected(values, step=STEP):
    """(least, most) between which the median of as many further rounds lies in 95 % of cases; None for a single round.

    Never narrower than one step of the histogram to either side. Figures that reach 0 have no logarithm: there the
    interval is taken on a plain scale, and ends at 0.
    """
    n, middle = len(values), statistics.median(values)
    if n < 2:
        return None
    if min(values) <= 0:
        half = factor(n) * statistics.stdev(values)
        return max(0.0, middle - half), middle + half
    half = max(step, factor(n) * statistics.stdev([math.log(v) for v in values]))
    half = min(half, math.log(1e6))  # two rounds that have nothing in common say nothing
    return middle * math.exp(-half), middle * math.exp(half)


def misses_allowed(checks, share=0.05, doubt=0.01):
    """So many of the checks may miss an interval of 95 % that more of them are chance in at most 1 % of cases."""
    left = 1.0
    for misses in range(checks + 1):
        left -= math.comb(checks, misses) * share ** misses * (1 - share) ** (checks - misses)
        if left <= doubt:
            return misses
    return checks
