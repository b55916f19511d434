#!/usr/bin/env python3
"""Writes a repository of the hub with the file list and config of a model that the train component names, at full size,
with random weights and a vocabulary of the real length that was made here.

usage: random_repository.py FOLDER [REPOSITORY]

FOLDER/<owner>/<name>/ is written; without REPOSITORY the known ones are listed. A repository that was renamed is written
under its name of today, and FOLDER/<old name>/.renamed tells the name. The same call gives the same bytes.

What is real: the names of the files, config.json, the shapes and names of the tensors (those that today's classes do not
read included), the number of pieces. What is not: every weight and every learned piece. docs/models.md tells what is
known of the real file lists and what is assumed.
"""

import json
import os
import re
import shutil
import sys
import tempfile
from pathlib import Path

os.environ.update(HF_HUB_OFFLINE="1", TRANSFORMERS_VERBOSITY="error", TOKENIZERS_PARALLELISM="false")
SEED = 20230911
# What a file in a format that nobody here may fetch holds: enough to be seen if it came.
PLACEHOLDER = b"not to be fetched\n" * 4096

XLM_ROBERTA = {
    "model_type": "xlm-roberta", "attention_probs_dropout_prob": 0.1, "bos_token_id": 0, "eos_token_id": 2,
    "gradient_checkpointing": False, "hidden_act": "gelu", "hidden_dropout_prob": 0.1, "hidden_size": 768,
    "initializer_range": 0.02, "intermediate_size": 3072, "layer_norm_eps": 1e-05, "max_position_embeddings": 514,
    "num_attention_heads": 12, "num_hidden_layers": 12, "output_past": True, "pad_token_id": 1,
    "position_embedding_type": "absolute", "type_vocab_size": 1, "use_cache": True, "vocab_size": 250002,
}
BERT = {
    "model_type": "bert", "attention_probs_dropout_prob": 0.1, "hidden_act": "gelu", "hidden_dropout_prob": 0.1,
    "initializer_range": 0.02, "layer_norm_eps": 1e-12, "max_position_embeddings": 512, "num_attention_heads": 12,
    "num_hidden_layers": 12, "pad_token_id": 0, "type_vocab_size": 2,
}
CONLL = ["O", "B-MISC", "I-MISC", "B-PER", "I-PER", "B-ORG", "I-ORG", "B-LOC", "I-LOC"]
HRL = ["O", "B-DATE", "I-DATE", "B-PER", "I-PER", "B-ORG", "I-ORG", "B-LOC", "I-LOC"]
SENTIMENT = ["Negative", "Neutral", "Positive"]
XLM_ROBERTA_SPECIAL = {
    "bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>", "sep_token": "</s>", "pad_token": "<pad>",
    "cls_token": "<s>",
}
BERT_SPECIAL = {"unk_token": "[UNK]", "sep_token": "[SEP]", "pad_token": "[PAD]", "cls_token": "[CLS]", "mask_token": "[MASK]"}
MASK = {"content": "<mask>", "single_word": False, "lstrip": True, "rstrip": False, "normalized": True}
OPENVINO = ["openvino/openvino_model.bin", "openvino/openvino_model.xml", "openvino/openvino_model_qint8_quantized.bin",
            "openvino/openvino_model_qint8_quantized.xml"]
ONNX = ["onnx/model.onnx", *(f"onnx/model_O{level}.onnx" for level in (1, 2, 3, 4)), "onnx/model_qint8_arm64.onnx",
        "onnx/model_qint8_avx512.onnx", "onnx/model_qint8_avx512_vnni.onnx", "onnx/model_quint8_avx2.onnx"]


def labels(names: list[str]) -> dict:
    return {"id2label": {str(i): name for i, name in enumerate(names)}, "label2id": {name: i for i, name in enumerate(names)}}


# weights: the file that is written in full. tensors: what the checkpoint holds beyond today's class. json: small files.
# others: formats that must stay where they are.
MODELS: dict[str, dict] = {
    "sentence-transformers/paraphrase-multilingual-MiniLM-L12-v2": {
        "class": "BertModel",
        "config": {**BERT, "_name_or_path": "old_models/paraphrase-multilingual-MiniLM-L12-v2/0_Transformer",
                   "gradient_checkpointing": False, "hidden_size": 384, "intermediate_size": 1536,
                   "position_embedding_type": "absolute", "transformers_version": "4.7.0", "use_cache": True,
                   "vocab_size": 250037},
        "tokenizer": "xlm-roberta", "tokenizer_json": True, "weights": "model.safetensors", "tensors": ["position_ids"],
        "json": {
            "1_Pooling/config.json": {"word_embedding_dimension": 384, "pooling_mode_cls_token": False,
                                      "pooling_mode_mean_tokens": True, "pooling_mode_max_tokens": False,
                                      "pooling_mode_mean_sqrt_len_tokens": False},
            "modules.json": [{"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"},
                             {"idx": 1, "name": "1", "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"}],
            "sentence_bert_config.json": {"max_seq_length": 128, "do_lower_case": False},
            "config_sentence_transformers.json": {"__version__": {"sentence_transformers": "2.0.0", "transformers": "4.7.0",
                                                                  "pytorch": "1.9.0+cu102"}},
            "tokenizer_config.json": {**XLM_ROBERTA_SPECIAL, "mask_token": {**MASK, "__type": "AddedToken"},
                                      "model_max_length": 512, "do_lower_case": True, "strip_accents": None,
                                      "tokenize_chinese_chars": True, "tokenizer_class": "PreTrainedTokenizerFast"},
            "special_tokens_map.json": {**XLM_ROBERTA_SPECIAL, "mask_token": MASK},
        },
        "others": ["pytorch_model.bin", "tf_model.h5", "unigram.json", *ONNX, *OPENVINO],
    },
    "dslim/bert-base-NER": {
        "class": "BertForTokenClassification",
        "config": {**BERT, **labels(CONLL), "_num_labels": 9, "directionality": "bidi", "hidden_size": 768,
                   "intermediate_size": 3072, "max_length": 512, "output_past": True, "pooler_fc_size": 768,
                   "pooler_num_attention_heads": 12, "pooler_num_fc_layers": 3, "pooler_size_per_head": 128,
                   "pooler_type": "first_token_transform", "vocab_size": 28996},
        "tokenizer": "wordpiece", "weights": "model.safetensors", "tensors": ["position_ids", "pooler"],
        "json": {
            "tokenizer_config.json": {"do_lower_case": False, "max_len": 512, "init_inputs": []},
            "special_tokens_map.json": BERT_SPECIAL,
            "added_tokens.json": {},
        },
        "others": ["pytorch_model.bin", "tf_model.h5", "flax_model.msgpack", "onnx/model.onnx", "onnx/config.json",
                   "onnx/tokenizer.json", "onnx/tokenizer_config.json", "onnx/special_tokens_map.json", "onnx/vocab.txt",
                   "onnx/added_tokens.json"],
    },
    "Davlan/distilbert-base-multilingual-cased-ner-hrl": {
        "class": "DistilBertForTokenClassification",
        "config": {**labels(HRL), "model_type": "distilbert", "activation": "gelu", "attention_dropout": 0.1, "dim": 768,
                   "dropout": 0.1, "hidden_dim": 3072, "initializer_range": 0.02, "max_position_embeddings": 512,
                   "n_heads": 12, "n_layers": 6, "output_past": True, "pad_token_id": 0, "qa_dropout": 0.1,
                   "seq_classif_dropout": 0.2, "sinusoidal_pos_embds": False, "tie_weights_": True, "vocab_size": 119547},
        "tokenizer": "wordpiece", "weights": "pytorch_model.bin", "tensors": [],
        "json": {
            "tokenizer_config.json": {"do_lower_case": False, **BERT_SPECIAL, "tokenize_chinese_chars": True,
                                      "strip_accents": None, "model_max_length": 512, "special_tokens_map_file": None,
                                      "name_or_path": "distilbert-base-multilingual-cased",
                                      "tokenizer_class": "DistilBertTokenizer"},
            "special_tokens_map.json": BERT_SPECIAL,
        },
        "others": ["tf_model.h5", "training_args.bin"],
    },
    "Davlan/xlm-roberta-base-ner-hrl": {
        "class": "XLMRobertaForTokenClassification",
        "config": {**XLM_ROBERTA, **labels(HRL), "_name_or_path": "xlm-roberta-base"},
        "tokenizer": "xlm-roberta", "weights": "model.safetensors", "tensors": ["position_ids"],
        "json": {
            "tokenizer_config.json": {**XLM_ROBERTA_SPECIAL, "mask_token": {**MASK, "__type": "AddedToken"},
                                      "model_max_length": 512, "special_tokens_map_file": None,
                                      "name_or_path": "xlm-roberta-base", "tokenizer_class": "XLMRobertaTokenizer"},
            "special_tokens_map.json": {**XLM_ROBERTA_SPECIAL, "mask_token": MASK},
        },
        "others": ["pytorch_model.bin", "tf_model.h5", "training_args.bin"],
    },
    "cardiffnlp/twitter-xlm-roberta-base-sentiment": {
        "class": "XLMRobertaForSequenceClassification",
        "config": {**XLM_ROBERTA, **labels(SENTIMENT), "_name_or_path": "/home/jupyter/misc/tweeteval/twitter-xlm-roberta-base",
                   "transformers_version": "4.5.0.dev0"},
        "tokenizer": "xlm-roberta", "weights": "pytorch_model.bin", "tensors": ["position_ids"],
        "json": {"special_tokens_map.json": {**XLM_ROBERTA_SPECIAL, "mask_token": "<mask>"}},
        "others": ["tf_model.h5"],
    },
    "yangheng/deberta-v3-base-absa-v1.1": {
        "class": "DebertaV2ForSequenceClassification",
        "config": {**labels(SENTIMENT), "model_type": "deberta-v2", "_name_or_path": "microsoft/deberta-v3-base",
                   "attention_probs_dropout_prob": 0.1, "hidden_act": "gelu", "hidden_dropout_prob": 0.1, "hidden_size": 768,
                   "initializer_range": 0.02, "intermediate_size": 3072, "layer_norm_eps": 1e-07,
                   "max_position_embeddings": 512, "max_relative_positions": -1, "norm_rel_ebd": "layer_norm",
                   "num_attention_heads": 12, "num_hidden_layers": 12, "pad_token_id": 0, "pooler_dropout": 0,
                   "pooler_hidden_act": "gelu", "pooler_hidden_size": 768, "pos_att_type": ["p2c", "c2p"],
                   "position_biased_input": False, "position_buckets": 256, "relative_attention": True,
                   "share_att_key": True, "type_vocab_size": 0, "vocab_size": 128100},
        "tokenizer": "deberta-v3", "weights": "pytorch_model.bin", "tensors": ["position_ids"],
        "json": {
            "tokenizer_config.json": {"do_lower_case": False, "bos_token": "[CLS]", "eos_token": "[SEP]", **BERT_SPECIAL,
                                      "split_by_punct": False, "sp_model_kwargs": {}, "vocab_type": "spm",
                                      "model_max_length": 1000000000000000019884624838656, "special_tokens_map_file": None,
                                      "name_or_path": "microsoft/deberta-v3-base", "tokenizer_class": "DebertaV2Tokenizer"},
            "special_tokens_map.json": {"bos_token": "[CLS]", "eos_token": "[SEP]", **BERT_SPECIAL},
            "added_tokens.json": {"[MASK]": 128000},
        },
        "others": ["training_args.bin"],
    },
    "FacebookAI/xlm-roberta-base": {
        "renamed_from": "xlm-roberta-base",
        "class": "XLMRobertaForMaskedLM",
        "config": {**XLM_ROBERTA},
        "tokenizer": "xlm-roberta", "tokenizer_json": True, "weights": "model.safetensors", "tensors": ["position_ids", "pooler"],
        "json": {"tokenizer_config.json": {"model_max_length": 512}},
        "others": ["pytorch_model.bin", "tf_model.h5", "flax_model.msgpack", "onnx/model.onnx", "onnx/model.onnx_data",
                   "onnx/config.json", "onnx/tokenizer.json", "onnx/tokenizer_config.json", "onnx/special_tokens_map.json",
                   "onnx/sentencepiece.bpe.model"],
    },
}

# What the sample documents of the projects hold, and languages beside: a vocabulary that knows nothing of them would
# make every text the same.
CORPUS = """
Supervised learning is the machine learning task of learning a function that maps an input to an output.
The Gulf Stream is a warm and swift Atlantic ocean current that originates in the Gulf of Mexico and follows the coastline.
Google HQ is in Mountain View, CA. Angela Merkel met the mayor of Paris in Brussels, and Barack Obama lived in the White House.
I love this phone, the battery lasts for days. The parcel arrived on Tuesday. What a waste of money, it broke after one week.
Das Hotel war wunderbar. El servicio fue terrible. La réunion est reportée à jeudi. Ich wohne in Zürich und Köln.
The home side won the derby with a goal in the last minute. The central bank left interest rates unchanged.
A new vaccine protects children against the virus. Heavy snow is expected in the mountains tonight.
東京は日本の首都です。런던과 샌프란시스코에 가족이 있어요. 北京是中国的首都。Москва — столица России. القاهرة عاصمة مصر.
The company reported good results, the team lost the game, the minister said no, and nobody was there to listen.
""".strip().splitlines()


def wordpiece(folder: Path, size: int) -> None:
    """vocab.txt of `size` lines: special tokens where BERT's cased vocabularies have them, letters, words, unused ones."""
    text = " ".join(CORPUS)
    letters = sorted(set(text) - {" "} | set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"))
    words = [word for word in dict.fromkeys(re.findall(r"[^\W\d_]+", text)) if len(word) > 1][::2]
    pieces = ["[PAD]", *(f"[unused{i}]" for i in range(1, 100)), "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    pieces += [*letters, *(f"##{letter}" for letter in letters), *words, "##ing", "##ed", "##er", "##s"]
    pieces = list(dict.fromkeys(pieces))
    pieces += [f"##unlearned{i}" for i in range(size - len(pieces))]
    (folder / "vocab.txt").write_text("\n".join(pieces) + "\n", encoding="utf-8")


def sentencepiece(path: Path, size: int, **special: object) -> None:
    """A Unigram model that was trained here, with pieces that no text has up to `size`."""
    import sentencepiece as spm
    from sentencepiece import sentencepiece_model_pb2 as protobuf

    with tempfile.TemporaryDirectory() as scratch:
        corpus = Path(scratch) / "corpus.txt"
        corpus.write_text("\n".join(CORPUS * 8), encoding="utf-8")
        spm.SentencePieceTrainer.train(
            input=str(corpus), model_prefix=f"{scratch}/made", model_type="unigram", vocab_size=700, character_coverage=1.0,
            hard_vocab_limit=False, num_threads=1, minloglevel=2, **special)
        model = protobuf.ModelProto()
        model.ParseFromString(Path(f"{scratch}/made.model").read_bytes())
    for number in range(size - len(model.pieces)):
        model.pieces.add(piece=f"\u2581qzx{number}", score=-30.0 - number / size)
    model.trainer_spec.vocab_size = size
    path.write_bytes(model.SerializeToString())


def tokenizer(folder: Path, known: dict) -> None:
    kind = known["tokenizer"]
    if kind == "wordpiece":
        wordpiece(folder, known["config"]["vocab_size"])
    elif kind == "xlm-roberta":
        sentencepiece(folder / "sentencepiece.bpe.model", 250000)
    else:
        sentencepiece(folder / "spm.model", 128000, pad_id=0, pad_piece="[PAD]", bos_id=1, bos_piece="[CLS]", eos_id=2,
                      eos_piece="[SEP]", unk_id=3, unk_piece="[UNK]")
    if known.get("tokenizer_json"):
        tokenizer_json(folder)


def tokenizer_json(folder: Path) -> None:
    """As transformers makes it of the SentencePiece model."""
    from transformers import XLMRobertaTokenizer

    with tempfile.TemporaryDirectory() as scratch:
        shutil.copy(folder / "sentencepiece.bpe.model", scratch)
        XLMRobertaTokenizer.from_pretrained(scratch).save_pretrained(f"{scratch}/made")
        shutil.copy(f"{scratch}/made/tokenizer.json", folder)


def weights(folder: Path, known: dict, config: dict) -> None:
    import torch
    import transformers
    from safetensors.torch import save_file

    torch.manual_seed(SEED)
    with torch.no_grad():
        model = getattr(transformers, known["class"])(transformers.AutoConfig.for_model(**config))
        tensors = {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}
        for name, tensor in tensors.items():
            # Wide enough apart that a wrong encoder gives another label or score.
            if re.search(r"^(classifier|classifier\.out_proj)\.weight$", name):
                tensor.normal_(0, 0.1)
            elif name.endswith("bias"):
                tensor.normal_(0, 0.02)
    stem = re.match(r"[^.]+\.(?=embeddings|encoder|transformer)", next(iter(tensors)))
    prefix = stem.group(0) if stem else ""
    if "position_ids" in known["tensors"]:
        tensors[f"{prefix}embeddings.position_ids"] = torch.arange(config["max_position_embeddings"]).unsqueeze(0)
    if "pooler" in known["tensors"]:
        tensors[f"{prefix}pooler.dense.weight"] = torch.empty(config["hidden_size"], config["hidden_size"]).normal_(0, 0.02)
        tensors[f"{prefix}pooler.dense.bias"] = torch.zeros(config["hidden_size"])
    if known["weights"] == "pytorch_model.bin":
        torch.save(tensors, folder / "pytorch_model.bin")
    else:
        # The decoder of a masked language model shares the word embeddings' storage and is left out, as transformers does.
        tensors = {name: tensor.contiguous() for name, tensor in tensors.items() if name != "lm_head.decoder.weight"}
        save_file(tensors, folder / "model.safetensors", {"format": "pt"})


def write(folder: Path, repository: str) -> None:
    known = MODELS[repository]
    target = folder / repository
    target.mkdir(parents=True)
    config = {"architectures": [known["class"]], **known["config"]}
    for path, value in {"config.json": config, **known["json"]}.items():
        (target / path).parent.mkdir(exist_ok=True)
        (target / path).write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")
    for path in [".gitattributes", "README.md"]:
        (target / path).write_text(f"{repository}, of random weights\n", encoding="utf-8")
    for path in known["others"]:
        (target / path).parent.mkdir(exist_ok=True)
        (target / path).write_bytes(PLACEHOLDER + path.encode())
    tokenizer(target, known)
    weights(target, known, config)
    if "renamed_from" in known:
        (folder / known["renamed_from"]).mkdir(parents=True)
        (folder / known["renamed_from"] / ".renamed").write_text(repository + "\n", encoding="utf-8")


def main(arguments: list[str]) -> int:
    by_name = {known.get("renamed_from", name): name for name, known in MODELS.items()}
    if len(arguments) == 1:
        print("\n".join(by_name))
        return 0
    if len(arguments) != 2 or arguments[1] not in {*by_name, *MODELS}:
        print(__doc__, file=sys.stderr)
        return 64
    write(Path(arguments[0]), by_name.get(arguments[1], arguments[1]))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
