"""Spans of tokens widened to whole words by transformers' question answering pipeline: writes whole_word_spans.json beside this script.

The vocabulary is tokenizer-vocab.txt. Places are in UTF-16 units, as JavaScript counts.
"""

import json
from pathlib import Path

from transformers import BertTokenizerFast
from transformers.pipelines.question_answering import QuestionAnsweringPipeline

HERE = Path(__file__).parent
CONTEXTS = [
    "The 1973 oil embargo raised prices significantly: from US$3 to nearly $12 (unbelievable, isn't it?).",
    "Zürich's re-opened café — naïveté! \U0001f600unhappily\U0001f600 42km state-of-the-art.",
    "  Antidisestablishmentarianism;北京大学 and http://example.com/a_b?c=d  ",
    "e\u0301galite\u0301 \u00adsoft\u00adhyphen nbsp\u00a0joined words",
]
LONGEST = 4


def main():
    tokenizer = BertTokenizerFast(str(HERE / "tokenizer-vocab.txt"), do_lower_case=True)
    stored = []
    for context in CONTEXTS:
        encoding = tokenizer(context)._encodings[0]
        units = lambda place: len(context[:place].encode("utf-16-le")) // 2
        # Between [CLS] and [SEP].
        count = len(encoding.ids) - 2
        spans = []
        for first in range(count):
            for last in range(first, min(first + LONGEST, count)):
                start, end = QuestionAnsweringPipeline.get_indices(None, encoding, first + 1, last + 1, 0, True)
                spans.append([first, last, units(start), units(end)])
        stored.append({"context": context, "tokenIds": encoding.ids[1:-1], "spans": spans})
    (HERE / "whole_word_spans.json").write_text(json.dumps(stored, separators=(",", ":")) + "\n")


main()
