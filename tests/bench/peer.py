"""The Python tools that a user would pick instead, as a process of its own: peer.py REQUEST.json; one JSON line on stdout.

REQUEST: kind (classify, tag, keywords), model (a folder), train, validation (files), options (of the peer)."""
import json
import os
import sys
import time

BEGUN = time.perf_counter()
os.environ.update(HF_HUB_OFFLINE="1", TRANSFORMERS_VERBOSITY="error", TOKENIZERS_PARALLELISM="false",
                  HF_HUB_DISABLE_PROGRESS_BARS="1")
REQUEST = json.load(open(sys.argv[1]))
MAX_LENGTH = 128


def conll(path):
    """Sentences as (words, tags)."""
    sentences, words, tags = [], [], []
    for line in open(path, encoding="utf-8"):
        fields = line.rstrip("\n").split("\t")
        # WNUT-17 has lines of a tab only between most of its sentences.
        if not line.strip():
            if words:
                sentences.append((words, tags))
            words, tags = [], []
            continue
        words.append(fields[0])
        tags.append(fields[-1])
    return sentences + ([(words, tags)] if words else [])


def rows(path):
    return [json.loads(line) for line in open(path, encoding="utf-8")]


def fine_tuning(examples, collator, labels, head, score):
    """Trains with HF Trainer; speed, time of evaluation, and what `score` makes of logits and gold labels."""
    import torch
    from transformers import AutoTokenizer, Trainer, TrainerCallback, TrainingArguments, set_seed

    torch.set_num_threads(REQUEST["threads"])
    set_seed(REQUEST["seed"])
    tokenizer = AutoTokenizer.from_pretrained(REQUEST["model"])
    model = head.from_pretrained(REQUEST["model"], num_labels=len(labels), id2label=dict(enumerate(labels)),
                                 label2id={label: i for i, label in enumerate(labels)})
    train, validation = examples(tokenizer)
    first_step = {}

    class Clock(TrainerCallback):
        def on_step_end(self, args, state, control, **_):
            first_step.setdefault("seconds", time.perf_counter() - BEGUN)

    options = {"output_dir": REQUEST["work"], "per_device_train_batch_size": REQUEST["batch"],
               "per_device_eval_batch_size": REQUEST["eval_batch"], "num_train_epochs": REQUEST["epochs"],
               "learning_rate": REQUEST["rate"], "seed": REQUEST["seed"], "report_to": [], "save_strategy": "no",
               "logging_strategy": "no", "disable_tqdm": True, "use_cpu": True, **REQUEST["options"]}
    trainer = Trainer(model=model, args=TrainingArguments(**options), train_dataset=train,
                      data_collator=collator(tokenizer), callbacks=[Clock()])
    begun = time.perf_counter()
    trainer.train()
    seconds = time.perf_counter() - begun
    begun = time.perf_counter()
    predicted = trainer.predict(validation)
    evaluated = time.perf_counter() - begun
    return {"samples_per_second": len(train) * REQUEST["epochs"] / seconds,
            "evaluated_per_second": len(validation) / evaluated, "first_step": first_step["seconds"],
            "quality": score(predicted.predictions, predicted.label_ids, validation)}


def classify():
    from sklearn.metrics import recall_score
    from transformers import AutoModelForSequenceClassification, DataCollatorWithPadding

    data = {part: rows(REQUEST[part]) for part in ("train", "validation")}
    labels = sorted({row["label"] for row in data["train"]})

    def examples(tokenizer):
        def of(part):
            encoded = tokenizer([row["text"] for row in part], truncation=True, max_length=MAX_LENGTH)
            return [{**{key: encoded[key][i] for key in encoded}, "label": labels.index(row["label"])}
                    for i, row in enumerate(part)]
        return of(data["train"]), of(data["validation"])

    def score(logits, gold, _):
        return recall_score(gold, logits.argmax(-1), average="macro")

    return fine_tuning(examples, DataCollatorWithPadding, labels, AutoModelForSequenceClassification, score)


def tag():
    from seqeval.metrics import f1_score
    from transformers import AutoModelForTokenClassification, DataCollatorForTokenClassification

    data = {part: conll(REQUEST[part]) for part in ("train", "validation")}
    labels = sorted({tag for _, tags in data["train"] for tag in tags})

    def examples(tokenizer):
        def of(part):
            made = []
            for words, tags in part:
                encoded = tokenizer(words, is_split_into_words=True, truncation=True, max_length=MAX_LENGTH)
                ids, before = [], None
                for word in encoded.word_ids():
                    ids.append(-100 if word is None or word == before else labels.index(tags[word]))
                    before = word
                made.append({**encoded, "labels": ids})
            return made
        return of(data["train"]), of(data["validation"])

    def score(logits, gold, _):
        kept = [[(label, best) for label, best in zip(row, found) if label != -100]
                for row, found in zip(gold, logits.argmax(-1))]
        return f1_score([[labels[gold] for gold, _ in row] for row in kept],
                        [[labels[found] for _, found in row] for row in kept])

    return fine_tuning(examples, DataCollatorForTokenClassification, labels, AutoModelForTokenClassification, score)


def keywords():
    import torch
    from keybert import KeyBERT
    from sentence_transformers import SentenceTransformer

    torch.set_num_threads(REQUEST["threads"])
    documents = [row["text"] for row in rows(REQUEST["validation"])]
    kind = {"dtype": torch.bfloat16} if REQUEST["options"]["bf16"] else {}
    model = KeyBERT(SentenceTransformer(REQUEST["model"], device="cpu", model_kwargs=kind))
    begun = time.perf_counter()
    # One document after the other, as its guide has it.
    found = [model.extract_keywords(text, keyphrase_ngram_range=(1, 3), stop_words="english", top_n=10)
             for text in documents]
    return {"samples_per_second": len(documents) / (time.perf_counter() - begun),
            "keywords": [[word for word, _ in words] for words in found]}


if __name__ == "__main__":
    print(json.dumps({"classify": classify, "tag": tag, "keywords": keywords}[REQUEST["kind"]]()))
