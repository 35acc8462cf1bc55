"""scikit-learn's, SciPy's and seqeval's figures on random and degenerate cases: writes task_metrics.json beside this script.

Needs scikit-learn, scipy and seqeval.
"""

import json
import warnings
from pathlib import Path

import numpy as np
import scipy
import sklearn
from scipy.stats import pearsonr, rankdata, spearmanr
from seqeval.metrics import f1_score as span_f1
from seqeval.metrics import precision_score as span_precision
from seqeval.metrics import recall_score as span_recall
from sklearn.metrics import (
    accuracy_score,
    confusion_matrix,
    f1_score,
    label_ranking_average_precision_score,
    matthews_corrcoef,
)

random = np.random.default_rng(46)


def number(value):
    """JSON has no NaN."""
    return None if np.isnan(value) else float(value)


def classification():
    cases = []
    for classes, count, hit in [(2, 40, 0.7), (2, 1043, 0.8), (2, 7, 0.5), (3, 200, 0.6), (3, 500, 0.33), (17, 900, 0.5), (5, 6, 0.5)]:
        labels = random.integers(0, classes, count)
        predictions = np.where(random.random(count) < hit, labels, random.integers(0, classes, count))
        cases.append((classes, labels, predictions))
    # One class in the labels, in the predictions, in both; all wrong; one example; a class that nobody shows.
    cases += [
        (2, [1] * 9, [0, 1] * 4 + [1]),
        (2, [0, 1] * 5, [1] * 10),
        (2, [0, 1] * 5, [0] * 10),
        (2, [1] * 4, [1] * 4),
        (2, [0] * 4, [0] * 4),
        (2, [0] * 4, [1] * 4),
        (2, [0, 1], [1, 0]),
        (2, [1], [1]),
        (2, [1], [0]),
        (4, [0, 2, 2, 0, 0], [2, 2, 0, 0, 0]),
        (3, [0, 0, 1, 1], [2, 2, 2, 2]),
    ]
    result = []
    for classes, labels, predictions in cases:
        labels, predictions = np.asarray(labels), np.asarray(predictions)
        result.append(
            {
                "classes": classes,
                "labels": labels.tolist(),
                "predictions": predictions.tolist(),
                "confusion": confusion_matrix(labels, predictions, labels=range(classes)).ravel().tolist(),
                "accuracy": accuracy_score(labels, predictions),
                "f1": f1_score(labels, predictions, labels=[1], average="macro", zero_division=0),
                "f1Macro": f1_score(labels, predictions, average="macro", zero_division=0),
                "matthews": matthews_corrcoef(labels, predictions),
            }
        )
    return result


def correlation():
    cases = []
    for count in (2, 3, 10, 1500):
        x = random.normal(size=count)
        cases.append((x, 0.6 * x + random.normal(size=count)))
    ties = np.round(random.uniform(0, 5, 300) * 2) / 2
    cases += [
        (ties, ties + random.normal(size=300)),
        (ties, np.round(ties + random.normal(size=300))),
        (ties, -ties),
        ([1, 2, 3], [2, 4, 6]),
        ([1, 2, 3], [3, 2, 1]),
        # Constant sides, also of a value whose mean is not exact in binary.
        ([1, 2, 3, 4], [2, 2, 2, 2]),
        ([0.1] * 7, list(range(7))),
        ([0.1] * 7, [0.3] * 7),
        # Far from zero, tiny, huge.
        (1e9 + random.normal(size=50), random.normal(size=50)),
        (1e-200 * random.normal(size=50), random.normal(size=50)),
        (1e200 * random.normal(size=50), random.normal(size=50)),
        ([1, 2, float("nan"), 4], [1, 2, 3, 4]),
    ]
    result = []
    for x, y in cases:
        x, y = np.asarray(x, dtype=float), np.asarray(y, dtype=float)
        result.append(
            {
                "x": [number(v) for v in x],
                "y": y.tolist(),
                "pearson": number(pearsonr(x, y)[0]),
                "spearman": number(spearmanr(x, y)[0]),
            }
        )
    return result


def ranks():
    values = [random.integers(0, 5, 30), random.normal(size=10), [3, 3, 3], [1]]
    return [{"values": np.asarray(v).tolist(), "ranks": rankdata(v).tolist()} for v in values]


def ranking():
    """The mean reciprocal rank with ties at their last place is label ranking average precision with one right label."""
    result = []
    for questions, candidates, rounded in [(50, 2, False), (80, 9, False), (60, 6, True), (1, 1, False), (20, 4, None)]:
        scores, labels, groups, reciprocal, first = [], [], [], [], []
        for question in range(questions):
            size = int(random.integers(1, candidates + 1))
            s = random.normal(size=size)
            if rounded:
                s = np.round(s)
            if rounded is None:
                s = np.zeros(size)
            right = int(random.integers(0, size))
            truth = np.eye(size, dtype=int)[right]
            reciprocal.append(1.0 if size == 1 else label_ranking_average_precision_score(truth[None], s[None]))
            first.append(bool(all(s[right] > s[i] for i in range(size) if i != right)))
            scores += s.tolist()
            labels += truth.tolist()
            groups += [question] * size
        result.append(
            {
                "scores": scores,
                "labels": labels,
                "groups": groups,
                "accuracyAt1": float(np.mean(first)),
                "meanReciprocalRank": float(np.mean(reciprocal)),
            }
        )
    return result


def spans():
    alphabets = [
        ["O", "B-PER", "I-PER", "B-LOC", "I-LOC"],
        ["O", "I-PER", "I-LOC"],
        ["O", "B-A", "I-A", "E-A", "S-A", "B-B-C", "I-B-C", "E-B-C", "S-B-C"],
        ["B", "I", "O"],
        ["O"],
    ]
    result = []
    for alphabet in alphabets:
        labels, predictions = [], []
        for _ in range(30):
            size = int(random.integers(1, 12))
            truth = random.choice(alphabet, size)
            labels.append(truth.tolist())
            predictions.append(np.where(random.random(size) < 0.8, truth, random.choice(alphabet, size)).tolist())
        result.append(
            {
                "labels": labels,
                "predictions": predictions,
                "f1": float(span_f1(labels, predictions)),
                "precision": float(span_precision(labels, predictions)),
                "recall": float(span_recall(labels, predictions)),
            }
        )
    return result


def main():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        result = {
            "versions": {"scikit-learn": sklearn.__version__, "scipy": scipy.__version__},
            "classification": classification(),
            "correlation": correlation(),
            "ranks": ranks(),
            "ranking": ranking(),
            "spans": spans(),
        }
    Path(__file__).with_suffix(".json").write_text(json.dumps(result, allow_nan=False, separators=(",", ":")) + "\n")


main()
