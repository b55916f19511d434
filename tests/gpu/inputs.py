"""Models with random weights, texts of known lengths and job files, for check.py and bench.py."""
import json
import os
import random

os.environ.update(HF_HUB_OFFLINE="1", TRANSFORMERS_VERBOSITY="error", TOKENIZERS_PARALLELISM="false")
import torch
from transformers import BertConfig, BertForSequenceClassification, BertTokenizerFast
from transformers import XLMRobertaConfig, XLMRobertaForSequenceClassification

WORDS = [f"w{i}" for i in range(2000)]
LABELS = ["negative", "neutral", "positive"]


def tokenizer(folder):
    """One token a word."""
    os.makedirs(folder, exist_ok=True)
    with open(f"{folder}/vocab.txt", "w") as file:
        file.write("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"] + WORDS) + "\n")
    made = BertTokenizerFast(vocab=f"{folder}/vocab.txt", do_lower_case=True, model_max_length=512)
    made.save_pretrained(folder)
    return made


def small(folder):
    torch.manual_seed(1)
    config = BertConfig(vocab_size=2005, hidden_size=256, num_hidden_layers=4, num_attention_heads=8,
                        intermediate_size=1024, num_labels=3, max_position_embeddings=512)
    BertForSequenceClassification(config).save_pretrained(folder)
    tokenizer(folder)


def base(folder):
    """XLM-RoBERTa base."""
    torch.manual_seed(2)
    config = XLMRobertaConfig(vocab_size=250002, hidden_size=768, num_hidden_layers=12, num_attention_heads=12,
                              intermediate_size=3072, max_position_embeddings=514, type_vocab_size=1,
                              layer_norm_eps=1e-5, pad_token_id=1, bos_token_id=0, eos_token_id=2, num_labels=3)
    XLMRobertaForSequenceClassification(config).save_pretrained(folder)
    tokenizer(folder)


def texts(file, rows, shortest, longest, seed=3):
    """Texts of so many tokens, special ones included; a label's words are a little likelier in its texts."""
    draw = random.Random(seed)
    with open(file, "w") as out:
        for _ in range(rows):
            label = draw.randrange(3)
            count = draw.randint(shortest, longest) - 2
            words = [draw.choice(WORDS[label * 20:label * 20 + 20] if draw.random() < 0.15 else WORDS)
                     for _ in range(count)]
            out.write(json.dumps({"text": " ".join(words), "label": LABELS[label]}) + "\n")


def job(file, data, batch, epochs, device, precision, length=512, every=None):
    training = {"data": {"path": data, "format": "jsonl", "name": data}, "epochs": epochs, "train_batch_size": batch,
                "gradient_accumulation_steps": 1, "learning_rate": 1e-4, "warmup_steps": 10, "weight_decay": 0.01,
                "max_grad_norm": 1.0, "test_size": 0.0, "evaluation_strategy": "no", "save_strategy": "no",
                "save_steps": 1, "save_total_limit": 1, "load_best_model_at_end": False,
                "metric_for_best_model": "loss", "early_stopping_patience": None}
    if every:
        training["checkpoint_every"] = {"steps": every}
    with open(file, "w") as out:
        json.dump({"schema": 1, "pipeline": "main", "task": "text-classification", "model": "model", "seed": 42,
                   "precision": precision, "device": device, "max_rows": None, "validation_data": None,
                   "max_length": length, "eval_batch_size": 32,
                   "columns": {name: name for name in ["text", "label", "tokens", "tags", "keyphrases"]},
                   "keywords": {"keyphrase_ngram_range": [1, 1], "stop_words": None, "top_n": 3, "use_mmr": False,
                                "diversity": 0.5},
                   "sample_documents": ["w1 w2 w3", "w50 w51"], "training": training}, out)
