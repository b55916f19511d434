"""Label counts and how scikit-learn's stratified split allots them. Usage: split.py SEED"""

import json
import random
import sys

import numpy as np
from sklearn.model_selection import train_test_split

draw = random.Random(int(sys.argv[1]))


def remainders_tie(sizes, draws):
    exact = np.array(sizes) / sum(sizes) * draws
    remainders = exact - np.floor(exact)
    return len(np.unique(remainders)) < len(remainders)


cases = []
while len(cases) < 200:
    sizes = [draw.randint(2, 400) for _ in range(draw.randint(2, 8))]
    test_size = round(draw.uniform(0.05, 0.9), draw.randint(1, 4))
    labels = [label for label, size in enumerate(sizes) for _ in range(size)]
    held_out = int(np.ceil(test_size * len(labels)))
    # scikit-learn draws lots where remainders tie, and refuses parts smaller than the number of labels.
    if min(held_out, len(labels) - held_out) < len(sizes) or remainders_tie(sizes, len(labels) - held_out):
        continue
    _, test = train_test_split(labels, test_size=test_size, stratify=labels, random_state=draw.randrange(1000))
    cases.append({"sizes": sizes, "test_size": test_size, "held_out": [test.count(label) for label in range(len(sizes))]})
json.dump(cases, sys.stdout)
