"""KeyBERT's keywords with a real sentence embedding model. Usage: minilm_keywords.py MODEL_FOLDER REQUEST.json

REQUEST.json: {"documents": […], "options": [{…}]}; answers one list of keywords per options.
"""

import json
import sys
import warnings

from keybert import KeyBERT
from sentence_transformers import SentenceTransformer

warnings.filterwarnings("ignore")
request = json.load(open(sys.argv[2], encoding="utf-8"))
model = KeyBERT(SentenceTransformer(sys.argv[1], device="cpu"))
for options in request["options"]:
    # scikit-learn takes no list here, and KeyBERT would answer the complaint with no keywords.
    options["keyphrase_ngram_range"] = tuple(options["keyphrase_ngram_range"])
answers = [model.extract_keywords(request["documents"], **options) for options in request["options"]]
json.dump(answers, sys.stdout)
