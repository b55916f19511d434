"""Both sides of a comparison as processes: speed, peak memory, quality."""
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).parent


class Failed(Exception):
    """A side that ended with an error."""


def environment(threads):
    """What both sides run in. MKL and OpenMP get the threads that are measured."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("TRAINYARD_")}
    return {**kept, "OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads)}


# What a worker sets for its trainers: worker/src/trainer_process/environment.rs says why.
WORKERS = {"GOMP_SPINCOUNT": "20000", "LRU_CACHE_CAPACITY": "16", "ONEDNN_PRIMITIVE_CACHE_CAPACITY": "64"}


def run(command, threads, each_line=lambda line, at: None, more={}):
    """Runs to the end; peak resident memory in MB. `each_line` gets stdout with seconds since the start, and `more` is added
    to the environment."""
    with tempfile.TemporaryFile("w+") as errors:
        begun = time.perf_counter()
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True,
                                   env={**environment(threads), **more})
        for line in process.stdout:
            each_line(line, time.perf_counter() - begun)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            errors.seek(0)
            raise Failed(f"{' '.join(map(str, command))} ended with {process.returncode}: {errors.read()[-3000:]}")
    return usage.ru_maxrss / 1024


def peer(work, threads, request):
    """The Python tool that `request` describes; see peer.py."""
    file = work / "peer.json"
    file.write_text(json.dumps({**request, "threads": threads, "work": str(work / "peer")}))
    said = []
    memory = run([sys.executable, str(HERE / "peer.py"), str(file)], threads, lambda line, _: said.append(line))
    return {**json.loads(said[-1]), "memory": memory}


TASKS = {"classify": ("text-classification", "jsonl", "macro_recall"),
         "tag": ("token-classification", "conll", "f1"),
         "keywords": ("feature-extraction", "jsonl", None)}


def trainer(binary, work, threads, request, precision):
    """Our side of the same request."""
    task, form, metric = TASKS[request["kind"]]
    source = lambda part: {"path": pathlib.Path(request[part]).name, "format": form, "name": part}
    training = None
    if request["kind"] != "keywords":
        training = {"data": source("train"), "epochs": request["epochs"], "train_batch_size": request["batch"],
                    "gradient_accumulation_steps": 1, "learning_rate": request["rate"], "warmup_steps": 0,
                    "weight_decay": 0.0, "max_grad_norm": 1.0, "test_size": 0.0, "evaluation_strategy": "no",
                    "save_strategy": "no", "save_steps": 1, "save_total_limit": 1, "load_best_model_at_end": False,
                    "metric_for_best_model": metric, "early_stopping_patience": None,
                    **request.get("settings", {})}
    job = {"schema": 1, "pipeline": request["kind"], "task": task, "model": "model", "seed": request["seed"],
           "precision": precision, "max_rows": None, "training": training,
           "validation_data": source("validation") if training else None,
           "columns": {"text": "text", "label": "label", "tokens": "tokens", "tags": "tags",
                       "keyphrases": "keyphrases"},
           "max_length": 128 if training else None, "eval_batch_size": request["eval_batch"],
           "keywords": {"keyphrase_ngram_range": [1, 3], "stop_words": "english", "top_n": 10, "use_mmr": False,
                        "diversity": 0.5},
           "sample_documents": [] if training else documents(request["validation"])}
    folder = work / "ours"
    subprocess.run(["rm", "-rf", str(folder)], check=True)
    inputs = folder / "inputs"
    inputs.mkdir(parents=True)
    (inputs / "model").symlink_to(request["model"])
    for file in {request["train"], request["validation"]} if training else ():
        (inputs / pathlib.Path(file).name).symlink_to(file)
    (folder / "job.json").write_text(json.dumps(job))
    events = []
    memory = run([binary, str(folder / "job.json"), "--inputs", str(inputs), "--outputs", str(folder / "outputs"),
                  "--checkpoints", str(folder / "checkpoints")], threads,
                 lambda line, at: events.append({**json.loads(line), "at": at}), WORKERS)
    report = json.loads((folder / "outputs" / "report.json").read_text())
    found = {"memory": memory,
             "ready": next(event["at"] for event in events if event["event"] == "ready")}
    if training:
        found.update(samples_per_second=rate(events, "train", request["batch"]),
                     first_step=next(event["at"] for event in events if event["event"] == "progress"),
                     evaluated_per_second=rate(events, "evaluate", request["eval_batch"]),
                     quality=report["scores"][metric])
    else:
        predictions = json.loads((folder / "outputs" / "predictions.json").read_text())
        found.update(keywords=[[word for word, _ in words] for words in predictions],
                     samples_per_second=len(predictions) / (events[-1]["at"] - found["ready"]))
    return found


def documents(file):
    return [json.loads(line)["text"] for line in open(file, encoding="utf-8")]


def rate(events, phase, batch):
    """Rows a second of a phase, its first step included."""
    last, rows, seconds = 0, 0, 0.0
    for event in events:
        if event["event"] == "progress" and event["phase"] == phase:
            count = (event["step"] - last) * batch
            rows, seconds, last = rows + count, seconds + count / event["samples_per_second"], event["step"]
    return rows / seconds
