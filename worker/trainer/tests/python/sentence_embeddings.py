"""Vectors that sentence-transformers gives documents. usage: sentence_embeddings.py DOCUMENTS.json FOLDER…

Prints one list of vectors a folder, each loaded from nothing but its files.
"""
import json
import os
import sys

os.environ.update(HF_HUB_OFFLINE="1", TRANSFORMERS_VERBOSITY="error", TOKENIZERS_PARALLELISM="false")
from sentence_transformers import SentenceTransformer

with open(sys.argv[1]) as file:
    documents = json.load(file)
print(json.dumps([SentenceTransformer(folder, device="cpu").encode(documents).tolist() for folder in sys.argv[2:]]))
