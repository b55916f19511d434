"""Writes a model of full size with random weights, and what transformers says about rows of random ids.

usage: write_full_size.py xlm-roberta-base|deberta-v3-base FOLDER
 -> FOLDER/model/ (a repository with a tokenizer that nobody uses) and FOLDER/expected.json
"""
import json
import os
import random
import sys

os.environ.update(HF_HUB_OFFLINE="1", TRANSFORMERS_VERBOSITY="error", TOKENIZERS_PARALLELISM="false")
import torch
from judge_models import batch_of, logits_of, rows_of
from tiny_tokenizers import word_piece
from transformers import (DebertaV2Config, DebertaV2ForTokenClassification, XLMRobertaConfig,
                          XLMRobertaForSequenceClassification)

NAME, FOLDER = sys.argv[1:]
BASE = {"hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12, "intermediate_size": 3072}
# The fields of the published config.json files that shape the computation.
MODELS = {
    "xlm-roberta-base": (XLMRobertaForSequenceClassification, XLMRobertaConfig, {
        "vocab_size": 250002, "max_position_embeddings": 514, "type_vocab_size": 1, "layer_norm_eps": 1e-5,
        "pad_token_id": 1, "num_labels": 3}),
    "deberta-v3-base": (DebertaV2ForTokenClassification, DebertaV2Config, {
        "vocab_size": 128100, "max_position_embeddings": 512, "type_vocab_size": 0, "layer_norm_eps": 1e-7,
        "relative_attention": True, "max_relative_positions": -1, "position_buckets": 256, "norm_rel_ebd": "layer_norm",
        "share_att_key": True, "pos_att_type": "p2c|c2p", "position_biased_input": False, "num_labels": 5}),
}
# Distances from 128 on share buckets.
LENGTHS = [320, 90, 7]


def main():
    torch.manual_seed(11)
    model_class, config_class, fields = MODELS[NAME]
    model = model_class(config_class(**BASE, **fields)).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            # Biases and normalisations are 0 or 1 in new models: what is 0 proves nothing.
            if parameter.dim() < 2:
                parameter += 0.05 * torch.randn_like(parameter)
    model.save_pretrained(f"{FOLDER}/model")
    word_piece(f"{FOLDER}/model")
    rows = rows_of(model.config, random.Random(17), LENGTHS)
    # In fp64: how far PyTorch's own fp32 is off depends on the processor.
    with torch.no_grad():
        logits = logits_of(model.double(), batch_of(rows, model.config, model))
    with open(f"{FOLDER}/expected.json", "w") as file:
        json.dump({"rows": [row["ids"] for row in rows], "logits": logits.flatten().tolist(),
                   "shape": list(logits.shape), "parameters": model.num_parameters()}, file)


if __name__ == "__main__":
    main()
