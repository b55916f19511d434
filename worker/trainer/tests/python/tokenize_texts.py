"""What transformers' tokenizers make of nasty texts.

usage: tokenize_texts.py FOLDER -> FOLDER/{json,lower,cased}/ (tokenizers) and FOLDER/expected.json
"""
import json
import sys

import write_models

FOLDER = sys.argv[1]
TEXTS = [
    "", " ", "\n\t", "plain words", "The QUICK brown Fox jumps.", "Ünïcödé Zürich ñandú éé", "ÀÉÎ İstanbul ß ẞ",
    "東京は日本の首都です。", "中文字符 mixed with English中文", "한국어 문장입니다", "日本語ﾃｷｽﾄ",
    "emoji 😀👩‍👩‍👧‍👦🏳️‍🌈 end", "zero\u200bwidth\u200djoiner\ufeffbom\u00adsoft", "a\u0301combined\u0308 accents",
    "nul\x00byte and \ufffd replacement and \x07 bell", "[CLS] special [SEP] tokens [MASK] in text [PAD][UNK]",
    "x" * 120, "x" * 99 + " y", "word " * 500, "!!!???...,,,;;;", "don't can't we'll", "http://a.b/c?d=e&f=g#h",
    "@user #hashtag $100 50% a_b a-b", "العربية والنص", "עברית", "ไทยภาษา", "हिन्दी देवनागरी", "Ωμέγα Кириллица",
    "\u2028line\u2029sep\u00a0nbsp\u3000wide", "１２３ full width ＡＢＣ", "ﬁ ligature ﬀ", "𝕬𝖇𝖈 math 𠀀𠀁 ext", "tab\tnew\nline\r\ncr",
    "\u202eright to left\u202c", "e\u0301" * 50, "of\u0300\u0316\u0317 the",
]
WORDS = [["The", "fox"], ["don't", "x" * 120, "\u200b", "of"], ["東京", "Zürich!", "😀", "and"], ["a b", "c"], ["again"] * 100]


def main():
    made = {"json": write_models.tokenizer(f"{FOLDER}/json"), "lower": write_models.tokenizer(f"{FOLDER}/lower", fast=False),
            "cased": write_models.tokenizer(f"{FOLDER}/cased", lower=False, fast=False)}
    expected = {"texts": TEXTS, "words": WORDS, "tokenizers": {}}
    for name, tokenizer in made.items():
        texts = tokenizer(TEXTS, truncation=True, max_length=64)
        words = tokenizer(WORDS, truncation=True, max_length=64, is_split_into_words=True)
        expected["tokenizers"][name] = {"texts": texts["input_ids"], "words": words["input_ids"],
                                        "word_ids": [words.word_ids(i) for i in range(len(WORDS))]}
    with open(f"{FOLDER}/expected.json", "w") as file:
        json.dump(expected, file)


if __name__ == "__main__":
    main()
