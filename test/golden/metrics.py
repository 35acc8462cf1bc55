"""scikit-learn's and scipy's figures on random confusions: writes metrics.json beside this script."""

import json
import math
import warnings
from pathlib import Path

import numpy as np
import scipy
import sklearn
from scipy.stats import binomtest
from sklearn.metrics import balanced_accuracy_score, confusion_matrix, f1_score


def main():
    random = np.random.default_rng(11)
    confusions = []
    for classes, count, bias in [(2, 50, 0.5), (2, 1000, 0.05), (2, 30, 0.0), (2, 400, 1.0), (3, 200, 0.3), (5, 90, 0.2)]:
        labels = random.choice(classes, count, p=None if classes > 2 else [1 - bias, bias])
        hit = random.random(count) < 0.7
        predictions = np.where(hit, labels, random.integers(0, classes, count))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            balanced = balanced_accuracy_score(labels, predictions)
        confusions.append(
            {
                "classes": classes,
                "confusion": confusion_matrix(labels, predictions, labels=range(classes)).ravel().tolist(),
                "balancedAccuracy": balanced,
                "f1": [
                    f1_score(labels, predictions, labels=[c], average=None, zero_division=0)[0] for c in range(classes)
                ],
            }
        )
    # Nothing of class 1 at all, neither as label nor as prediction.
    confusions.append({"classes": 2, "confusion": [10, 0, 0, 0], "balancedAccuracy": 1.0, "f1": [1.0, 0.0]})

    intervals = []
    for correct, count in [(0, 10), (10, 10), (5, 10), (722, 1000), (2160, 3000), (1, 1), (504, 1000)]:
        interval = binomtest(correct, count).proportion_ci(0.95, method="wilson")
        intervals.append({"correct": correct, "count": count, "low": interval.low, "high": interval.high})

    perplexities = [{"loss": loss, "perplexity": math.exp(loss)} for loss in (0.0, 1.5, 4.56, 9.01)]
    versions = {"scikit-learn": sklearn.__version__, "scipy": scipy.__version__}
    result = {"versions": versions, "confusions": confusions, "intervals": intervals, "perplexities": perplexities}
    Path(__file__).with_suffix(".json").write_text(json.dumps(result, indent=1) + "\n")


main()
