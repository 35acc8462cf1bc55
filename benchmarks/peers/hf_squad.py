"""Peer: transformers' BertForQuestionAnswering trained on a SQuAD 1.1 file and answering another one.

Windows as in BERT's own program (run_squad.py): 384 tokens, each beginning 128 context tokens after the one before, questions cut at
64; a training window without the whole answer points at [CLS]; the answer is the best pair of the 20 best starts and ends, at most 30
tokens, each token judged in the window that shows most around it. AdamW with epsilon 1e-6 and decay 0.01 except biases and LayerNorm,
linear schedule after 10 % warm-up, clip 1.0, dropout 0.1: the settings of the `fine-tune` recipe. Batches are padded to their
longest window; `--grouped` makes them of like lengths by transformers' own `get_length_grouped_indices`.

    python benchmarks/peers/hf_squad.py --init MODEL --train TRAIN.json --dev DEV.json --predictions OUT.json [--seed 1] [--grouped] [--save FOLDER]

Prints exact match and F1 by the rules of the official script (SQuAD 1.1, evaluate-v1.1.py), the seconds of training and answering.
"""

import argparse
import collections
import json
import re
import string
import time

import torch
from transformers import BertForQuestionAnswering, BertTokenizerFast, get_linear_schedule_with_warmup
from transformers.trainer_pt_utils import get_length_grouped_indices

from common import MAX_GRAD_NORM, decay_groups

WINDOW_TOKENS, STRIDE, QUESTION_TOKENS = 384, 128, 64
N_BEST, MAX_ANSWER_TOKENS = 20, 30

Window = collections.namedtuple("Window", "question ids context_place first_token tokens start end")


def read(path):
    """(id, question, context, answers as (first character, text)) of every question."""
    with open(path, encoding="utf8") as file:
        articles = json.load(file)["data"]
    return [
        (qa["id"], qa["question"], paragraph["context"], [(a["answer_start"], a["text"]) for a in qa["answers"]])
        for article in articles
        for paragraph in article["paragraphs"]
        for qa in paragraph["qas"]
    ]


def windows_of(questions, tokenizer):
    """Windows of all questions in order, and the context's token offsets by question."""
    encode = lambda texts: tokenizer(texts, add_special_tokens=False, return_offsets_mapping=True, verbose=False)
    contexts = list(dict.fromkeys(context for _, _, context, _ in questions))
    encoded = encode(contexts)
    of_context = {text: (encoded["input_ids"][k], encoded["offset_mapping"][k]) for k, text in enumerate(contexts)}
    asked = encode([question for _, question, _, _ in questions])["input_ids"]
    windows, offsets_of = [], []
    for index, (_, _, context, answers) in enumerate(questions):
        ids, offsets = of_context[context]
        offsets_of.append(offsets)
        question = asked[index][:QUESTION_TOKENS]
        room, place, first = WINDOW_TOKENS - len(question) - 3, len(question) + 2, 0
        begin, text = answers[0]
        within = [t for t, (s, e) in enumerate(offsets) if e > begin and s < begin + len(text)]
        while True:
            count = min(room, len(ids) - first)
            start = end = 0
            if within and within[0] >= first and within[-1] < first + count:
                start, end = place + within[0] - first, place + within[-1] - first
            tokens = [tokenizer.cls_token_id, *question, tokenizer.sep_token_id, *ids[first : first + count], tokenizer.sep_token_id]
            windows.append(Window(index, tokens, place, first, count, start, end))
            if first + count >= len(ids):
                break
            first += min(count, STRIDE)
    return windows, offsets_of


def padded(windows):
    """(ids, segments, mask) of shape (B, longest)."""
    shape = (len(windows), max(len(window.ids) for window in windows))
    ids, segments, mask = (torch.zeros(shape, dtype=torch.long) for _ in range(3))
    for row, window in enumerate(windows):
        ids[row, : len(window.ids)] = torch.tensor(window.ids)
        segments[row, window.context_place : len(window.ids)] = 1
        mask[row, : len(window.ids)] = 1
    return {"input_ids": ids, "token_type_ids": segments, "attention_mask": mask}


def train(model, windows, options):
    optimizer = torch.optim.AdamW(decay_groups(model), lr=options.learning_rate, eps=1e-6, fused=True)
    per_pass = -(-len(windows) // options.batch)
    schedule = get_linear_schedule_with_warmup(optimizer, round(0.1 * options.epochs * per_pass), options.epochs * per_pass)
    lengths = [len(window.ids) for window in windows]
    model.train()
    for epoch in range(options.epochs):
        generator = torch.Generator().manual_seed(options.seed * 1000 + epoch)
        if options.grouped:
            order = get_length_grouped_indices(lengths, options.batch, generator=generator)
        else:
            order = torch.randperm(len(windows), generator=generator).tolist()
        batches = [order[k : k + options.batch] for k in range(0, len(order), options.batch)]
        if options.grouped:
            batches = [batches[k] for k in torch.randperm(len(batches), generator=generator).tolist()]
        for step, members in enumerate(batches):
            batch = [windows[k] for k in members]
            starts = torch.tensor([window.start for window in batch])
            ends = torch.tensor([window.end for window in batch])
            with torch.autocast("cpu", torch.bfloat16, enabled=options.precision == "bf16"):
                loss = model(**padded(batch), start_positions=starts, end_positions=ends).loss
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), MAX_GRAD_NORM)
            optimizer.step()
            schedule.step()
            optimizer.zero_grad()
            if step % 20 == 0:
                print(f"epoch {epoch + 1} step {step} of {len(batches)} loss {loss.item():.3f}", flush=True)


@torch.no_grad()
def logits_of(model, windows, options):
    """Start and end logits of each window, in order; longest windows first while they are computed."""
    model.eval()
    order = sorted(range(len(windows)), key=lambda k: -len(windows[k].ids))
    result = [None] * len(windows)
    for first in range(0, len(order), options.batch):
        members = order[first : first + options.batch]
        with torch.autocast("cpu", torch.bfloat16, enabled=options.precision == "bf16"):
            output = model(**padded([windows[k] for k in members]))
        for row, k in enumerate(members):
            length = len(windows[k].ids)
            result[k] = (output.start_logits[row, :length].float(), output.end_logits[row, :length].float())
    return result


def shows_most(group, own, token):
    """True when no other window of the question shows more around the token; of equal ones the first does."""
    def room(window):
        last = window.first_token + window.tokens - 1
        if not window.first_token <= token <= last:
            return float("-inf")
        return min(token - window.first_token, last - token) + 0.01 * window.tokens

    scores = [room(window) for window in group]
    return scores.index(max(scores)) == own


def answer_of(group, logits, offsets, context):
    best, text = float("-inf"), ""
    for own, (window, (starts, ends)) in enumerate(zip(group, logits)):
        top = lambda scores: scores.topk(min(N_BEST, len(scores))).indices.tolist()
        inside = lambda place: window.context_place <= place < window.context_place + window.tokens
        last_places = [place for place in top(ends) if inside(place)]
        for start in filter(inside, top(starts)):
            if not shows_most(group, own, window.first_token + start - window.context_place):
                continue
            for end in last_places:
                score = (starts[start] + ends[end]).item()
                if start <= end < start + MAX_ANSWER_TOKENS and score > best:
                    at = lambda place: offsets[window.first_token + place - window.context_place]
                    best, text = score, context[at(start)[0] : at(end)[1]]
    return text


def normalized(text):
    text = "".join(character for character in text.lower() if character not in string.punctuation)
    return re.sub(r"\b(a|an|the)\b", " ", text).split()


def scores_of(prediction, answers):
    """(exact match, F1) beside the best of the right answers."""
    words = normalized(prediction)
    exact = f1 = 0.0
    for _, answer in answers:
        right = normalized(answer)
        exact = max(exact, float(words == right))
        common = sum((collections.Counter(words) & collections.Counter(right)).values())
        if common:
            precision, recall = common / len(words), common / len(right)
            f1 = max(f1, 2 * precision * recall / (precision + recall))
    return exact, f1


def main():
    arguments = argparse.ArgumentParser()
    for name in ["init", "train", "dev", "predictions"]:
        arguments.add_argument(f"--{name}", required=True)
    arguments.add_argument("--seed", type=int, default=1)
    arguments.add_argument("--epochs", type=int, default=3)
    arguments.add_argument("--batch", type=int, default=32)
    arguments.add_argument("--learning-rate", type=float, default=1e-4)
    arguments.add_argument("--threads", type=int, default=2)
    arguments.add_argument("--precision", choices=["bf16", "fp32"], default="bf16")
    arguments.add_argument("--grouped", action="store_true")
    arguments.add_argument("--save", help="a folder for the trained model and its tokenizer")
    options = arguments.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(options.seed)

    tokenizer = BertTokenizerFast.from_pretrained(options.init)
    model = BertForQuestionAnswering.from_pretrained(options.init)
    windows, _ = windows_of(read(options.train), tokenizer)
    print(f"{len(windows)} training windows", flush=True)
    began = time.perf_counter()
    train(model, windows, options)
    trained = time.perf_counter()
    if options.save:
        model.save_pretrained(options.save)
        tokenizer.save_pretrained(options.save)
    questions = read(options.dev)
    windows, offsets = windows_of(questions, tokenizer)
    logits = logits_of(model, windows, options)
    groups = collections.defaultdict(list)
    for k, window in enumerate(windows):
        groups[window.question].append(k)
    predictions, exact, f1 = {}, 0.0, 0.0
    for index, (identity, _, context, answers) in enumerate(questions):
        members = groups[index]
        text = answer_of([windows[k] for k in members], [logits[k] for k in members], offsets[index], context)
        predictions[identity] = text
        own_exact, own_f1 = scores_of(text, answers)
        exact += own_exact
        f1 += own_f1
    with open(options.predictions, "w", encoding="utf8") as file:
        json.dump(predictions, file, ensure_ascii=False)
    print(json.dumps({
        "exactMatch": 100 * exact / len(questions),
        "f1": 100 * f1 / len(questions),
        "questions": len(questions),
        "windows": len(windows),
        "trainSeconds": trained - began,
        "answerSeconds": time.perf_counter() - trained,
        "seed": options.seed,
    }))


if __name__ == "__main__":
    main()
