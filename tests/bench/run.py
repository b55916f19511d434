"""Training, evaluation, keywords and start beside the Python tools that a user would pick instead, both sides in turn in one
run: run.py TRAINER. Prints a table; with BENCH_WRITE=FOLDER also writes it there, with a chart.

BENCH_DATA: a folder with sentiment/{train,validation}.jsonl, ner/{train,validation}.conll and keywords/inspec.jsonl; without
it the data of the project's own configurations, repeated. BENCH_MODEL: a folder with an encoder. BENCH_ROUNDS, BENCH_ROWS (of
the sentiment data), BENCH_EPOCHS (of ner), BENCH_DOCUMENTS, BENCH_THREADS and BENCH_PARTS
(sentiment,settings,ner,keywords,start) make it smaller."""
import itertools
import json
import os
import pathlib
import statistics
import sys
import tempfile

import report
import sides

OWN = pathlib.Path(__file__).absolute().parent.parent.parent / "config"
DATA = os.environ.get("BENCH_DATA")
MODEL = os.path.abspath(os.environ["BENCH_MODEL"])
NUMBER = lambda name, default: int(os.environ.get(name, default))
ROUNDS, ROWS, EPOCHS = NUMBER("BENCH_ROUNDS", 3), NUMBER("BENCH_ROWS", 8000), NUMBER("BENCH_EPOCHS", 3)
DOCUMENTS, THREADS = NUMBER("BENCH_DOCUMENTS", 100), NUMBER("BENCH_THREADS", len(os.sched_getaffinity(0)))
PARTS = os.environ.get("BENCH_PARTS", "sentiment,settings,ner,keywords,start").split(",")
# How much the quality of a recipe differs between seeds (docs/performance.md): ours may be below the peer's by so much.
# Keywords have no seed, but one phrase of the project's own few documents is a hundredth.
SPREAD = {"sentiment": 0.02, "ner": 0.04, "keywords": 0.001 if DATA else 0.02}


def has_bf16():
    """Does this CPU multiply bf16 matrices itself?"""
    flags = pathlib.Path("/proc/cpuinfo").read_text()
    return "avx512_bf16" in flags or "amx_bf16" in flags


def source(project, part):
    """The file of a project's data."""
    if DATA:
        name = {"sentiment": f"{part}.jsonl", "ner": f"{part}.conll", "keywords": "inspec.jsonl"}[project]
        return pathlib.Path(DATA).absolute() / project / name
    return OWN / project / "data" / (f"{part}.conll" if project == "ner" else f"{part}.jsonl")


def head(file, target, lines):
    """So many lines of a file, from the start again where it has fewer."""
    with open(file, encoding="utf-8") as lines_of_file, open(target, "w", encoding="utf-8") as out:
        out.writelines(itertools.islice(itertools.cycle(lines_of_file.readlines()), lines))
    return str(target)


# HF Trainer as it comes, and with the settings that help it most on this CPU.
AS_IT_COMES = {}
BEST = {"train_sampling_strategy": "group_by_length", **({"bf16": True} if has_bf16() else {})}
BEST_NAME = "HF Trainer, length groups" + (" and bf16" if has_bf16() else "")


def compare(table, part, trainer, work, request):
    """One round of a fine-tuning: both peers and ours, ours in each precision that this CPU multiplies itself."""
    ours = {"fp32": sides.trainer(trainer, work, THREADS, request, "fp32")}
    if has_bf16():
        ours["bf16"] = sides.trainer(trainer, work, THREADS, request, "bf16")
    peers = {"HF Trainer": sides.peer(work, THREADS, {**request, "options": AS_IT_COMES}),
             BEST_NAME: sides.peer(work, THREADS, {**request, "options": BEST})}
    for precision, mine in ours.items():
        for name, theirs in peers.items():
            row = lambda what, unit, key, more: table.add(f"{part}, {what}, {precision}", unit, name, mine[key],
                                                          theirs[key], more)
            row("training", "samples/s", "samples_per_second", True)
            row("evaluation", "samples/s", "evaluated_per_second", True)
            row("peak memory", "MB", "memory", False)
            table.quality(f"{part}, {precision}", name, mine["quality"], theirs["quality"], SPREAD[part])


def of_sentiment(work, seed):
    train = head(source("sentiment", "train"), work / "train.jsonl", ROWS)
    return {"kind": "classify", "model": MODEL, "train": train, "validation": str(source("sentiment", "validation")),
            "epochs": 1, "batch": 32, "eval_batch": 64, "rate": 5e-5, "seed": seed}


def sentiment(table, trainer, work, seed):
    compare(table, "sentiment", trainer, work, of_sentiment(work, seed))


# What of our own makes another training of it, or the same in another way: beside our own, never beside a peer, and on a quarter
# of the rows.
SETTINGS = {"FREEZE=embeddings+2": {"freeze": 2}, "GRADIENT_CHECKPOINTING=true": {"gradient_checkpointing": True}}


def settings(table, trainer, work, seed):
    request = {**of_sentiment(work, seed), "train": head(source("sentiment", "train"), work / "quarter.jsonl", ROWS // 4)}
    plain = sides.trainer(trainer, work, THREADS, request, "fp32")
    for name, asked in SETTINGS.items():
        mine = sides.trainer(trainer, work, THREADS, {**request, "settings": asked}, "fp32")
        row = lambda what, unit, key, more: table.add(f"sentiment with {name}, {what}, fp32", unit, "without", mine[key],
                                                      plain[key], more)
        row("training", "samples/s", "samples_per_second", True)
        row("peak memory", "MB", "memory", False)
        # Said, not judged: what is frozen cannot learn.
        table.quality(f"sentiment with {name}, fp32", "without", mine["quality"], plain["quality"], 1.0)


def ner(table, trainer, work, seed):
    compare(table, "ner", trainer, work, {
        "kind": "tag", "model": MODEL, "train": str(source("ner", "train")),
        "validation": str(source("ner", "validation")), "epochs": EPOCHS, "batch": 32, "eval_batch": 64,
        "rate": 2e-4, "seed": seed})


def f1(documents, found):
    """Mean F1@10 of the documents that have gold keyphrases, as the trainer's f1_at_k has it."""
    scores = []
    for gold, found in zip(documents, found):
        gold, found = ({phrase.strip().lower() for phrase in phrases} for phrases in (gold, found))
        if gold:
            scores.append(2 * len(gold & found) / (len(gold) + len(found)))
    return statistics.mean(scores) if scores else 0.0


def keywords(table, trainer, work, seed):
    documents = head(source("keywords", "validation"), work / "documents.jsonl", DOCUMENTS)
    gold = [json.loads(line).get("keyphrases", []) for line in open(documents, encoding="utf-8")]
    request = {"kind": "keywords", "model": MODEL, "validation": documents, "seed": seed, "eval_batch": 64}
    precisions = {"fp32": "KeyBERT", **({"bf16": "KeyBERT in bf16"} if has_bf16() else {})}
    ours = {precision: sides.trainer(trainer, work, THREADS, request, precision) for precision in precisions}
    peers = {name: sides.peer(work, THREADS, {**request, "options": {"bf16": precision == "bf16"}})
             for precision, name in precisions.items()}
    # Ours loads the model and exports it within the time, KeyBERT has its model already.
    for precision, mine in ours.items():
        for name, theirs in peers.items():
            row = lambda what, unit, key, more: table.add(f"keywords{what}, {precision}", unit, name, mine[key], theirs[key],
                                                          more)
            row("", "documents/s", "samples_per_second", True)
            row(", peak memory", "MB", "memory", False)
            table.quality(f"keywords, F1@10, {precision}", name, f1(gold, mine["keywords"]), f1(gold, theirs["keywords"]),
                          SPREAD["keywords"])
    same = [mine == theirs for mine, theirs in zip(ours["fp32"]["keywords"], peers["KeyBERT"]["keywords"])]
    table.quality("keywords, documents with the same keywords in the same order, fp32", "KeyBERT", statistics.mean(same), 1.0,
                  0.02)


def start(table, trainer, work, seed):
    train = head(source("sentiment", "train"), work / "few.jsonl", 32)
    request = {"kind": "classify", "model": MODEL, "train": train, "validation": train, "epochs": 1, "batch": 32,
               "eval_batch": 64, "rate": 5e-5, "seed": seed}
    mine = sides.trainer(trainer, work, THREADS, request, "fp32")
    theirs = sides.peer(work, THREADS, {**request, "options": AS_IT_COMES})
    table.add("start to the end of the first step", "s", "HF Trainer", mine["first_step"], theirs["first_step"], False)


def main():
    trainer = os.path.abspath(sys.argv[1])
    data = "" if DATA else ", sentiment and keywords on small data of the project's own, repeated: those qualities mean nothing"
    table = report.Table()
    with tempfile.TemporaryDirectory() as folder:
        for number in range(1, ROUNDS + 1):
            for part in (sentiment, settings, ner, keywords, start):
                if part.__name__ in PARTS:
                    print(f"round {number} of {ROUNDS}: {part.__name__}", file=sys.stderr, flush=True)
                    part(table, trainer, pathlib.Path(folder), 41 + number)
            rounds = f"{ROUNDS} rounds" if number == ROUNDS else f"{number} of {ROUNDS} rounds"
            table.about = f"{rounds}, {THREADS} threads, {report.processor()}{data}"
            # After each round: what was measured is not lost with the rest.
            if write_to := os.environ.get("BENCH_WRITE"):
                table.write(pathlib.Path(write_to))
    table.print()
    sys.exit(1 if table.is_worse() else 0)


if __name__ == "__main__":
    main()
