"""Loads exported folders as transformers does: is every tensor where it belongs, and what do model and tokenizer say?

usage: load_exports.py FOLDER TEXTS.json  -> FOLDER/loaded.json: {name: {"class", "loading": {…}, "ids", "mask", "logits"}}
"""
import json
import os
import sys

os.environ.update(HF_HUB_OFFLINE="1", TRANSFORMERS_VERBOSITY="error", TOKENIZERS_PARALLELISM="false")
import torch
from judge_models import batch_of, load, logits_of
from transformers import AutoTokenizer

FOLDER, TEXTS = sys.argv[1], json.load(open(sys.argv[2]))


def describe(folder):
    model, loading = load(folder, output_loading_info=True)
    model.eval()
    ids = AutoTokenizer.from_pretrained(folder)(TEXTS)["input_ids"]
    rows = [{"ids": row, "types": [0] * len(row)} for row in ids]
    # In fp64: how far PyTorch's own fp32 is off depends on the processor.
    with torch.no_grad():
        logits = logits_of(model.double(), batch_of(rows, model.config, model))
    return {"class": type(model).__name__, "loading": {key: [str(x) for x in value] for key, value in loading.items()},
            "ids": ids, "logits": logits.flatten().tolist()}


def main():
    names = sorted(name for name in os.listdir(FOLDER) if os.path.isdir(f"{FOLDER}/{name}"))
    with open(f"{FOLDER}/loaded.json", "w") as file:
        json.dump({name: describe(f"{FOLDER}/{name}") for name in names}, file)


if __name__ == "__main__":
    main()
