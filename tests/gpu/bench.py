"""Samples a second of XLM-RoBERTa base with random weights on a GPU: the trainer, and HF Trainer beside it.
usage: bench.py TRAINER; prints Markdown."""
import json
import os
import subprocess
import sys
import tempfile
import time

import inputs
import torch

TRAINER = sys.argv[1]
# Tokens a text, texts a batch, steps; SHAPES=128-32-300,… asks for others.
SHAPES = [tuple(int(number) for number in shape.split("-"))
          for shape in os.environ.get("SHAPES", "128-32-300,128-128-120,512-32-120").split(",")]
LAYERS, HIDDEN, WIDE = 12, 768, 3072


def peak():
    """TFLOP/s of a bf16 product of 8192 x 8192 matrices of random numbers."""
    one, other = (torch.randn(8192, 8192, device="cuda", dtype=torch.bfloat16) for _ in range(2))
    for _ in range(5):
        one @ other
    rates = []
    for _ in range(20):
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        begin.record()
        one @ other
        end.record()
        torch.cuda.synchronize()
        rates.append(2 * 8192**3 / begin.elapsed_time(end) / 1e9)
    return sorted(rates)[len(rates) // 2]


def work(length):
    """Floating-point operations of a text in training: 6 a parameter of a matrix and token, and attention's products."""
    matrices = LAYERS * (4 * HIDDEN**2 + 2 * HIDDEN * WIDE)
    return length * (6 * matrices + 12 * LAYERS * length * HIDDEN)


def ours(folder, length, batch, steps):
    name = f"{length}-{batch}"
    inputs.job(f"{folder}/{name}.json", f"{name}.jsonl", batch, 1, "cuda", "bf16", length=length)
    process = subprocess.Popen([TRAINER, f"{folder}/{name}.json", "--inputs", f"{folder}/inputs", "--outputs",
                                f"{folder}/out-{name}", "--checkpoints", f"{folder}/checkpoints-{name}"],
                               stdout=subprocess.PIPE, stderr=open(f"{folder}/stderr", "w"), text=True)
    rates, last, begun = [], 0, time.perf_counter()
    for line in process.stdout:
        event = json.loads(line)
        if os.environ.get("VERBOSE"):
            print(f"  {time.perf_counter() - begun:6.1f} s {line.strip()[:150]}", file=sys.stderr, flush=True)
        if event["event"] == "progress" and event["phase"] == "train":
            rates.append((event["step"] - last, event["samples_per_second"]))
            last = event["step"]
    if process.wait():
        raise RuntimeError(open(f"{folder}/stderr").read()[-2000:])
    # The first second holds the start of CUDA's libraries.
    late = rates[1:] or rates
    return sum(steps for steps, _ in late) / sum(steps / rate for steps, rate in late)


def theirs(folder, length, batch, steps):
    """HF Trainer: bf16, SDPA, fused AdamW, no padding, and nothing logged or saved."""
    from transformers import AutoModelForSequenceClassification, Trainer, TrainerCallback, TrainingArguments

    model = AutoModelForSequenceClassification.from_pretrained(f"{folder}/inputs/model", attn_implementation="sdpa")
    tokenizer = inputs.tokenizer(f"{folder}/tokenizer")
    rows = [json.loads(line) for line in open(f"{folder}/inputs/{length}-{batch}.jsonl")]
    encoded = tokenizer([row["text"] for row in rows])["input_ids"]
    data = [{"input_ids": ids, "attention_mask": [1] * len(ids), "labels": inputs.LABELS.index(row["label"])}
            for ids, row in zip(encoded, rows)]
    assert {len(ids) for ids in encoded} == {length}

    def collate(batch):
        return {key: torch.tensor([row[key] for row in batch]) for key in batch[0]}

    class Clock(TrainerCallback):
        def on_step_end(self, args, state, control, **_):
            if state.global_step in (20, steps):
                torch.cuda.synchronize()
                setattr(self, "begin" if state.global_step == 20 else "end", time.perf_counter())

    clock = Clock()
    arguments = TrainingArguments(
        output_dir=f"{folder}/hf", per_device_train_batch_size=batch, max_steps=steps, bf16=True,
        optim="adamw_torch_fused", learning_rate=1e-4, weight_decay=0.01, warmup_steps=10, max_grad_norm=1.0,
        logging_strategy="no", save_strategy="no", report_to=[], dataloader_num_workers=2,
        dataloader_pin_memory=True, disable_tqdm=True)
    torch.cuda.reset_peak_memory_stats()
    Trainer(model=model, args=arguments, train_dataset=data, data_collator=collate, callbacks=[clock]).train()
    return (steps - 20) * batch / (clock.end - clock.begin), torch.cuda.max_memory_allocated() / 2**30


def main():
    if not torch.cuda.is_available():
        sys.exit("no CUDA device: nothing was measured")
    ceiling = peak()
    print(f"{torch.cuda.get_device_name()}, torch {torch.__version__}; bf16 8192 x 8192 x 8192: {ceiling:.0f} TFLOP/s\n")
    print("| tokens | batch | trainer, samples/s | of the bf16 peak | HF Trainer, samples/s | of the peak | ratio |")
    print("|---|---|---|---|---|---|---|", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        begun = time.perf_counter()
        inputs.base(f"{folder}/inputs/model")
        print(f"weights: {time.perf_counter() - begun:.1f} s", file=sys.stderr, flush=True)
        for length, batch, steps in SHAPES:
            inputs.texts(f"{folder}/inputs/{length}-{batch}.jsonl", batch * steps, length, length)
            mine, other = [], []
            for _ in range(int(os.environ.get("ROUNDS", "1"))):
                begun = time.perf_counter()
                try:
                    mine.append(ours(folder, length, batch, steps))
                except RuntimeError as error:
                    print(error)
                    mine.append(float("nan"))
                print(f"trainer {length}-{batch}: {time.perf_counter() - begun:.1f} s, {mine[-1]:.0f} samples/s",
                      file=sys.stderr, flush=True)
                begun = time.perf_counter()
                other.append(theirs(folder, length, batch, steps)[0])
                print(f"HF Trainer {length}-{batch}: {time.perf_counter() - begun:.1f} s, {other[-1]:.0f} samples/s",
                      file=sys.stderr, flush=True)
                torch.cuda.empty_cache()
                subprocess.run(f"rm -rf {folder}/out-* {folder}/checkpoints-*", shell=True, check=True)
            mine, other = sorted(mine)[len(mine) // 2], sorted(other)[len(other) // 2]
            share = [rate * work(length) / ceiling / 1e12 for rate in (mine, other)]
            print(f"| {length} | {batch} | {mine:.0f} | {share[0]:.0%} | {other:.0f} | {share[1]:.0%} "
                  f"| {mine / other:.2f} |", flush=True)


if __name__ == "__main__":
    main()
