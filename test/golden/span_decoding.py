"""Windows, training places and decoded answers of transformers' SQuAD program: writes span_decoding.json beside this script.

The vocabulary is tokenizer-vocab.txt. The logits are random with a few high places; both versions of the program decode them.
"""

import json
import random
from pathlib import Path
from types import SimpleNamespace

from transformers import BertTokenizer
from transformers.data.metrics.squad_metrics import compute_predictions_logits
from transformers.data.processors import squad

HERE = Path(__file__).parent
SEQUENCE, STRIDE, QUESTION = 64, 16, 12
LONGEST_ANSWER, N_BEST = 8, 5

CONTEXT = (
    "The 1973 oil crisis began in October 1973 when the members of the Organization of Arab Petroleum Exporting Countries "
    "(OAPEC, consisting of the Arab members of OPEC plus Egypt and Syria) proclaimed an oil embargo. By the end of the embargo in March "
    "1974, the price of oil had risen from US$3 per barrel to nearly $12 globally; US prices were significantly higher. The embargo caused an "
    'oil crisis, or "shock", with many short- and long-term effects on global politics and the global economy.'
)
CASES = [
    ("When did the 1973 oil crisis begin?", CONTEXT, "October 1973"),
    ("What was the price of oil in March of 1974, and who says so, and where, and why at all?", CONTEXT, "nearly $12"),
    ("What was the term used to describe the embargo?", CONTEXT, "shock"),
    ("Who proclaimed the embargo?", CONTEXT, None),
    ("Where is Smith's house?", "It is said that Smith's house stands in Z\u00fcrich, a well-known town of Zurich.", "Z\u00fcrich"),
    ("What?", "A b c.", "b"),
]


def logits(length, padded, seed, first):
    """Noise with peaks; what pads the window must never win."""
    draw = random.Random(seed)
    values = [draw.gauss(0, 1) for _ in range(length)]
    for _ in range(4):
        values[draw.randrange(length)] += draw.uniform(2, 6)
    values[0] += first
    # As a model's float32 would be; quarters give ties.
    values = [round(value * 4) / 4 for value in values] if seed % 3 == 0 else [round(value, 6) for value in values]
    return values, values + [-1e4] * (padded - length)


def main():
    tokenizer = BertTokenizer(str(HERE / "tokenizer-vocab.txt"), do_lower_case=True)
    # As in BERT's own program (run_squad.py): an answer may begin within a word. transformers' version keeps a leading "##",
    # does not find the text, and gives the whole words instead.
    tokenizer.convert_tokens_to_string = lambda tokens: " ".join(tokens).replace(" ##", "").replace("##", "")
    squad.squad_convert_example_to_features_init(tokenizer)
    examples, features, results, stored = [], [], [], []
    for number, (question, context, answer) in enumerate(CASES):
        example = squad.SquadExample(
            qas_id=f"q{number}",
            question_text=question,
            context_text=context,
            answer_text=answer or "",
            start_position_character=context.index(answer) if answer else None,
            title="",
            is_impossible=answer is None,
            answers=[{"text": answer}] if answer else [],
        )
        examples.append(example)
        windows = []
        for feature in squad.squad_convert_example_to_features(example, SEQUENCE, STRIDE, QUESTION, "max_length", True):
            feature.example_index = number
            feature.unique_id = len(features)
            length = len(feature.tokens)
            start, padded_start = logits(length, SEQUENCE, 2 * len(features), number % 3 * 4)
            end, padded_end = logits(length, SEQUENCE, 2 * len(features) + 1, number % 3 * 4)
            features.append(feature)
            results.append(SimpleNamespace(unique_id=feature.unique_id, start_logits=padded_start, end_logits=padded_end))
            windows.append(
                {
                    "tokenIds": feature.input_ids[:length],
                    "segmentIds": feature.token_type_ids[:length],
                    "start": feature.start_position,
                    "end": feature.end_position,
                    "startLogits": start,
                    "endLogits": end,
                }
            )
        stored.append(
            {
                "id": example.qas_id,
                "question": question,
                "context": context,
                "answer": answer,
                "answerStart": context.index(answer) if answer else None,
                "windows": windows,
            }
        )
    decoded = {}
    for name, no_answer, threshold in [("squad11", False, 0.0), ("squad20", True, 0.0), ("squad20Threshold", True, -4.0)]:
        files = [HERE / f"span_decoding.{name}.{kind}.tmp" for kind in ("predictions", "nbest", "odds")]
        compute_predictions_logits(
            examples, features, results, N_BEST, LONGEST_ANSWER, True, *map(str, files), False, no_answer, threshold, tokenizer
        )
        read = [json.loads(file.read_text()) if file.exists() else None for file in files]
        for file in files:
            file.unlink(missing_ok=True)
        decoded[name] = {"threshold": threshold, "predictions": read[0], "nBest": read[1], "odds": read[2]}
    result = {
        "sizes": {"sequenceTokens": SEQUENCE, "stride": STRIDE, "questionTokens": QUESTION},
        "maxAnswerTokens": LONGEST_ANSWER,
        "nBest": N_BEST,
        "examples": stored,
        "decoded": decoded,
    }
    (HERE / "span_decoding.json").write_text(json.dumps(result, separators=(",", ":")) + "\n")


main()
