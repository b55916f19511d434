"""Writes tiny random models of every family and head into a folder, and what transformers says about them.

usage: write_models.py FOLDER -> FOLDER/<name>/ (a repository) and FOLDER/expected.json
"""
import copy
import json
import os
import shutil
import sys

os.environ.update(HF_HUB_OFFLINE="1", TRANSFORMERS_VERBOSITY="error", TOKENIZERS_PARALLELISM="false")
import tiny_tokenizers
import torch
from safetensors.torch import load_file, save_file
from tiny_tokenizers import word_piece
from transformers import (AlbertConfig, AutoModel, AutoModelForSequenceClassification, AutoModelForTokenClassification,
                          BertConfig, CamembertConfig, DebertaV2Config, DistilBertConfig, ElectraConfig, MPNetConfig,
                          RobertaConfig, XLMRobertaConfig)

FOLDER = sys.argv[1]
# The last one is longer than any of the models takes.
TEXTS = ["The quick brown fox", "jumps!", "over the lazy dog, again and again and again", "Zürich 東京 x",
         "the quick brown fox over the lazy dog " * 40]
LABELS = {0: "negative", 1: "neutral", 2: "positive"}
TAGS = {0: "B-LOC", 1: "B-PER", 2: "I-LOC", 3: "I-PER", 4: "O"}
SIZES = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 48,
         "max_position_embeddings": 64}
HEADS = {"bare": (AutoModel, {}), "text": (AutoModelForSequenceClassification, LABELS),
         "token": (AutoModelForTokenClassification, TAGS)}
# Positions begin behind the padding's id, so that 64 tokens need 66 of them.
FAIRSEQ = {**SIZES, "max_position_embeddings": 66, "type_vocab_size": 1, "pad_token_id": 1}
DISTILBERT = {"dim": 32, "n_layers": 2, "n_heads": 4, "hidden_dim": 48, "max_position_embeddings": 64}
# As deberta-v3-base and mdeberta-v3-base.
DEBERTA_V3 = {**SIZES, "relative_attention": True, "position_buckets": 8, "norm_rel_ebd": "layer_norm",
              "share_att_key": True, "pos_att_type": "p2c|c2p", "position_biased_input": False, "type_vocab_size": 0}
# The same without what v3 has in common.
DEBERTA_OWN = {"share_att_key": False, "norm_rel_ebd": "none", "position_buckets": -1, "position_biased_input": True}

# Each with every head: configuration class, its fields, tokenizer.
FAMILIES = {
    "bert": (BertConfig, SIZES, word_piece),
    "distilbert": (DistilBertConfig, DISTILBERT, word_piece),
    "roberta": (RobertaConfig, {**FAIRSEQ, "layer_norm_eps": 1e-5}, tiny_tokenizers.byte_level),
    "xlm-roberta": (XLMRobertaConfig, {**FAIRSEQ, "layer_norm_eps": 1e-5}, tiny_tokenizers.xlm_roberta),
    # Long enough for the widest bucket of distances.
    "mpnet": (MPNetConfig, {**SIZES, "max_position_embeddings": 202}, tiny_tokenizers.mpnet),
    "electra": (ElectraConfig, {**SIZES, "embedding_size": 16}, word_piece),
    # Its dropouts are 0 by default.
    "albert": (AlbertConfig, {**SIZES, "embedding_size": 16, "hidden_dropout_prob": 0.1,
                              "attention_probs_dropout_prob": 0.2}, tiny_tokenizers.albert),
    "deberta-v2": (DebertaV2Config, DEBERTA_V3, word_piece),
}
# What the families can be besides, each with one head: base, head, fields.
VARIANTS = {
    "bert-max": ("bert", "bare", {"hidden_act": "relu"}),
    "bert-wide-head-text": ("bert", "text", {"num_attention_heads": 1}),
    "bert-types-text": ("bert", "text", {"type_vocab_size": 4, "classifier_dropout": 0.3, "hidden_act": "gelu_new"}),
    "roberta-types-token": ("roberta", "token", {"type_vocab_size": 2, "pad_token_id": 3}),
    "electra-one-size-text": ("electra", "text", {"embedding_size": 32}),
    "albert-groups-text": ("albert", "text", {"num_hidden_layers": 4, "num_hidden_groups": 2, "inner_group_num": 2}),
    # As deberta-v2-xlarge.
    "deberta-v2-convolution-text": ("deberta-v2", "text", {"conv_kernel_size": 3, "conv_act": "gelu",
                                                           "attention_head_size": 8}),
    "deberta-v2-embeddings-token": ("deberta-v2", "token", {
        **DEBERTA_OWN, "max_relative_positions": 16, "embedding_size": 24, "type_vocab_size": 2, "conv_kernel_size": 5,
        "conv_groups": 2, "hidden_act": "gelu_new"}),
    "deberta-v2-c2p-bare": ("deberta-v2", "bare", {**DEBERTA_OWN, "pos_att_type": ["c2p"], "position_buckets": 6,
                                                   "max_relative_positions": 20}),
    "deberta-v2-p2c-text": ("deberta-v2", "text", {**DEBERTA_OWN, "pos_att_type": ["p2c"], "pooler_hidden_act": "tanh",
                                                   "pooler_dropout": 0.1, "cls_dropout": 0.2}),
    "deberta-v2-absolute-token": ("deberta-v2", "token", {**DEBERTA_OWN, "relative_attention": False}),
    "mpnet-buckets-token": ("mpnet", "token", {"relative_attention_num_buckets": 40}),
}


def tokenizer(folder, lower=True, fast=True):
    return word_piece(folder, lower, fast)


def build(config_class, fields, head, made):
    auto, labels = HEADS[head]
    named = {"id2label": labels, "label2id": {name: id for id, name in labels.items()}} if labels else {}
    config = config_class(vocab_size=len(made), initializer_range=0.2, **fields, **named)
    model = auto.from_config(config, dtype=torch.float32).eval()
    # Biases, normalisations and the padding's vectors are 0 or 1 in new models: what is 0 proves nothing.
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.1 * torch.randn_like(parameter)
    return model


def limit(config):
    """Tokens that the model takes."""
    fairseq = config.model_type in ("roberta", "xlm-roberta", "camembert", "mpnet")
    return config.max_position_embeddings - (config.pad_token_id + 1 if fairseq else 0)


def say(model, made):
    made.pad_token = made.convert_ids_to_tokens(model.config.pad_token_id)
    batch = made(TEXTS, padding=True, truncation=True, max_length=limit(model.config), return_tensors="pt")
    if model.config.model_type in ("distilbert", "mpnet"):
        batch.pop("token_type_ids", None)
    # In fp64: how far PyTorch's own fp32 is off depends on the processor.
    with torch.no_grad():
        out = copy.deepcopy(model).double()(**batch)
    logits = out.logits if hasattr(out, "logits") else out.last_hidden_state
    return {"ids": batch["input_ids"].tolist(), "mask": batch["attention_mask"].tolist(),
            "logits": logits.flatten().tolist(), "shape": list(logits.shape)}


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


def dense_files(folder, pooling, *layers):
    """Sentence-transformers' files with `layers` behind the pooling: fields of the layer, file of its weights."""
    kind = lambda name: f"sentence_transformers.models.{name}"
    modules = [{"idx": 0, "name": "0", "path": "", "type": kind("Transformer")},
               {"idx": 1, "name": "1", "path": "1_Pooling", "type": kind("Pooling")}]
    files = {"1_Pooling": {"word_embedding_dimension": 32, **pooling}}
    for place, (fields, file) in enumerate(layers, 2):
        path = f"{place}_Dense"
        modules.append({"idx": place, "name": str(place), "path": path, "type": kind("Dense")})
        files[path] = fields
        sizes = fields["out_features"], fields["in_features"]
        tensors = {"linear.weight": torch.randn(sizes) * 0.3}
        if fields["bias"]:
            tensors["linear.bias"] = torch.randn(sizes[0])
        if fields.get("use_residual") and sizes[0] != sizes[1]:
            tensors["residual.weight"] = torch.randn(sizes) * 0.3
        os.makedirs(f"{folder}/{path}")
        save = save_file if file.endswith("safetensors") else torch.save
        save(tensors, f"{folder}/{path}/{file}")
    place = len(modules)
    modules.append({"idx": place, "name": str(place), "path": f"{place}_Normalize", "type": kind("Normalize")})
    os.makedirs(f"{folder}/1_Pooling", exist_ok=True)
    for path, value in files.items():
        with open(f"{folder}/{path}/config.json", "w") as file:
            json.dump(value, file)
    for name, value in {"modules.json": modules, "sentence_bert_config.json": {"max_seq_length": 16}}.items():
        with open(f"{folder}/{name}", "w") as file:
            json.dump(value, file)


def with_dense():
    """Bare models with linear layers behind the pooling; they are not among the expected, whose encoders they have."""
    function = "torch.nn.modules.activation."
    for name, source, *files in [
        # As LaBSE.
        ("bert-dense", "bert-max", {"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False},
         ({"in_features": 32, "out_features": 20, "bias": True, "activation_function": f"{function}Tanh"},
          "model.safetensors")),
        ("roberta-dense", "roberta-bare", {"pooling_mode": ["weightedmean", "lasttoken"], "include_prompt": True},
         ({"in_features": 64, "out_features": 16, "bias": False, "use_residual": True,
           "activation_function": "torch.nn.modules.linear.Identity"}, "pytorch_model.bin"),
         ({"in_features": 16, "out_features": 16, "bias": True, "use_residual": True,
           "activation_function": f"{function}GELU"}, "model.safetensors")),
        ("electra-pooled", "electra-bare", {"pooling_mode_weightedmean_tokens": True, "pooling_mode_lasttoken": True,
                                            "pooling_mode_max_tokens": True}),
    ]:
        shutil.copytree(f"{FOLDER}/{source}", f"{FOLDER}/{name}")
        dense_files(f"{FOLDER}/{name}", *files)


def old_names(tensors):
    """As checkpoints of 2018 have them: gamma and beta, position_ids."""
    old = lambda name: name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta")
    return {**{old(name): tensor for name, tensor in tensors.items()},
            "bert.embeddings.position_ids": torch.arange(64).unsqueeze(0)}


def no_prefix(tensors):
    """As the bare model is saved, but with a head."""
    return {name.removeprefix("roberta."): tensor for name, tensor in tensors.items()}


def with_prefix(tensors):
    """As a model for masked words is saved: the encoder below its prefix, and another head."""
    return {**{f"mpnet.{name}": tensor for name, tensor in tensors.items()}, "lm_head.bias": torch.zeros(3)}


def pretrained(tensors):
    """As deberta-v3-base is published: two heads of its pretraining, and positions that v3 has no use for."""
    return {**{f"deberta.{name}": tensor for name, tensor in tensors.items()},
            "deberta.embeddings.position_embeddings.weight": torch.zeros(64, 32),
            "lm_predictions.lm_head.bias": torch.zeros(3), "mask_predictions.dense.weight": torch.zeros(3, 3)}


def minimal(folder, config_class):
    """Leaves everything out of config.json that is as the class has it by default."""
    with open(f"{folder}/config.json") as file:
        fields = json.load(file)
    default = config_class().to_dict()
    kept = {key: value for key, value in fields.items() if key == "model_type" or value != default.get(key)}
    with open(f"{folder}/config.json", "w") as file:
        json.dump(kept, file)


def as_published(folder):
    """DeBERTa's published files have a text for the kinds of attention, which transformers writes back as a list."""
    with open(f"{folder}/config.json") as file:
        fields = json.load(file)
    fields["pos_att_type"] = "|".join(fields["pos_att_type"])
    with open(f"{folder}/config.json", "w") as file:
        json.dump(fields, file)


def main():
    torch.manual_seed(7)
    expected = {"texts": TEXTS, "models": {}}
    table = {f"{family}-{head}": (family, head, {}) for family in FAMILIES for head in HEADS}
    table["distilbert-bare"] = ("distilbert", "bare", {"activation": "relu"})
    FAMILIES["camembert"] = (CamembertConfig, *FAMILIES["xlm-roberta"][1:])
    for name, (family, head, more) in {**table, **VARIANTS, "camembert-text": ("camembert", "text", {})}.items():
        config_class, fields, make = FAMILIES[family]
        made = make(f"{FOLDER}/{name}")
        model = build(config_class, {**fields, **more}, head, made)
        model.save_pretrained(f"{FOLDER}/{name}")
        expected["models"][name] = say(model, made)
    for name, mode in {"bert-bare": "mean", "distilbert-bare": "cls", "bert-max": "max", "mpnet-bare": "mean",
                       "xlm-roberta-bare": "cls"}.items():
        sentence_files(f"{FOLDER}/{name}", mode)
    with_dense()
    for head in HEADS:
        as_published(f"{FOLDER}/deberta-v2-{head}")
    # The same models in other words.
    for name, source, change in [("bert-old-names", "bert-text", old_names),
                                 ("roberta-no-prefix-text", "roberta-text", no_prefix),
                                 ("mpnet-with-prefix-bare", "mpnet-bare", with_prefix),
                                 ("deberta-v2-pretrained-bare", "deberta-v2-bare", pretrained)]:
        shutil.copytree(f"{FOLDER}/{source}", f"{FOLDER}/{name}")
        tensors = load_file(f"{FOLDER}/{source}/model.safetensors")
        save_file(change(tensors), f"{FOLDER}/{name}/model.safetensors", {"format": "pt"})
        expected["models"][name] = expected["models"][source]
    for name, source, config_class in [("xlm-roberta-minimal-token", "xlm-roberta-token", XLMRobertaConfig),
                                       ("electra-minimal-text", "electra-text", ElectraConfig),
                                       ("deberta-v2-minimal-text", "deberta-v2-text", DebertaV2Config),
                                       ("albert-minimal-text", "albert-text", AlbertConfig)]:
        shutil.copytree(f"{FOLDER}/{source}", f"{FOLDER}/{name}")
        minimal(f"{FOLDER}/{name}", config_class)
        expected["models"][name] = expected["models"][source]
    with open(f"{FOLDER}/expected.json", "w") as file:
        json.dump(expected, file)


if __name__ == "__main__":
    main()
