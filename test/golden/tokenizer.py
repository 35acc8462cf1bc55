"""Goldens of tokenisation: Hugging Face's BertTokenizerFast over the vocabulary beside this file.

Run: .venv/bin/python test/golden/tokenizer.py      (transformers 4.57; writes test/golden/tokenizer.json)
The vocabulary (tokenizer-vocab.txt) was learned by `stratabert tokenizer train --vocab-size 2000` from examples/data/wikipedia-sample.txt.
"""

import json
import pathlib

from transformers import BertTokenizerFast

HERE = pathlib.Path(__file__).parent
SAMPLE = HERE / '../../examples/data/wikipedia-sample.txt'

TEXTS = [
    'Hello world',
    '',
    '   ',
    'The quick brown fox jumps over the lazy dog.',
    "Don't stop: U.S.-based firms' profits rose 3.5% (to $1,234.56)!",
    'na\u00efve caf\u00e9 r\u00e9sum\u00e9 \u00c5ngstr\u00f6m \u0130stanbul \u1e9e stra\u00dfe',
    'e\u0301 combining, o\u0308\u0323 two marks',
    '\u65e5\u672c\u8a9e and \u4e2d\u6587 text \ud55c\uad6d\uc5b4',
    '\u0395\u03bb\u03bb\u03ac\u03c2 \u03c3\u03bf\u03c6\u03cc\u03c2 \u041c\u043e\u0441\u043a\u0432\u0430 \u0627\u0644\u0639\u0631\u0628\u064a\u0629',
    'emoji \U0001f600 and \U0001f468\u200d\U0001f469\u200d\U0001f467 family \u2764\ufe0f',
    'tab\tnew\nline\rreturn\u00a0nbsp\u2003em\u3000wide',
    'zero\u200bwidth soft\u00adhyphen bom\ufeffinside control\x01\x7fchars replacement\ufffd',
    'quotes \u201cdouble\u201d \u2018single\u2019 \u00abguillemets\u00bb \u2014 dash \u2026 ellipsis \u00b7 \u2022',
    'symbols + = < > | ~ ^ ` $ \u20ac \u00a3 \u00b0 \u00bd \u2122 \u00a9',
    'x' * 100 + ' ' + 'y' * 101 + ' end',
    'antidisestablishmentarianism pneumonoultramicroscopicsilicovolcanoconiosis',
    'A [MASK] in [CLS] the [SEP] middle [PAD] of[MASK]words [UNK] [mask] [Mask]',
    '##ing # #ing a##b',
    'http://example.com/a_b?c=d&e=f#g mail@example.org',
    'UPPER lower MiXeD',
    'line one.\u2028line two\u2029para \u0085 next',
    '\U0001d573\U0001d58a\U0001d591\U0001d591\U0001d594 mathematical \uff26\uff55\uff4c\uff4c width',
]
for line in SAMPLE.read_text(encoding='utf-8').split('\n')[:400:8]:
    TEXTS.append(line)

# An empty second text is left out: transformers' wrapper takes it for none, the tokenizers library for an empty segment (as here).
PAIRS = [
    ('a short one', 'and a second text that is a good deal longer than the first one'),
    ('and a first text that is a good deal longer than the second one', 'a short one'),
    ('two texts of equal length here', 'two texts of equal length here'),
    ('', 'only a second'),
]

cases = []
for lowercase in (True, False):
    tokenizer = BertTokenizerFast(vocab_file=str(HERE / 'tokenizer-vocab.txt'), do_lower_case=lowercase)
    for text in TEXTS:
        for limit in (None, 12):
            got = tokenizer(text, truncation=limit is not None, max_length=limit)
            cases.append({'lowercase': lowercase, 'text': text, 'maxTokens': limit, 'ids': got['input_ids'], 'segments': got['token_type_ids']})
        cases[-1]['decoded'] = tokenizer.decode(cases[-1]['ids'], skip_special_tokens=True)
    for first, second in PAIRS:
        for limit in (None, 8, 9, 12, 15):
            got = tokenizer(first, second, truncation='longest_first' if limit else False, max_length=limit)
            cases.append({'lowercase': lowercase, 'text': [first, second], 'maxTokens': limit, 'ids': got['input_ids'], 'segments': got['token_type_ids']})

(HERE / 'tokenizer.json').write_text(json.dumps(cases, ensure_ascii=True) + '\n')
print(len(cases), 'cases')
