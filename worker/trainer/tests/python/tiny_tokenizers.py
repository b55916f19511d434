"""Tokenizers of a few hundred tokens, one for each kind that the families come with. Each is written into a folder and
returned; none is trained, so that all of them are the same everywhere."""
import json
import os

from transformers import AlbertTokenizer, BertTokenizerFast, MPNetTokenizer, RobertaTokenizer, XLMRobertaTokenizer

LETTERS = [chr(c) for c in range(33, 127)] + list("äöüéèñß東京日本語中文한국어")
WORDS = "the quick brown fox over lazy dog again and jump good bad fine city of The Anna Bonn".split()
UNLIMITED = int(1e30)


def pieces(special):
    return special + LETTERS + ["##" + c for c in LETTERS] + WORDS + ["##s", "##ing"]


def word_piece(folder, lower=True, fast=True):
    """BERT's; without `fast` only vocab.txt and tokenizer_config.json."""
    os.makedirs(folder, exist_ok=True)
    with open(f"{folder}/vocab.txt", "w", encoding="utf-8") as file:
        file.write("\n".join(dict.fromkeys(pieces(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]))) + "\n")
    if fast:
        made = BertTokenizerFast(vocab=f"{folder}/vocab.txt", do_lower_case=lower, model_max_length=64)
        made.save_pretrained(folder)
        return made
    with open(f"{folder}/tokenizer_config.json", "w") as file:
        json.dump({"do_lower_case": lower, "model_max_length": 64, "tokenizer_class": "BertTokenizer"}, file)
    return BertTokenizerFast.from_pretrained(folder)


def mpnet(folder):
    """WordPiece with fairseq's special tokens."""
    tokens = dict.fromkeys(pieces(["<s>", "<pad>", "</s>", "<unk>", "[UNK]"]) + ["<mask>"])
    return saved(MPNetTokenizer({token: id for id, token in enumerate(tokens)}, model_max_length=UNLIMITED), folder)


def byte_level(folder):
    """RoBERTa's: every byte as a character, and one merge for each beginning of a word."""
    # GPT-2's printable characters for the bytes.
    shown = [*range(33, 127), *range(161, 173), *range(174, 256)]
    alphabet = [chr(byte) for byte in shown] + [chr(256 + i) for i in range(256 - len(shown))]
    merges = list(dict.fromkeys((word[:n], word[n]) for word in ["Ġ" + w for w in WORDS] for n in range(1, len(word))))
    tokens = ["<s>", "<pad>", "</s>", "<unk>"] + alphabet + [a + b for a, b in merges] + ["<mask>"]
    made = RobertaTokenizer({token: id for id, token in enumerate(tokens)}, merges, model_max_length=UNLIMITED)
    return saved(made, folder)


def scored(special):
    """SentencePiece's unigrams: words are likelier than letters."""
    found = [("▁" + word, -3.0 - 0.01 * i) for i, word in enumerate(WORDS)] + [("▁", -4.0)]
    found += [(letter, -6.0 - 0.01 * i) for i, letter in enumerate(LETTERS)]
    return [(token, 0.0) for token in special] + found


def xlm_roberta(folder):
    vocabulary = scored(["<s>", "<pad>", "</s>", "<unk>"]) + [("<mask>", 0.0)]
    return saved(XLMRobertaTokenizer(vocabulary, model_max_length=UNLIMITED), folder)


def albert(folder):
    vocabulary = scored(["<pad>", "<unk>", "[CLS]", "[SEP]", "[MASK]"])
    return saved(AlbertTokenizer(vocabulary, model_max_length=UNLIMITED), folder)


def saved(tokenizer, folder):
    tokenizer.save_pretrained(folder)
    return tokenizer
