"""Writes tiny random models of every family and head into a folder, and what transformers says about them.

usage: write_models.py FOLDER -> FOLDER/<name>/ (a repository) and FOLDER/expected.json
"""
import json
import os
import sys

os.environ.update(HF_HUB_OFFLINE="1", TRANSFORMERS_VERBOSITY="error", TOKENIZERS_PARALLELISM="false")
import torch
from safetensors.torch import load_file, save_file
from transformers import (BertConfig, BertForSequenceClassification, BertForTokenClassification, BertModel,
                          BertTokenizerFast, DistilBertConfig, DistilBertForSequenceClassification,
                          DistilBertForTokenClassification, DistilBertModel)

FOLDER = sys.argv[1]
TEXTS = ["The quick brown fox", "jumps!", "over the lazy dog, again and again and again", "Zürich 東京 x"]
LABELS = {0: "negative", 1: "neutral", 2: "positive"}
TAGS = {0: "B-LOC", 1: "B-PER", 2: "I-LOC", 3: "I-PER", 4: "O"}


def vocabulary():
    letters = [chr(c) for c in range(33, 127)] + list("äöüéèñß東京日本語中文한국어")
    words = "the quick brown fox over lazy dog again and jump good bad fine city of The Anna Bonn".split()
    return ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"] + letters + ["##" + c for c in letters] + words + ["##s", "##ing"]


def tokenizer(folder, lower=True, fast=True):
    os.makedirs(folder, exist_ok=True)
    with open(f"{folder}/vocab.txt", "w", encoding="utf-8") as file:
        file.write("\n".join(dict.fromkeys(vocabulary())) + "\n")
    if fast:
        made = BertTokenizerFast(vocab=f"{folder}/vocab.txt", do_lower_case=lower, model_max_length=64)
        made.save_pretrained(folder)
        return made
    with open(f"{folder}/tokenizer_config.json", "w") as file:
        json.dump({"do_lower_case": lower, "model_max_length": 64, "tokenizer_class": "BertTokenizer"}, file)
    return BertTokenizerFast.from_pretrained(folder)


def bert(**more):
    return BertConfig(vocab_size=len(set(vocabulary())), hidden_size=32, num_hidden_layers=2, num_attention_heads=4,
                      intermediate_size=48, max_position_embeddings=64, initializer_range=0.2, **more)


def distilbert(**more):
    return DistilBertConfig(vocab_size=len(set(vocabulary())), dim=32, n_layers=2, n_heads=4, hidden_dim=48,
                            max_position_embeddings=64, initializer_range=0.2, **more)


def names(labels):
    return {"id2label": labels, "label2id": {name: id for id, name in labels.items()}}


def sentence_files(folder, mode):
    os.makedirs(f"{folder}/1_Pooling", exist_ok=True)
    pooling = {"word_embedding_dimension": 32, "pooling_mode_cls_token": mode == "cls",
               "pooling_mode_mean_tokens": mode == "mean", "pooling_mode_max_tokens": mode == "max",
               "pooling_mode_mean_sqrt_len_tokens": False}
    modules = [{"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"},
               {"idx": 1, "name": "1", "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"}]
    if mode != "max":
        modules.append({"idx": 2, "name": "2", "path": "2_Normalize", "type": "sentence_transformers.models.Normalize"})
    for name, value in {"1_Pooling/config.json": pooling, "modules.json": modules,
                        "sentence_bert_config.json": {"max_seq_length": 16, "do_lower_case": False}}.items():
        with open(f"{folder}/{name}", "w") as file:
            json.dump(value, file)


def old_names(source, target):
    """As checkpoints of 2018 have them: gamma and beta, position_ids, half precision nowhere."""
    tensors = {}
    for name, tensor in load_file(f"{source}/model.safetensors").items():
        name = name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta")
        tensors[name] = tensor
    tensors["bert.embeddings.position_ids"] = torch.arange(64).unsqueeze(0)
    os.system(f"cp -r {source} {target}")
    save_file(tensors, f"{target}/model.safetensors", {"format": "pt"})


def main():
    torch.manual_seed(7)
    expected = {"texts": TEXTS, "models": {}}
    models = {
        "bert-text": BertForSequenceClassification(bert(**names(LABELS))),
        "bert-token": BertForTokenClassification(bert(**names(TAGS))),
        "bert-bare": BertModel(bert()),
        "bert-max": BertModel(bert(hidden_act="relu")),
        "distilbert-text": DistilBertForSequenceClassification(distilbert(**names(LABELS))),
        "distilbert-token": DistilBertForTokenClassification(distilbert(**names(TAGS))),
        "distilbert-bare": DistilBertModel(distilbert(activation="relu")),
    }
    for name, model in models.items():
        folder = f"{FOLDER}/{name}"
        model.eval().save_pretrained(folder)
        made = tokenizer(folder)
        batch = made(TEXTS, padding=True, return_tensors="pt")
        if "distil" in name:
            batch.pop("token_type_ids", None)
        with torch.no_grad():
            out = model(**batch)
        logits = out.logits if hasattr(out, "logits") else out.last_hidden_state
        expected["models"][name] = {"ids": batch["input_ids"].tolist(), "mask": batch["attention_mask"].tolist(),
                                    "logits": logits.flatten().tolist(), "shape": list(logits.shape)}
    for name, mode in {"bert-bare": "mean", "distilbert-bare": "cls", "bert-max": "max"}.items():
        sentence_files(f"{FOLDER}/{name}", mode)
    old_names(f"{FOLDER}/bert-text", f"{FOLDER}/bert-old-names")
    expected["models"]["bert-old-names"] = expected["models"]["bert-text"]
    with open(f"{FOLDER}/expected.json", "w") as file:
        json.dump(expected, file)


if __name__ == "__main__":
    main()
