#!/usr/bin/env python3
"""Reads registered versions as the compile and serve components do, and compares their own predictions with the registered.

usage: consumer.py STORE [MODEL]

STORE is the folder of a directory store. Of every model in it (or of MODEL only) the newest version is read: the card
first, then what it points to. The artifacts are loaded with `transformers.pipeline(task, model=folder)` (keywords: with
KeyBERT over `sentence_transformers`), the registered inputs are predicted again, scores may differ by 0.01.
Exits 1, naming the version and what is wrong.
"""

import json
import os
import sys
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")
TOLERANCE = 0.01
CARD_FIELDS = [
    "model_type", "model_artifact_attribute_path", "model_test_files", "github_action_context", "model_params",
    "model_inputs", "local_output_dir", "logging_level",
]


class Broken(Exception):
    """What a consumer would stumble over."""


def newest_versions(store: Path, only: str | None) -> list[Path]:
    """Folders `<MODEL-n>` with the highest n of every model that has a visible (carded) version."""
    newest: dict[Path, Path] = {}
    for card in store.glob("neptune-ai-model-registry/*/*/*/*/model/model_card"):
        version = card.parents[1]
        model = version.parent
        if only in (None, model.name):
            number = lambda v: int(v.name.rsplit("-", 1)[1])  # noqa: E731
            if model not in newest or number(version) > number(newest[model]):
                newest[model] = version
    return sorted(newest.values())


def keywords(folder: Path, documents: list[str], params: dict) -> list:
    from keybert import KeyBERT
    from sentence_transformers import SentenceTransformer

    model = KeyBERT(model=SentenceTransformer(str(folder), device="cpu"))
    options = dict(params, keyphrase_ngram_range=tuple(params["keyphrase_ngram_range"]))
    return [[list(pair) for pair in model.extract_keywords(document, **options)] for document in documents]


def predict(task: str, folder: Path, documents: list[str], params: dict) -> list:
    if task == "feature-extraction":
        return keywords(folder, documents, params)
    from transformers import pipeline

    return json.loads(json.dumps(pipeline(task, model=str(folder), device="cpu")(documents, **params), default=float))


def same(ours: object, theirs: object, where: str) -> None:
    """Equal but for numbers, which may differ by the tolerance."""
    if isinstance(ours, float) or isinstance(theirs, float):
        if abs(float(ours) - float(theirs)) > TOLERANCE:
            raise Broken(f"{where}: {ours} here, {theirs} registered")
    elif isinstance(ours, dict) and isinstance(theirs, dict):
        if ours.keys() != theirs.keys():
            raise Broken(f"{where}: fields {sorted(ours)} here, {sorted(theirs)} registered")
        for key in ours:
            same(ours[key], theirs[key], f"{where}.{key}")
    elif isinstance(ours, list) and isinstance(theirs, list):
        if len(ours) != len(theirs):
            raise Broken(f"{where}: {len(ours)} entries here, {len(theirs)} registered")
        for index, pair in enumerate(zip(ours, theirs)):
            same(*pair, f"{where}[{index}]")
    elif ours != theirs:
        raise Broken(f"{where}: {ours!r} here, {theirs!r} registered")


def read_json(path: Path) -> object:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise Broken(f"{path}: {error}") from error


def check(version: Path) -> str:
    card = read_json(version / "model" / "model_card")
    missing = [field for field in CARD_FIELDS if field not in card]
    if missing:
        raise Broken(f"the card lacks {', '.join(missing)}")
    if len(card["github_action_context"]) != 15:
        raise Broken(f"github_action_context has {len(card['github_action_context'])} fields, not 15")
    tests = {name: read_json(version / card["model_test_files"][name]) for name in ("inputs", "inference_params", "predictions")}
    artifacts = version / card["model_artifact_attribute_path"]
    task = card["model_params"]["huggingface_pipeline_task"]
    # The ner component keeps its models one folder down; with both of them every test file is a list of two.
    folders = [artifacts / name for name in ("base_ner", "korean_japanese_ner") if (artifacts / name).is_dir()]
    if len(folders) < 2:
        folders, tests = folders or [artifacts], {name: [test] for name, test in tests.items()}
    for folder, documents, params, registered in zip(folders, *(tests[name] for name in ("inputs", "inference_params", "predictions"))):
        same(predict(task, folder, documents, params), registered, f"predictions of {folder.name}")
    return f"{sum(map(len, tests['inputs']))} documents, task {task}"


def main(arguments: list[str]) -> int:
    if not 1 <= len(arguments) <= 2:
        print(__doc__, file=sys.stderr)
        return 64
    versions = newest_versions(Path(arguments[0]), arguments[1] if len(arguments) == 2 else None)
    if not versions:
        print(f"error: no visible version in {arguments[0]}", file=sys.stderr)
        return 1
    failed = 0
    for version in versions:
        try:
            print(f"{version.name}: ok ({check(version)})")
        except Broken as error:
            failed = 1
            print(f"{version.name}: {error}", file=sys.stderr)
    return failed


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
