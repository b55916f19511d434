"""Trains the same small job on the CPU and the GPU, and kills one on the GPU: says what differs, and fails where it is
too much. usage: check.py TRAINER [DEVICE]; DEVICE is cuda, or cpu to try the script itself."""
import hashlib
import json
import os
import subprocess
import sys
import tempfile

import inputs

TRAINER = sys.argv[1]
DEVICE = sys.argv[2] if len(sys.argv) > 2 else "cuda"


def run(folder, name, device, precision, every=None, variables=None):
    inputs.job(f"{folder}/{name}.json", "texts.jsonl", 16, 4, device, precision, every=every)
    ended = subprocess.run([TRAINER, f"{folder}/{name}.json", "--inputs", f"{folder}/inputs", "--outputs",
                            f"{folder}/out-{name}", "--checkpoints", f"{folder}/checkpoints-{name}"],
                           env={**os.environ, **(variables or {})}, capture_output=True, text=True)
    return ended


def done(folder, name, *rest, **more):
    ended = run(folder, name, *rest, **more)
    assert ended.returncode == 0, f"{name}: {ended.returncode} {ended.stderr}"
    with open(f"{folder}/out-{name}/loss_curve.jsonl") as file:
        curve = [point["loss"] for point in map(json.loads, file) if point.get("loss") is not None]
    with open(f"{folder}/out-{name}/model_artifacts/model.safetensors", "rb") as file:
        digest = hashlib.sha256(file.read()).hexdigest()
    with open(f"{folder}/out-{name}/report.json") as file:
        return curve, digest, json.load(file)


def distance(one, other):
    return max(abs(a - b) for a, b in zip(one, other, strict=True))


def main():
    wrong = []

    def expect(what, holds, value):
        print(f"{'ok  ' if holds else 'FAIL'} {what}: {value}", flush=True)
        if not holds:
            wrong.append(what)

    with tempfile.TemporaryDirectory() as folder:
        inputs.small(f"{folder}/inputs/model")
        inputs.texts(f"{folder}/inputs/texts.jsonl", 320, 8, 60)
        # Masks of dropout come from another generator on a GPU: curves are compared without.
        path = f"{folder}/inputs/model/config.json"
        config = json.load(open(path))
        with_dropout = dict(config)
        config.update(hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
        json.dump(config, open(path, "w"))
        curve, _, _ = done(folder, "cpu-fp32", "cpu", "fp32")
        fell = curve[0] - curve[-1]
        print(f"CPU fp32: loss {curve[0]:.4f} to {curve[-1]:.4f} in {len(curve)} points")
        expect("the loss falls", fell > 0.03, f"by {fell:.4f}")
        full, _, report = done(folder, "gpu-fp32", DEVICE, "fp32")
        print(report["environment"])
        expect("fp32 curve against the CPU's", distance(curve, full) < 2e-3, f"{distance(curve, full):.2e}")
        half, digest, report = done(folder, "gpu-bf16", DEVICE, "bf16")
        expect("bf16 curve against the CPU's fp32", distance(curve, half) < 5e-2, f"{distance(curve, half):.2e}")
        _, again, _ = done(folder, "gpu-bf16-again", DEVICE, "bf16")
        expect("same seed, same digest", digest == again, f"{digest[:16]} {again[:16]}")
        json.dump(with_dropout, open(path, "w"))
        for precision in ["bf16", "fp32"]:
            name = f"dropout-{precision}"
            dropped, whole, _ = done(folder, name, DEVICE, precision, every=10)
            same, again, _ = done(folder, f"{name}-again", DEVICE, precision, every=10)
            expect(f"{precision} with dropout: same digest twice", whole == again, f"{whole[:16]} {again[:16]}")
            killed = run(folder, f"{name}-killed", DEVICE, precision, every=10,
                         variables={"TRAINYARD_CRASH_AT": "killed-at-step-35"})
            expect(f"{precision}: killed at step 35", killed.returncode == -9, killed.returncode)
            ended = run(folder, f"{name}-killed", DEVICE, precision, every=10)
            said = [line for line in ended.stderr.splitlines() if "resumed" in line or "bit-exact" in line]
            _, resumed, _ = done(folder, f"{name}-killed", DEVICE, precision, every=10) if ended.returncode else (
                None, hashlib.sha256(open(f"{folder}/out-{name}-killed/model_artifacts/model.safetensors",
                                          "rb").read()).hexdigest(), None)
            expect(f"{precision}: resumed", said == ["resumed at step 30"], said)
            expect(f"{precision}: digest of the resumed one", whole == resumed, f"{whole[:16]} {resumed[:16]}")
    sys.exit(f"failed: {', '.join(wrong)}" if wrong else 0)


if __name__ == "__main__":
    main()
