"""Loads an exported folder as its consumers do, and prints what it says about documents.

usage: load_export.py TASK FOLDER DOCUMENTS.json   (TASK: text-classification, token-classification or embeddings)
"""
import json
import os
import sys

os.environ.update(HF_HUB_OFFLINE="1", TRANSFORMERS_VERBOSITY="error", TOKENIZERS_PARALLELISM="false")
import numpy

TASK, FOLDER, DOCUMENTS = sys.argv[1], sys.argv[2], json.load(open(sys.argv[3]))


def plain(value):
    return value.item() if isinstance(value, numpy.generic) else value


def main():
    if TASK == "embeddings":
        from sentence_transformers import SentenceTransformer
        print(json.dumps(SentenceTransformer(FOLDER, device="cpu").encode(DOCUMENTS).tolist()))
        return
    from transformers import pipeline
    pipe = pipeline(TASK, model=FOLDER)
    if TASK == "text-classification":
        said = [pipe(document)[0] for document in DOCUMENTS]
    else:
        said = [[{key: plain(value) for key, value in entity.items()} for entity in pipe(d)] for d in DOCUMENTS]
    print(json.dumps({"said": said, "class": type(pipe.model).__name__, "labels": list(pipe.model.config.id2label.values())}))


if __name__ == "__main__":
    main()
