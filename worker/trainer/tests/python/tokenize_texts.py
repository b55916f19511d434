"""What transformers' tokenizers make of nasty texts.

usage: tokenize_texts.py write FOLDER   tokenizers trained here, one a folder, and FOLDER/expected.json; beside some of
                                        them lies a tiny random token classifier
       tokenize_texts.py read FOLDER TEXTS.json OUT.json   what a consumer without SentencePiece gets from FOLDER/*/
       tokenize_texts.py classify FOLDER TEXTS.json OUT.json   what its token-classification pipelines say
"""
import json
import os
import shutil
import sys
from types import SimpleNamespace

os.environ.update(HF_HUB_OFFLINE="1", TRANSFORMERS_VERBOSITY="error", TOKENIZERS_PARALLELISM="false")
if sys.argv[1] != "write":
    sys.modules["sentencepiece"] = None
from tokenizers import AddedToken, Tokenizer, models, pre_tokenizers, trainers
from transformers import AutoTokenizer, BertTokenizerFast, PreTrainedTokenizerFast

TEXTS = [
    "", " ", "\n\t", "plain words", "The QUICK brown Fox jumps.", "Ünïcödé Zürich ñandú éé", "ÀÉÎ İstanbul ß ẞ",
    "東京は日本の首都です。", "中文字符 mixed with English中文", "한국어 문장입니다", "日本語ﾃｷｽﾄ",
    "emoji 😀👩‍👩‍👧‍👦🏳️‍🌈 end", "zero\u200bwidth\u200djoiner\ufeffbom\u00adsoft", "a\u0301combined\u0308 accents",
    "nul\x00byte and \ufffd replacement and \x07 bell", "[CLS] special [SEP] tokens [MASK] in text [PAD][UNK]",
    "<s> a <mask> b</s> c<pad> <unk>d <mask>", "x" * 120, "x" * 99 + " y", "word " * 500, "!!!???...,,,;;;",
    "don't can't we'll", "http://a.b/c?d=e&f=g#h", "@user #hashtag $100 50% a_b a-b", "العربية والنص", "עברית", "ไทยภาษา",
    "हिन्दी देवनागरी", "Ωμέγα Кириллица ΣΊΣΥΦΟΣ", "\u2028line\u2029sep\u00a0nbsp\u3000wide", "１２３ full width ＡＢＣ",
    "ﬁ ligature ﬀ", "𝕬𝖇𝖈 math 𠀀𠀁 ext", "tab\tnew\nline\r\ncr", "\u202eright to left\u202c", "e\u0301" * 50,
    "of\u0300\u0316\u0317 the", "  two  spaces   before and after  ", "\ufeffbom first", "\u0301 unpaired mark \u0308",
    "\x00", "\x00\x00 nul first", "\ue000 private \uf8ff use \U000f0000", "``quoted'' 'single' \"double\"",
    "19, 20,5 and 1,000,000 in 2024,", "▁ ▁▁underline▁ a▁b", "ĠGPT Ġ space", "Å Å Å ǆ ŉ ½ ² Ⅻ ①", "x" * 100_000,
    "long words of text " * 5_000, "東" * 30_000, "\u0301" * 10_000, "ent <ent> inside [E1] and<ent>after",
    "ŒUVRE œuvre Ĳssel ſharp K", "a\u00a0b\u2009c\u202fd", "...\n\n\n   \t  ...", "trailing space ", " leading space",
]
WORDS = [["The", "fox"], ["don't", "x" * 120, "\u200b", "of"], ["東京", "Zürich!", "😀", "and"], ["a b", "c"], ["again"] * 100,
         ["[MASK]", "<mask>", "19,", "ﬁ"], ["", "empty", ""], [" spaced ", "\x00", "\u0301"]]
LIMIT = 64
CLASSIFIERS = ["bert-cased-old", "mpnet", "roberta-bare", "roberta-offsets", "xlm-nmt_nfkc", "minilm", "albert-identity",
               "deberta-nmt_nfkc"]
SIZES = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16, "embedding_size": 16,
         "pooler_hidden_size": 16, "initializer_range": 0.5, "num_labels": 4}
CORPUS = [text for text in TEXTS if len(text) < 1000 and "\x00" not in text] + [
    f"{a} {b} {c}" for a in ["The quick", "A lazy", "das schnelle", "быстрая", "東京 の", "and again"]
    for b in ["brown fox", "dog of", "Zürich und Bonn", "лиса прыгает", "한국어 문장", "words 19, 20,5 long text"]
    for c in ["jumps over.", "in the city!", "wieder und wieder", "через собаку", "日本語", "of the world, again"]]
NAMES = ["bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token"]
BERT = dict(zip(NAMES[2:], ["[UNK]", "[SEP]", "[PAD]", "[CLS]", "[MASK]"]))
FAIRSEQ = dict(zip(NAMES, ["<s>", "</s>", "<unk>", "</s>", "<pad>", "<s>", "<mask>"]))
ALBERT = dict(zip(NAMES, ["[CLS]", "[SEP]", "<unk>", "[SEP]", "<pad>", "[CLS]", "[MASK]"]))
DEBERTA = dict(zip(NAMES, ["[CLS]", "[SEP]", "[UNK]", "[SEP]", "[PAD]", "[CLS]", "[MASK]"]))


class Folder:
    """The folder of one tokenizer below the one that was given."""

    def __init__(self, name, model_type, **config):
        self.path = f"{sys.argv[2]}/{name}"
        os.makedirs(self.path)
        before = 2 if model_type in ("roberta", "xlm-roberta", "mpnet") else 0
        self.json("config.json", {"model_type": model_type, "max_position_embeddings": LIMIT + before, "pad_token_id": before // 2,
                                  **config})

    def json(self, name, value):
        with open(f"{self.path}/{name}", "w", encoding="utf-8") as file:
            json.dump(value, file, ensure_ascii=False)
        return self

    def vocabulary(self, tokens):
        with open(f"{self.path}/vocab.txt", "w", encoding="utf-8") as file:
            file.write("\n".join(tokens) + "\n")
        return self

    def auto(self, **more):
        return AutoTokenizer.from_pretrained(self.path, **more)


def tokens_of(special):
    """Every special token as the object that new files have."""
    return {role: {"__type": "AddedToken", "content": token, "lstrip": role == "mask_token" and token == "<mask>",
                   "rstrip": False, "single_word": False, "normalized": False, "special": True}
            for role, token in special.items()}


def word_piece(special):
    model = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    model.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    trainer = trainers.WordPieceTrainer(vocab_size=600, special_tokens=list(dict.fromkeys([*special, "[UNK]"])))
    model.train_from_iterator(CORPUS + [text.lower() for text in CORPUS], trainer)
    return [token for token, _ in sorted(model.get_vocab().items(), key=lambda pair: pair[1])]


def word_pieces():
    vocab = word_piece(BERT.values())
    size = len(vocab)
    made = {}
    folder = Folder("bert-json", "bert").vocabulary(vocab)
    BertTokenizerFast(vocab=f"{folder.path}/vocab.txt", model_max_length=LIMIT).save_pretrained(folder.path)
    made["bert-json"] = folder.auto()
    # tokenizer.json and tokenizer_config.json disagree: the class listens to the latter.
    other = Folder("bert-json-cased", "bert")
    shutil.copy(f"{folder.path}/tokenizer.json", other.path)
    made["bert-json-cased"] = other.json("tokenizer_config.json", {"do_lower_case": False}).auto()
    generic = Folder("bert-json-generic", "bert")
    shutil.copy(f"{folder.path}/tokenizer.json", generic.path)
    generic.json("tokenizer_config.json", {"tokenizer_class": "PreTrainedTokenizerFast", "do_lower_case": False, **BERT})
    made["bert-json-generic"] = generic.auto()
    made["bert-only-vocabulary"] = Folder("bert-only-vocabulary", "bert").vocabulary(vocab).auto()
    old = Folder("bert-cased-old", "bert", vocab_size=size).vocabulary(vocab).json("added_tokens.json", {})
    old.json("tokenizer_config.json", {"do_lower_case": False, "max_len": 512, "init_inputs": [], "model_max_length": 1e30})
    made["bert-cased-old"] = old.json("special_tokens_map.json", BERT).auto()
    kanji = Folder("bert-accents", "bert").vocabulary(vocab)
    made["bert-accents"] = kanji.json("tokenizer_config.json", {
        "tokenizer_class": "BertTokenizer", "do_lower_case": False, "strip_accents": True, "never_split": ["fox"],
        "tokenize_chinese_chars": False, **tokens_of(BERT)}).auto()
    new = Folder("bert-new", "bert", vocab_size=size + 2).vocabulary(vocab)
    listed = {str(vocab.index(token)): {"content": token, "special": True, "normalized": False, "lstrip": False,
                                        "rstrip": False, "single_word": False} for token in BERT.values()}
    listed[str(size)] = {"content": "<ent>", "special": False, "normalized": True, "lstrip": True, "rstrip": False,
                         "single_word": False}
    listed[str(size + 1)] = {"content": "[E1]", "special": True, "normalized": False, "lstrip": False, "rstrip": True,
                             "single_word": False}
    made["bert-new"] = new.json("tokenizer_config.json", {
        "added_tokens_decoder": listed, "extra_special_tokens": ["[E1]"], "backend": "tokenizers", "do_lower_case": True,
        "tokenizer_class": "BertTokenizer", "model_max_length": 1000000000000000019884624838656, **BERT}).auto()
    added = Folder("bert-added", "bert").vocabulary(vocab).json("added_tokens.json", {"<ent>": size, "[E1]": size + 1})
    added.json("tokenizer_config.json", {"additional_special_tokens": ["[E1]"]})
    made["bert-added"] = added.json("special_tokens_map.json", BERT).auto()
    made["electra"] = Folder("electra", "electra").vocabulary(vocab).json(
        "tokenizer_config.json", {"do_lower_case": True, "tokenizer_class": "ElectraTokenizer"}).auto()
    made["distilbert"] = Folder("distilbert", "distilbert").vocabulary(vocab).json(
        "tokenizer_config.json", {"do_lower_case": False, "model_max_length": 512}).auto()
    mpnet = Folder("mpnet", "mpnet").vocabulary(word_piece(FAIRSEQ.values()))
    made["mpnet"] = mpnet.json("tokenizer_config.json", {
        **FAIRSEQ, "unk_token": "[UNK]", "do_lower_case": True, "tokenizer_class": "MPNetTokenizer"}).auto()
    return made


def byte_level_bpe():
    model = Tokenizer(models.BPE())
    model.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(vocab_size=700, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
                                  special_tokens=["<s>", "<pad>", "</s>", "<unk>", "<mask>"])
    model.train_from_iterator(CORPUS, trainer)
    mask = AddedToken("<mask>", lstrip=True, special=True)
    made = {}
    for name, settings in {
        "roberta-bare": None, "roberta-prefix": {"add_prefix_space": True, "tokenizer_class": "RobertaTokenizer"},
        "roberta-offsets": {"trim_offsets": False, **tokens_of(FAIRSEQ), "tokenizer_class": "RobertaTokenizerFast"},
    }.items():
        folder = Folder(name, "roberta")
        model.model.save(folder.path)
        if settings:
            folder.json("tokenizer_config.json", settings)
        made[name] = folder.auto(mask_token=mask)
        if name != "roberta-prefix":
            made[name].for_words = folder.auto(mask_token=mask, add_prefix_space=True)
    folder = Folder("roberta-json", "roberta")
    made["roberta-bare"].save_pretrained(folder.path)
    made["roberta-json"] = folder.auto()
    made["roberta-json"].for_words = folder.auto(add_prefix_space=True)
    return made


def sentence_piece(folder, file, rule, **more):
    import sentencepiece
    prefix = f"{folder.path}/trained"
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(CORPUS * 2 + ["20,5 and 9, 9, 19, 19, again 20,"] * 40), model_prefix=prefix, vocab_size=560, model_type="unigram", num_threads=1,
        normalization_rule_name=rule, character_coverage=0.99, minloglevel=2, hard_vocab_limit=False, **more)
    os.remove(f"{prefix}.vocab")
    os.rename(f"{prefix}.model", f"{folder.path}/{file}")
    return sentencepiece.SentencePieceProcessor(model_file=f"{folder.path}/{file}")


def converted(converter, path, special, **settings):
    """By the rules of transformers up to 4, which are still in it: from the model file, as its slow tokenizers were."""
    from sentencepiece import SentencePieceProcessor
    from transformers import convert_slow_tokenizer
    slow = SimpleNamespace(vocab_file=path, convert_tokens_to_ids=SentencePieceProcessor(model_file=path).piece_to_id,
                           **settings)
    made = getattr(convert_slow_tokenizer, converter)(slow).converted()
    mask = AddedToken(special["mask_token"], lstrip=converter == "AlbertConverter", special=True, normalized=False)
    made.add_special_tokens([mask])
    return PreTrainedTokenizerFast(tokenizer_object=made, **{**special, "mask_token": mask})


def unigrams():
    made, originals = {}, {}
    mask = AddedToken("<mask>", lstrip=True, special=True)
    for rule in ["nmt_nfkc", "identity", "nmt_nfkc_cf"]:
        name = f"xlm-{rule}"
        folder = Folder(name, "xlm-roberta")
        originals[name] = sentence_piece(folder, "sentencepiece.bpe.model", rule)
        if rule == "nmt_nfkc_cf":
            folder.json("tokenizer_config.json", {"tokenizer_class": "XLMRobertaTokenizer", **tokens_of(FAIRSEQ)})
        made[name] = folder.auto(mask_token=mask)
        name = f"deberta-{rule}"
        folder = Folder(name, "deberta-v2")
        pieces = {"pad_piece": "[PAD]", "bos_piece": "[CLS]", "eos_piece": "[SEP]", "unk_piece": "[UNK]"}
        originals[name] = sentence_piece(folder, "spm.model", rule, pad_id=0, bos_id=1, eos_id=2, unk_id=3, **pieces)
        settings = {"do_lower_case": rule == "identity", "split_by_punct": rule == "nmt_nfkc_cf"}
        if rule == "nmt_nfkc":
            folder.json("added_tokens.json", {"[MASK]": originals[name].get_piece_size()})
            folder.json("special_tokens_map.json", DEBERTA)
        folder.json("tokenizer_config.json", {"vocab_type": "spm", **settings})
        made[name] = converted("DebertaV2Converter", f"{folder.path}/spm.model", DEBERTA, **settings)
        name = f"albert-{rule}"
        folder = Folder(name, "albert")
        originals[name] = sentence_piece(folder, "spiece.model", rule, pad_id=0, unk_id=1, bos_id=-1, eos_id=-1,
                                         control_symbols=["[CLS]", "[SEP]", "[MASK]"], user_defined_symbols=["(", ")"],
                                         split_by_number=False, split_by_unicode_script=False)
        pieces = [originals[name].id_to_piece(id) for id in range(originals[name].get_piece_size())]
        assert any(piece[-1] == "," and piece[-2:-1].isdigit() for piece in pieces), "a number with its comma is a piece"
        settings = {"do_lower_case": rule != "identity", "keep_accents": rule == "nmt_nfkc_cf"}
        folder.json("tokenizer_config.json", settings)
        made[name] = converted("AlbertConverter", f"{folder.path}/spiece.model", ALBERT, **settings)
        # Offsets leave white space out, as those of version 5 and of the tokenizer.json files of these models do.
        made[name].backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
            [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace("▁", "always")])
    folder = Folder("camembert", "roberta").json("tokenizer_config.json", {"tokenizer_class": "CamembertTokenizer"})
    sentence_piece(folder, "sentencepiece.bpe.model", "nmt_nfkc")
    made["camembert"] = folder.auto()
    # A BERT with the tokenizer of XLM-R, as the multilingual MiniLMs are.
    folder = Folder("minilm", "bert", pad_token_id=0)
    shutil.copy(f"{sys.argv[2]}/xlm-nmt_nfkc/sentencepiece.bpe.model", folder.path)
    made["minilm"] = folder.json("tokenizer_config.json", {"tokenizer_class": "XLMRobertaTokenizer"}).auto(mask_token=mask)
    return made, originals


def classifiers(made):
    import torch
    from transformers import AutoConfig, AutoModelForTokenClassification
    for name in CLASSIFIERS:
        torch.manual_seed(3)
        path = f"{sys.argv[2]}/{name}"
        config = AutoConfig.from_pretrained(path, vocab_size=len(made[name]), **SIZES)
        AutoModelForTokenClassification.from_config(config).save_pretrained(path)


def judged(tokenizer, texts, sentences):
    out = tokenizer(texts, truncation=True, max_length=LIMIT, return_offsets_mapping=True, return_special_tokens_mask=True)
    words = getattr(tokenizer, "for_words", tokenizer)
    apart = words(sentences, truncation=True, max_length=LIMIT, is_split_into_words=True)
    return {"ids": out["input_ids"], "offsets": out["offset_mapping"], "special": out["special_tokens_mask"],
            "text_words": [out.word_ids(place) for place in range(len(texts))],
            "tokens": [tokenizer.convert_ids_to_tokens(ids) for ids in out["input_ids"]],
            "unknown": tokenizer.unk_token_id, "words": apart["input_ids"],
            "word_ids": [apart.word_ids(place) for place in range(len(sentences))]}


def write():
    made, originals = unigrams()
    made = {**word_pieces(), **byte_level_bpe(), **made}
    classifiers(made)
    expected = {name: judged(tokenizer, TEXTS, WORDS) for name, tokenizer in made.items()}
    # SentencePiece's own ids of plain texts, for rules that are its own: no special tokens, no cuts before punctuation.
    plain = [place for place, text in enumerate(TEXTS) if text.isascii() and text.isprintable() and len(text) < 10_000
             and not any(mark in text for mark in ["[", "<", "``", "20,"])]
    for name, original in originals.items():
        if name != "deberta-nmt_nfkc_cf":
            lower = name in ("deberta-identity", "albert-nmt_nfkc", "albert-nmt_nfkc_cf")
            expected[name]["original"] = {
                place: original.encode(TEXTS[place].lower() if lower else TEXTS[place]) for place in plain}
    with open(f"{sys.argv[2]}/expected.json", "w") as file:
        json.dump({"texts": TEXTS, "words": WORDS, "limit": LIMIT, "tokenizers": expected}, file)


def read():
    given = json.load(open(sys.argv[3]))
    found = {}
    for name in sorted(os.listdir(sys.argv[2])):
        tokenizer = AutoTokenizer.from_pretrained(f"{sys.argv[2]}/{name}")
        assert type(tokenizer).__name__ in ("TokenizersBackend", "PreTrainedTokenizerFast"), type(tokenizer)
        found[name] = judged(tokenizer, given["texts"], given["words"])
        found[name]["limit"] = tokenizer.model_max_length
        found[name]["pad"] = tokenizer.pad_token_id
        found[name]["inputs"] = tokenizer.model_input_names
    with open(sys.argv[4], "w") as file:
        json.dump(found, file)


def classify():
    from transformers import pipeline
    texts = json.load(open(sys.argv[3]))["texts"]
    found = {}
    for name in sorted(os.listdir(sys.argv[2])):
        pipe = pipeline("token-classification", model=f"{sys.argv[2]}/{name}")
        found[name] = [[{**entity, "score": float(entity["score"])} for entity in pipe(text)] for text in texts]
    with open(sys.argv[4], "w") as file:
        json.dump(found, file)


if __name__ == "__main__":
    {"write": write, "read": read, "classify": classify}[sys.argv[1]]()
