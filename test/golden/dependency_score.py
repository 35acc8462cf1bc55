"""
Makes dependency_score.json.gz: gold sentences of UD English EWT (dev part; CC BY-SA 4.0, github.com/UniversalDependencies/UD_English-EWT),
system outputs made from them by damage, and the figures of the CoNLL 2018 shared task's own script.

    pip download trankit==1.1.2 --no-deps && unzip trankit-*.whl 'trankit/utils/scorers/*'
    python test/golden/dependency_score.py PATH_OF_conll18_ud_eval.py EN_EWT_UD_DEV.conllu

The script (version 1.2, Straka and Popel, MPL 2.0) is not kept here.
"""
import gzip, importlib.util, io, json, os, random, sys

spec = importlib.util.spec_from_file_location("conll18_ud_eval", sys.argv[1])
official = importlib.util.module_from_spec(spec)
spec.loader.exec_module(official)
random.seed(18)

# A sentence is a list of tokens; a token is {form, space, words: [columns without id]} with heads as references to words.
class Word:
    def __init__(self, columns):
        self.columns, self.head = columns, None


def load(path):
    sentences, tokens, words, skip = [], [], [], 0
    for line in open(path, encoding="utf-8"):
        line = line.rstrip("\n")
        if line.startswith("#"):
            continue
        if not line:
            for word in words:
                head = int(word.columns[6])
                word.head = words[head - 1] if head else None
            sentences.append(tokens)
            tokens, words, skip = [], [], 0
            continue
        columns = line.split("\t")
        if "." in columns[0]:
            continue
        space = "SpaceAfter=No" not in columns[9]
        if "-" in columns[0]:
            first, last = map(int, columns[0].split("-"))
            tokens.append({"form": columns[1], "space": space, "words": [], "multi": True})
            skip = last - first + 1
            continue
        word = Word(columns)
        words.append(word)
        if skip:
            tokens[-1]["words"].append(word)
            skip -= 1
        else:
            tokens.append({"form": columns[1], "space": space, "words": [word], "multi": False})
    return sentences


def words_of(sentence):
    return [word for token in sentence for word in token["words"]]


def write(sentences):
    out = []
    for sentence in sentences:
        number = {id(word): index + 1 for index, word in enumerate(words_of(sentence))}
        for token in sentence:
            misc = "_" if token["space"] else "SpaceAfter=No"
            if token["multi"]:
                first, last = number[id(token["words"][0])], number[id(token["words"][-1])]
                out.append("\t".join([f"{first}-{last}", token["form"]] + ["_"] * 7 + [misc]))
            for word in token["words"]:
                c = word.columns
                head = "0" if word.head is None else str(number[id(word.head)])
                form = c[1] if token["multi"] else token["form"]
                out.append("\t".join([str(number[id(word)]), form, *c[2:6], head, c[7], "_", "_" if token["multi"] else misc]))
        out.append("")
    return "\n".join(out) + "\n"


def below(word, other):
    while other is not None:
        if other is word:
            return True
        other = other.head
    return False


def heads(sentence, share):
    words = words_of(sentence)
    for word in words:
        if word.head is not None and random.random() < share:
            free = [other for other in words if not below(word, other)]
            if free:
                word.head = random.choice(free)


def column(number, values, share):
    def change(sentence):
        for word in words_of(sentence):
            if random.random() < share:
                word.columns = list(word.columns)
                word.columns[number] = random.choice(values)
    return change


def split_tokens(share):
    def change(sentence):
        tokens = []
        for token in sentence:
            form = token["form"]
            if token["multi"] or len(form) < 2 or random.random() >= share:
                tokens.append(token)
                continue
            cut = random.randrange(1, len(form))
            word = token["words"][0]
            extra = Word(list(word.columns))
            extra.head = word
            tokens.append({"form": form[:cut], "space": False, "words": [word], "multi": False})
            tokens.append({"form": form[cut:], "space": token["space"], "words": [extra], "multi": False})
        sentence[:] = tokens
    return change


def drop(sentence, gone, heir):
    """Hands the children of a word to another one."""
    if below(gone, heir):
        heir.head = gone.head
    for word in words_of(sentence):
        if word.head is gone:
            word.head = heir


def merge_tokens(share):
    def change(sentence):
        tokens = []
        for token in sentence:
            before = tokens[-1] if tokens else None
            if before and not before["multi"] and not token["multi"] and random.random() < share:
                left, right = before["words"][0], token["words"][0]
                drop(sentence, right, left)
                if below(left, left.head):
                    raise AssertionError
                before["form"] += (" " if before["space"] and random.random() < 0.5 else "") + token["form"]
                before["space"] = token["space"]
            else:
                tokens.append(token)
        sentence[:] = tokens
    return change


def plain_multiword(share):
    """Multi-word tokens as one word."""
    def change(sentence):
        for token in sentence:
            if token["multi"] and random.random() < share:
                keep = token["words"][0]
                for word in token["words"][1:]:
                    drop(sentence, word, keep)
                token["words"], token["multi"] = [keep], False
    return change


def as_tokens(share):
    """Words of multi-word tokens as tokens of their own."""
    def change(sentence):
        tokens = []
        for token in sentence:
            forms = [word.columns[1] for word in token["words"]]
            if token["multi"] and "".join(forms) == token["form"] and random.random() < share:
                for word, form in zip(token["words"], forms):
                    tokens.append({"form": form, "space": False, "words": [word], "multi": False})
                tokens[-1]["space"] = token["space"]
            else:
                tokens.append(token)
        sentence[:] = tokens
    return change


def false_multiword(share):
    """Two neighbours as one multi-word token, or one word as two, with forms that may not spell the token."""
    def change(sentence):
        tokens = []
        for token in sentence:
            before = tokens[-1] if tokens else None
            chance = random.random()
            if before and not before["multi"] and not token["multi"] and chance < share:
                for part in (before, token):
                    part["words"][0].columns = list(part["words"][0].columns)
                    part["words"][0].columns[1] = part["form"]
                tokens[-1] = {"form": before["form"] + token["form"], "space": token["space"],
                              "words": before["words"] + token["words"], "multi": True}
            elif not token["multi"] and chance < 2 * share:
                word = token["words"][0]
                word.columns = list(word.columns)
                extra = Word(list(word.columns))
                extra.head = word
                word.columns[1], extra.columns[1] = token["form"].upper(), "de"
                tokens.append({**token, "words": [word, extra], "multi": True})
            else:
                tokens.append(token)
        sentence[:] = tokens
    return change


def one_root(sentence):
    words = words_of(sentence)
    inside = {id(word) for word in words}
    roots = [word for word in words if word.head is None or id(word.head) not in inside]
    roots[0].head = None
    for word in roots[1:]:
        word.head = roots[0]


def split_sentences(share):
    def change(sentences):
        result = []
        for sentence in sentences:
            if len(sentence) > 3 and random.random() < share:
                cut = random.randrange(1, len(sentence))
                parts = [sentence[:cut], sentence[cut:]]
                for part in parts:
                    one_root(part)
                result += parts
            else:
                result.append(sentence)
        return result
    return change


def merge_sentences(share):
    def change(sentences):
        result = []
        for sentence in sentences:
            if result and random.random() < share:
                result[-1] = result[-1] + sentence
                one_root(result[-1])
            else:
                result.append(sentence)
        return result
    return change


def each(*changes):
    def change(sentences):
        for sentence in sentences:
            for one in changes:
                one(sentence)
        return sentences
    return change


def both(*changes):
    def change(sentences):
        for one in changes:
            sentences = one(sentences)
        return sentences
    return change


UPOS = "NOUN VERB ADJ PROPN PRON".split()
LABELS = "nsubj obj obl nmod det case punct advmod compound nmod:poss acl:relcl aux:pass".split()
FEATS = ["_", "Number=Sing", "Tense=Past|VerbForm=Fin", "Foo=Bar|Number=Plur", "Number=Plur|Foo=Bar"]
CHANGES = {
    "unchanged": each(),
    "heads 10 %": each(lambda s: heads(s, 0.1)),
    "heads 60 %": each(lambda s: heads(s, 0.6)),
    "labels": each(column(7, LABELS, 0.3)),
    "upos": each(column(3, UPOS, 0.2)),
    "xpos": each(column(4, ["NN", "VB", "_"], 0.2)),
    "feats": each(column(5, FEATS, 0.3)),
    "lemmas": each(column(2, ["_", "be", "have"], 0.3)),
    "tokens split": each(split_tokens(0.1)),
    "tokens split often": each(split_tokens(0.6)),
    "tokens merged": each(merge_tokens(0.1)),
    "tokens merged often": each(merge_tokens(0.5)),
    "multi-word tokens as one word": each(plain_multiword(1)),
    "multi-word tokens as tokens": each(as_tokens(1)),
    "some multi-word tokens as tokens": each(as_tokens(0.5), plain_multiword(0.5)),
    "false multi-word tokens": each(false_multiword(0.1)),
    "false multi-word tokens often": each(false_multiword(0.3)),
    "sentences split": split_sentences(0.4),
    "sentences merged": merge_sentences(0.4),
    "sentences split and merged": both(split_sentences(0.5), merge_sentences(0.5)),
    "all but tokens": both(each(lambda s: heads(s, 0.2), column(7, LABELS, 0.1), column(3, UPOS, 0.1)), split_sentences(0.2)),
    "all": both(each(split_tokens(0.05), merge_tokens(0.05), false_multiword(0.03), lambda s: heads(s, 0.2),
                     column(7, LABELS, 0.2), column(3, UPOS, 0.1), column(5, FEATS, 0.1)), merge_sentences(0.2)),
    "all, often": both(each(split_tokens(0.3), false_multiword(0.2), merge_tokens(0.3), lambda s: heads(s, 0.5)),
                       merge_sentences(0.5), split_sentences(0.5)),
}


def damage(text, change):
    lines = text.split("\n")
    rows = [index for index, line in enumerate(lines) if line and "-" not in line.split("\t")[0]]
    row = rows[len(rows) // 2]
    cells = lines[row].split("\t")
    change(lines, row, cells)
    if lines[row] is not None:
        lines[row] = "\t".join(cells)
    return "\n".join(line for line in lines if line is not None)


def put(place, value):
    def change(lines, row, cells):
        cells[place] = value
    return change


def self_loop(lines, row, cells):
    cells[6] = cells[0]


def no_row(lines, row, cells):
    lines[row] = None


def nine(lines, row, cells):
    cells.pop()


def second_root(lines, row, cells):
    if cells[6] == "0":
        raise AssertionError
    cells[6] = "0"


DAMAGE = {
    "cycle": self_loop, "head outside": put(6, "999"), "head no number": put(6, "x"), "negative head": put(6, "-1"),
    "two roots": second_root, "nine columns": nine, "wrong number": put(0, "77"), "other text": put(1, "Unfug"),
    "a row less": no_row,
}


def figures(gold, system):
    try:
        scores = official.evaluate(official.load_conllu(io.StringIO(gold)), official.load_conllu(io.StringIO(system)))
    except official.UDError as error:
        return {"error": str(error)}
    return {name: [s.correct, s.gold_total, s.system_total, s.aligned_total, s.precision, s.recall, s.f1, s.aligned_accuracy]
            for name, s in scores.items()}


def main():
    everything = load(sys.argv[2])
    with_multi = [s for s in everything if any(t["multi"] for t in s)]
    random.shuffle(with_multi)
    start = 100
    plain = everything[start:start + 14]
    chosen = plain + with_multi[:14]
    text = write(chosen)
    systems = []
    import tempfile
    with tempfile.NamedTemporaryFile("w", suffix=".conllu", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        for name, change in CHANGES.items():
            system = write(change(load(file.name)))
            systems.append({"name": name, "text": system, "figures": figures(text, system)})
    for name, change in DAMAGE.items():
        system = damage(text, change)
        systems.append({"name": name, "text": system, "figures": figures(text, system)})
    systems.append({"name": "no blank line at the end", "text": text[:-1], "figures": figures(text, text[:-1])})
    for system in systems:
        f = system["figures"]
        print(system["name"], f["error"] if "error" in f else {k: round(100 * f[k][6], 2) for k in ("Tokens", "Sentences", "Words", "UPOS", "UAS", "LAS", "CLAS", "MLAS")})
    bad = [s["name"] for s in systems if ("error" in s["figures"]) != (s["name"] in DAMAGE or s["name"].startswith("no blank"))]
    assert not bad, bad
    source = "UD English EWT, dev part (CC BY-SA 4.0), damaged by dependency_score.py"
    out = os.path.join(os.path.dirname(os.path.abspath(__file__)), "dependency_score.json.gz")
    with open(out, "wb") as raw, gzip.GzipFile(fileobj=raw, mode="wb", mtime=0) as packed:
        packed.write(json.dumps({"source": source, "gold": text, "systems": systems}).encode())
    print(len(systems), os.path.getsize(out))


main()
