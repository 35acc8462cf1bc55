"""The SQuAD scripts' figures on random and nasty cases: writes squad_score.json beside this script.

SQuAD 1.1: the copy of the official script in the wheel of tf-models-official 2.15.0; SQuAD 2.0: the copy in transformers.
    pip download --no-deps tf-models-official==2.15.0 && unzip -d tf_models tf_models_official-*.whl
    PYTHON squad_score.py tf_models
A Python before 3.12 is expected: later ones add floats with another rounding.
"""

import importlib.util
import json
import logging
import random
import sys
import types
import unicodedata
from pathlib import Path
from types import SimpleNamespace

from transformers.data.metrics.squad_metrics import normalize_answer, squad_evaluate

PIECES = [
    "the", "The", "THE", "a", "A", "an", "An", "cat", "Cat", "cats", "dog", "1", "12", "1.2", "$3", "U.S.", "don't", "co-op", "—", "–", "“quoted”",
    "‘single’", "naïve", "NAÏVE", "İstanbul", "ΟΔΟΣ", "Straße", "STRASSE", "東京", "the東京", "a°", "°C", "x²", "½", "a_b", "_the_", "the-cat", "an.", "e\u0301", "a\u0301",
    "\ufeffthe", "the\u200bcat", "٣", "Ⅻ", "😀", "the😀", "a😀an", "toString", "__proto__", "constructor", "", "!", "...", "%",
]
SPACES = [" ", "  ", "\t", "\n", "\u00a0", "\u2003", "\u3000", "\x1c", "\x1f", "\x85", "\u180e", "\u200b", "\u2028"]

random.seed(47)


def text():
    words = [random.choice(PIECES) for _ in range(random.choice([0, 1, 1, 2, 2, 3, 4, 6]))]
    return "".join(word + random.choice(SPACES if random.random() < 0.3 else [" "]) for word in words)


def near(answer):
    """Often the answer itself, or a part of it, or the answer in other dress."""
    kind = random.random()
    if kind < 0.2:
        return answer
    if kind < 0.3:
        return "The " + answer.upper() + "."
    if kind < 0.6:
        words = answer.split(" ")
        return " ".join(words[random.randrange(len(words)) :] + [random.choice(PIECES)])
    return text()


def question(index, without_answer):
    answers = [text() for _ in range(random.choice([1, 1, 2, 3, 5]))]
    if random.random() < without_answer:
        answers = []
    prediction = "" if random.random() < 0.15 else near(random.choice(answers or [text()]))
    return {"id": f"q{index}", "answers": answers, "prediction": prediction}


def official_11(folder):
    """The module alone: its package imports TensorFlow."""
    logger = types.ModuleType("absl")
    logger.logging = logging.getLogger("absl")
    logger.logging.disabled = True
    sys.modules["absl"] = logger
    path = Path(folder) / "official/nlp/tools/squad_evaluate_v1_1.py"
    spec = importlib.util.spec_from_file_location("squad_evaluate_v1_1", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def squad11(module):
    cases = []
    for count, missing in [(1, 0), (3, 0), (40, 0.1), (300, 0), (300, 0.02)]:
        questions = [question(i, 0) for i in range(count)]
        for q in questions:
            if random.random() < missing:
                q["prediction"] = None
        qas = [{"id": q["id"], "answers": [{"text": a} for a in q["answers"]]} for q in questions]
        predictions = {q["id"]: q["prediction"] for q in questions if q["prediction"] is not None}
        means = module.evaluate([{"paragraphs": [{"qas": qas}]}], predictions)
        # This copy leaves the factor of 100 out: the sums are taken once more with it, from the script's own scores.
        exact = f1 = 0
        for qa in qas:
            if qa["id"] in predictions:
                truths = [a["text"] for a in qa["answers"]]
                exact += module._metric_max_over_ground_truths(module._exact_match_score, predictions[qa["id"]], truths)
                f1 += module._metric_max_over_ground_truths(module._f1_score, predictions[qa["id"]], truths)
        percent = {"exact_match": 100.0 * exact / count, "f1": 100.0 * f1 / count}
        cases.append({"questions": questions, "exactMatch": means["exact_match"], "f1": means["final_f1"], "official": percent})
    return cases


def squad20():
    cases = []
    for count, without, threshold, probabilities in [
        (1, 1, 1.0, False), (1, 0, 1.0, False), (60, 0.5, 1.0, False), (300, 0.4, 1.0, True), (300, 0.5, 0.6, True), (50, 0, 0.5, True), (50, 1, 0.5, True),
    ]:
        questions = [question(i, without) for i in range(count)]
        for q in questions:
            q["noAnswer"] = round(random.random(), 2) if probabilities else None
        examples = [SimpleNamespace(qas_id=q["id"], answers=[{"text": a} for a in q["answers"]]) for q in questions]
        predictions = {q["id"]: q["prediction"] for q in questions}
        no_answer = {q["id"]: q["noAnswer"] for q in questions} if probabilities else None
        result = squad_evaluate(examples, predictions, no_answer, threshold)
        if not probabilities:
            # The script searches thresholds only when it is given probabilities; this copy searches always.
            result = {key: value for key, value in result.items() if not key.startswith("best_")}
        cases.append({"questions": questions, "threshold": threshold, "official": result})
    return cases


def characters():
    """Texts around single characters: white space, word borders and lower case as Python sees them."""
    chosen = {chr(c) for c in range(0x250)}
    chosen |= {chr(c) for c in range(0x20000) if chr(c).isspace() or len(chr(c).lower()) > 1 or chr(c).lower() in "aσςthen"}
    assigned = [c for c in map(chr, range(0x250, 0x20000)) if unicodedata.category(c) not in ("Cn", "Cs", "Co")]
    chosen |= set(random.sample(assigned, 500))
    return [{"text": t, "normalized": normalize_answer(t)} for t in (f"{c}the{c}A{c}b Σ{c} X{c}" for c in sorted(chosen))]


def main():
    result = {
        "python": sys.version.split()[0],
        "normalized": characters(),
        "squad11": squad11(official_11(sys.argv[1])),
        "squad20": squad20(),
    }
    Path(__file__).with_suffix(".json").write_text(json.dumps(result, ensure_ascii=False, separators=(",", ":")) + "\n", "utf-8")


main()
