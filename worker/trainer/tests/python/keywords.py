"""What KeyBERT and scikit-learn's CountVectorizer answer. Usage: keywords.py candidates|keywords|characters DOCUMENTS.json

The embeddings are no model's: the bytes of a text's SHA-256, so that the other side can have the same.
"""

import hashlib
import json
import sys
import unicodedata
import warnings

import numpy as np
from keybert import KeyBERT
from keybert.backend import BaseEmbedder
from sklearn.feature_extraction.text import CountVectorizer

warnings.filterwarnings("ignore")

RANGES = [(1, 1), (1, 2), (1, 3), (2, 3), (3, 3)]


class Digests(BaseEmbedder):
    def embed(self, documents, verbose=False):
        rows = [[byte - 100 for byte in hashlib.sha256(text.encode()).digest()] for text in documents]
        return np.array(rows, dtype=np.float32)


def candidates(documents):
    cases = []
    for ngram_range in RANGES:
        for stop_words in ("english", None):
            vectorizer = CountVectorizer(ngram_range=ngram_range, stop_words=stop_words)
            counts = vectorizer.fit_transform(documents)
            counts.sort_indices()
            cases.append({
                "ngram_range": ngram_range,
                "stop_words": stop_words,
                "names": list(vectorizer.get_feature_names_out()),
                "of_documents": [[int(index) for index in row.indices] for row in counts],
            })
    return cases


def characters():
    """Of all that this Python's Unicode knows: [first, last, whether all of them are part of words] and lower case."""
    word = CountVectorizer(lowercase=False).build_analyzer()
    runs, lower = [], []
    for code in range(0x110000):
        character = chr(code)
        if unicodedata.category(character) in ("Cn", "Cs"):
            continue
        inside = word("x" + character) != []
        if runs and runs[-1][2] == inside and runs[-1][1] == code - 1:
            runs[-1][1] = code
        else:
            runs.append([code, code, inside])
        if character.lower() != character:
            lower.append([character, character.lower()])
    return {"runs": runs, "lower": lower}


def keywords(documents):
    model = KeyBERT(Digests())
    cases = []
    for ngram_range in RANGES[:4]:
        for mmr, top_n in ((None, 5), (None, 20), (0.3, 5), (0.7, 20)):
            options = {
                "keyphrase_ngram_range": ngram_range,
                "stop_words": None if top_n == 20 else "english",
                "top_n": top_n,
                "use_mmr": mmr is not None,
                "diversity": 0.5 if mmr is None else mmr,
            }
            cases.append({"options": options, "keywords": model.extract_keywords(documents, **options)})
    return cases


documents = json.load(open(sys.argv[2], encoding="utf-8"))
answer = {"candidates": candidates, "keywords": keywords, "characters": lambda _: characters()}[sys.argv[1]](documents)
json.dump(answer, sys.stdout)
