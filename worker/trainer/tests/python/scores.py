"""Random predictions and the scores that scikit-learn and seqeval give them. Usage: scores.py SEED"""

import json
import random
import sys
import warnings

from seqeval.metrics import accuracy_score as word_accuracy
from seqeval.metrics import classification_report as entity_report
from sklearn.metrics import accuracy_score, classification_report

warnings.filterwarnings("ignore")
draw = random.Random(int(sys.argv[1]))


def numbers(report):
    return [report["precision"], report["recall"], report["f1-score"]]


def per_label(report, names):
    return {name: numbers(report[name]) + [int(report[name]["support"])] for name in names if name in report}


def classification():
    labels = [f"label {index}" for index in range(draw.randint(2, 7))]
    rows = draw.choice([1, 2, 5, 40, 200])
    usable = draw.sample(range(len(labels)), draw.randint(1, len(labels)))
    gold = [draw.choice(usable) for _ in range(rows)]
    skill = draw.random()
    predicted = [right if draw.random() < skill else draw.randrange(len(labels)) for right in gold]
    names = lambda indices: [labels[index] for index in indices]
    report = classification_report(names(gold), names(predicted), zero_division=0, output_dict=True)
    scores = {"accuracy": accuracy_score(gold, predicted)}
    for mean in ("macro", "weighted"):
        for name, value in zip(("precision", "recall", "f1"), numbers(report[f"{mean} avg"])):
            scores[f"{mean}_{name}"] = value
    expected = {"scores": scores, "per_label": per_label(report, labels)}
    return {"labels": labels, "gold": gold, "predicted": predicted, "expected": expected}


def tags(words, prefixes, types):
    def tag():
        prefix = draw.choice(prefixes)
        return "O" if prefix == "O" else f"{prefix}-{draw.choice(types)}"

    return [tag() for _ in range(words)]


def entities():
    """Broken sequences too: any tag may follow any other, in BIO, IOB1-like, BIOES and IOE mixtures."""
    types = ["person", "location", "creative-work", "x"][: draw.randint(1, 4)]
    prefixes = draw.choice(["OB", "OI", "OBI", "OOOBII", "OBIES", "OIE", "OOOOB"])
    gold, predicted = [], []
    skill = draw.random()
    for _ in range(draw.randint(1, 12)):
        right = tags(draw.randint(1, 15), prefixes, types)
        noise = tags(len(right), draw.choice([prefixes, "OBI"]), types)
        gold.append(right)
        predicted.append([a if draw.random() < skill else b for a, b in zip(right, noise)])
    report = entity_report(gold, predicted, zero_division=0, output_dict=True) if found(gold, predicted) else {}
    precision, recall, f1 = numbers(report["micro avg"]) if report else [0.0, 0.0, 0.0]
    scores = {"precision": precision, "recall": recall, "f1": f1, "accuracy": word_accuracy(gold, predicted)}
    expected = {"scores": scores, "per_label": per_label(report, types)}
    return {"gold": gold, "predicted": predicted, "expected": expected}


def found(gold, predicted):
    """seqeval's report fails where neither side has an entity."""
    return any(tag != "O" for sentence in gold + predicted for tag in sentence)


json.dump({
    "classification": [classification() for _ in range(400)],
    "entities": [entities() for _ in range(600)],
}, sys.stdout)
