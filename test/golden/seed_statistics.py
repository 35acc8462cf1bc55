"""SciPy's and NumPy's figures for the comparison of runs: writes seed_statistics.json beside this script.

Needs numpy and scipy. Holm's correction is written out here; the hierarchical bootstrap is enumerated exactly on tiny
tables; the convergence factors are worked out step by step with scipy.signal.medfilt.
"""

import itertools
import json
from pathlib import Path

import numpy as np
import scipy
from scipy import integrate, optimize, signal, stats

random = np.random.default_rng(95)


def quantiles():
    probabilities = [1e-6, 0.005, 0.1, 0.4999, 0.5, 0.6, 0.9, 0.95, 0.975, 0.995, 1 - 1e-9]
    degrees = list(range(1, 201)) + [0.5, 2.75, 1000, 100000]
    return {
        "probabilities": probabilities,
        "rows": [{"degrees": d, "quantiles": stats.t.ppf(probabilities, d).tolist()} for d in degrees],
    }


def tails():
    points = [0.0, 0.001, 0.3, 1.0, 2.5, 12.0, 400.0]
    return [
        {"degrees": d, "points": points, "tails": (2 * stats.t.sf(points, d)).tolist()} for d in [1, 2, 3, 9, 50, 200]
    ]


def summaries():
    cases = [random.normal(80, 3, n) for n in (2, 3, 5, 10, 40)] + [1e9 + random.normal(size=5)]
    result = []
    for values in cases:
        low, high = stats.t.interval(0.95, len(values) - 1, loc=values.mean(), scale=stats.sem(values))
        low99, high99 = stats.t.interval(0.99, len(values) - 1, loc=values.mean(), scale=stats.sem(values))
        result.append(
            {
                "values": values.tolist(),
                "mean": values.mean(),
                "standardDeviation": values.std(ddof=1),
                "interval": [low, high],
                "interval99": [low99, high99],
            }
        )
    return result


def effect(degrees, power, alpha):
    """The noncentrality of that power; the spread of the estimated deviation is integrated out, without noncentral t."""
    critical = stats.t.ppf(1 - alpha / 2, degrees)
    spread = stats.chi(degrees, scale=degrees**-0.5)

    def miss(delta):
        def rejected(s):
            return (stats.norm.sf(critical * s - delta) + stats.norm.cdf(-critical * s - delta)) * spread.pdf(s)

        middle = delta / critical
        points = sorted(max(1e-9, middle + step / critical) for step in (-8, -4, -2, 0, 2, 4, 8))
        edges = [0.0, *points, points[-1] + 8 * degrees**-0.5 + 8]
        return sum(integrate.quad(rejected, a, b, epsabs=1e-14, epsrel=1e-13)[0] for a, b in itertools.pairwise(edges)) - power

    return optimize.brentq(miss, 0.5, 200, xtol=1e-12, rtol=1e-13)


def effects():
    result = {"paired": []}
    for n in (2, 3, 4, 5, 6, 8, 10, 16, 30):
        for power, alpha in ((0.8, 0.05), (0.9, 0.01)):
            result["paired"].append({"n": n, "power": power, "alpha": alpha, "d": effect(n - 1, power, alpha) / n**0.5})
    return result


def paired():
    cases = []
    for n in (2, 3, 5, 8, 12):
        baseline = random.normal(70, 2, n)
        cases.append((baseline + random.normal(1, 1, n), baseline))
    # Whole numbers, so that many flips tie exactly; one list all on one side; one mostly zeros.
    cases.append((random.integers(0, 4, 10), random.integers(0, 4, 10)))
    cases.append((np.array([5, 7, 9, 4, 8]), np.array([4, 5, 6, 2, 3])))
    cases.append((np.array([1, 0, 0, 0, 3, 0]), np.zeros(6)))
    cases.append((random.integers(60, 90, 16), random.integers(60, 85, 16)))
    result = []
    for other, baseline in cases:
        other, baseline = np.asarray(other, float), np.asarray(baseline, float)
        t = stats.ttest_rel(other, baseline)
        interval = t.confidence_interval(0.95)
        flips = stats.permutation_test(
            (other, baseline),
            lambda x, y, axis: np.sum(x - y, axis=axis),
            permutation_type="samples",
            vectorized=True,
            n_resamples=np.inf,
        )
        assert len(flips.null_distribution) == 2 ** len(other)
        result.append(
            {
                "other": other.tolist(),
                "baseline": baseline.tolist(),
                "t": t.statistic,
                "degrees": int(t.df),
                "p": t.pvalue,
                "interval": [interval.low, interval.high],
                "signFlip": flips.pvalue,
            }
        )
    return result


def monte_carlo():
    """A list above 16 seeds, with the p-value of all 2^20 flips, which a sampled one must come near to."""
    differences = np.round(random.normal(0.5, 1.2, 20), 2)
    null = np.zeros(1)
    for d in differences:
        null = np.concatenate([null + d, null - d])
    return {"differences": differences.tolist(), "p": float(np.mean(np.abs(null) >= abs(differences.sum()) - 1e-9))}


def holm(p):
    order = np.argsort(p, kind="stable")
    adjusted = np.empty(len(p))
    running = 0.0
    for rank, index in enumerate(order):
        running = max(running, min(1.0, (len(p) - rank) * p[index]))
        adjusted[index] = running
    return adjusted.tolist()


def corrections():
    cases = [[0.01, 0.04, 0.03, 0.005], [0.5, 0.5, 0.5], [0.02], [0.01, 0.01, 0.9, 1.0], random.random(12).tolist()]
    return [{"p": p, "adjusted": holm(p)} for p in cases]


def bootstraps():
    """Every resample of a tiny (seeds, examples) table: examples are drawn once and serve all seeds."""
    result = []
    for seeds, examples, shift in ((2, 4, 0.4), (3, 3, 0.8), (3, 5, 0.0)):
        table = np.round(random.normal(shift, 1, (seeds, examples)), 3)
        for layers in ("seeds", "examples", "both"):
            rows = itertools.product(range(seeds), repeat=seeds) if layers != "examples" else [tuple(range(seeds))]
            columns = itertools.product(range(examples), repeat=examples) if layers != "seeds" else [tuple(range(examples))]
            by_rows = np.array([table[list(r)].mean(0) for r in rows])
            picks = np.array([np.bincount(c, minlength=examples) / examples for c in columns])
            means = (by_rows @ picks.T).ravel()
            result.append(
                {
                    "table": table.tolist(),
                    "layers": layers,
                    "mean": table.mean(),
                    "deviation": means.std(),
                }
            )
    return result


def convergence():
    result = []
    for case in range(6):
        steps = 50 * np.arange(1, 21)
        rates = random.uniform(100, 400, 2)
        baseline, other = (
            np.round(0.35 + random.uniform(0.4, 0.5) * (1 - np.exp(-steps / r)) + random.normal(0, 0.02, 20), 4)
            for r in rates
        )
        # The ends have no centred window.
        smooth = [signal.medfilt(curve, 3)[1:-1] for curve in (baseline, other)]
        target = min(smooth[0].max(), smooth[1].max())
        reached = [int(steps[1:-1][np.argmax(curve >= target)]) for curve in smooth]
        result.append(
            {
                "steps": steps.tolist(),
                "baseline": baseline.tolist(),
                "other": other.tolist(),
                "target": target,
                "reached": reached,
                "factor": reached[0] / reached[1],
            }
        )
    return result


def median_intervals():
    """Order statistics: rank k and n + 1 - k cover the median with probability 1 - 2 P(Binomial(n, 1/2) < k)."""
    result = []
    for n in (1, 2, 5, 6, 9, 15, 20):
        k = max([k for k in range(1, n // 2 + 1) if 1 - 2 * stats.binom.cdf(k - 1, n, 0.5) >= 0.95], default=1)
        result.append({"n": n, "rank": k, "coverage": max(0.0, 1 - 2 * stats.binom.cdf(k - 1, n, 0.5))})
    return result


def states(rows, width, offset, seed):
    """Whole numbers from a linear congruential generator, the same in the test: the table needs no copy of the states."""
    values, state = np.empty(rows * width), seed
    for i in range(rows * width):
        state = (state * 1103515245 + 12345) % 2**31
        values[i] = state % 2001 - 1000 + offset
    return values.reshape(rows, width)


def cka(x, y):
    x, y = x - x.mean(0), y - y.mean(0)
    norm = np.linalg.norm
    return norm(y.T @ x) ** 2 / (norm(x.T @ x) * norm(y.T @ y))


def ckas():
    result = []
    for rows, widths, offset in ((7, (3, 5), 0), (200, (16, 24), 0), (333, (5, 5), 100000), (50, (64, 32), -300), (64, (1, 1), 0)):
        x, y = states(rows, widths[0], offset, 1), states(rows, widths[1], offset, 2)
        # A part of x in y: similarity is not only chance.
        width = min(widths)
        y[:, :width] += 2 * x[:, :width]
        result.append({"rows": rows, "widths": widths, "offset": offset, "cka": cka(x, y), "self": cka(x, x)})
    return result


def main():
    result = {
        "versions": {"numpy": np.__version__, "scipy": scipy.__version__},
        "quantiles": quantiles(),
        "tails": tails(),
        "summaries": summaries(),
        "effects": effects(),
        "paired": paired(),
        "monteCarlo": monte_carlo(),
        "corrections": corrections(),
        "bootstraps": bootstraps(),
        "convergence": convergence(),
        "medianIntervals": median_intervals(),
        "ckas": ckas(),
    }
    Path(__file__).with_suffix(".json").write_text(json.dumps(result, allow_nan=False, separators=(",", ":")) + "\n")


main()
