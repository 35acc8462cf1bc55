"""
Makes spanning_tree.json.gz: random arc scores and their best trees with a single root by networkx (one arborescence for each choice of
the root's word, the best of them), and without that limit.

    python test/golden/spanning_tree.py        (networkx 3.6.1, numpy)
"""
import base64, gzip, json, os
import networkx as nx
import numpy as np

random = np.random.default_rng(2020)


def best(scores, roots):
    words = len(scores)
    graph = nx.DiGraph()
    for dependent in range(words):
        for head in range(words + 1):
            if head == dependent + 1 or (head == 0 and dependent + 1 not in roots) or scores[dependent, head] == -np.inf:
                continue
            graph.add_edge(head, dependent + 1, weight=float(scores[dependent, head]))
    tree = nx.maximum_spanning_arborescence(graph)
    total = sum(float(scores[d - 1, h]) for h, d in tree.edges)
    return total, [h for h, d in sorted(tree.edges, key=lambda edge: edge[1])]


cases = []
for words in [1, 2, 3, 5, 7, 8, 10, 12, 13, 15, 18, 20, 20, 22, 25, 25, 28, 30, 30, 30]:
    scores = random.normal(0, 5, (words, words + 1)).astype(np.float32)
    if len(cases) % 4 == 1 and words > 2:  # many cycles: neighbours attract one another
        for word in range(words):
            for other in (word - 1, word + 1):
                if 0 <= other < words:
                    scores[word, other + 1] += 12
    if len(cases) % 4 == 2:  # a root that attracts all
        scores[:, 0] += 20
    if len(cases) % 4 == 3 and words > 4:  # forbidden arcs
        forbidden = random.random(scores.shape) < 0.4
        forbidden[:, 0] = False
        scores[forbidden] = -np.inf
    candidates = []
    for root in range(1, words + 1):
        try:
            candidates.append(best(scores, {root}))
        except nx.NetworkXException:
            pass
    single = max(candidates)
    free = best(scores, set(range(1, words + 1)))
    cases.append({"words": words, "scores": base64.b64encode(scores.tobytes()).decode(),
                  "single": {"total": single[0], "heads": single[1]}, "free": {"total": free[0], "heads": free[1]}})
    print(words, round(single[0], 3), round(free[0], 3), free[1].count(0))

out = os.path.join(os.path.dirname(os.path.abspath(__file__)), "spanning_tree.json.gz")
with open(out, "wb") as raw, gzip.GzipFile(fileobj=raw, mode="wb", mtime=0) as packed:
    packed.write(json.dumps({"cases": cases}).encode())
print(os.path.getsize(out))
