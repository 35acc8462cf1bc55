"""Normalised texts by the tokenizers library: writes cramming_text.json beside this script.

The sequence is the one of Cramming's tokenizer_preparation.py (_get_sane_normalizers) for lower case, accents and ASCII, each on or off;
NFKC, which that code takes where accents stay, is left out.
"""

import json
from itertools import product
from pathlib import Path

import tokenizers
from tokenizers import Regex, normalizers

TEXTS = [
    "Plain text stays as it is.",
    "Ångström, naïve CAFÉ and Øresund; Straße",
    "“Quotes” ``old'' style — dashes … and 漢字 here",
    "Emoji \U0001f600 and  many   spaces\there",
    "ﬁne ½ №5 İstanbul ΑΣ",
    "e\u0301 composed é, ǆ Ǆ, \u00a0no-break",
    "한국어 हिन्दी Tiếng Việt",
    "",
]


def normalizer(lowercase, accents, ascii_only):
    steps = []
    if ascii_only:
        steps += [normalizers.Replace("``", '"'), normalizers.Replace("''", '"')]
    if accents:
        steps.append(normalizers.NFD())
    if lowercase:
        steps.append(normalizers.Lowercase())
    if accents:
        steps.append(normalizers.StripAccents())
    if ascii_only:
        steps.append(normalizers.Replace(Regex(" {2,}"), " "))
        steps.append(normalizers.Replace(Regex(r"[^\x00-\x7F]+"), ""))
    return normalizers.Sequence(steps)


def main():
    cases = []
    for lowercase, accents, ascii_only in product([False, True], repeat=3):
        make = normalizer(lowercase, accents, ascii_only)
        options = {"lowercase": lowercase, "stripAccents": accents, "ascii": ascii_only}
        cases.append({"options": options, "texts": [make.normalize_str(text) for text in TEXTS]})
    path = Path(__file__).with_suffix(".json")
    data = {"versions": {"tokenizers": tokenizers.__version__}, "texts": TEXTS, "cases": cases}
    path.write_text(json.dumps(data, indent=1) + "\n")


main()
