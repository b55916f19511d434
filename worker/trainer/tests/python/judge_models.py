"""What transformers and PyTorch make of models: logits and the gradient of every parameter in fp64, and three training
steps in fp32.

usage: judge_models.py FOLDER OUT [MODEL…]  -> OUT/judged.json and OUT/<model>.safetensors for each FOLDER/<model>

Rows are random token ids of many lengths, so that no tokenizer comes between. Dropout is off (`eval`).
"""
import copy
import inspect
import json
import os
import random
import sys

os.environ.update(HF_HUB_OFFLINE="1", TRANSFORMERS_VERBOSITY="error", TOKENIZERS_PARALLELISM="false")
import torch
import transformers
from safetensors.torch import save_file
from train_steps import train

IGNORED = -100
LENGTHS = [3, 40, 11, 1, 26, 7]


def load(folder, **more):
    """The model as config.json names it, in fp32 whatever the file holds."""
    with open(f"{folder}/config.json") as file:
        name = json.load(file)["architectures"][0]
    return getattr(transformers, name).from_pretrained(folder, dtype=torch.float32, **more)


def rows_of(config, draw, lengths=LENGTHS):
    """Ids of the whole vocabulary but for padding, and both token types where the model knows two."""
    # RoBERTa and those like it count positions from behind the padding's id.
    longest = config.max_position_embeddings - 4
    words = [id for id in range(config.vocab_size) if id != config.pad_token_id]
    types = getattr(config, "type_vocab_size", 0) or 0
    rows = []
    for length in lengths:
        length = min(length, longest)
        second = [int(types > 1 and place > length // 2) for place in range(length)]
        rows.append({"ids": [draw.choice(words) for _ in range(length)], "types": second})
    return rows


def batch_of(rows, config, model):
    longest = max(len(row["ids"]) for row in rows)
    pad = lambda values, filler: values + [filler] * (longest - len(values))
    batch = {"input_ids": torch.tensor([pad(row["ids"], config.pad_token_id) for row in rows]),
             "attention_mask": torch.tensor([pad([1] * len(row["ids"]), 0) for row in rows]),
             "token_type_ids": torch.tensor([pad(row["types"], 0) for row in rows])}
    known = inspect.signature(model.forward).parameters
    return {name: tensor for name, tensor in batch.items() if name in known}


def targets_of(rows, config, kind):
    """One label a row, or one a token with some that do not count; none without a head."""
    labels = len(config.id2label)
    if kind == "text":
        return [[place % labels] for place in range(len(rows))]
    if kind == "token":
        return [[IGNORED if place % 5 == 4 else (place * 3 + row) % labels for place in range(len(rows[row]["ids"]))]
                for row in range(len(rows))]
    return []


def kind_of(model):
    name = type(model).__name__
    return "text" if name.endswith("SequenceClassification") else "token" if name.endswith("TokenClassification") else "bare"


class Loss:
    """Cross entropy; without a head a fixed linear function of the hidden states of all tokens."""

    def __init__(self, rows, targets, longest, hidden, draw):
        self.weights, self.targets = None, None
        if not targets:
            shape = (len(rows), longest, hidden)
            values = torch.tensor([draw.uniform(-1, 1) for _ in range(shape[0] * shape[1] * shape[2])]).view(shape)
            mask = torch.tensor([[place < len(row["ids"]) for place in range(longest)] for row in rows])
            self.weights = values * mask.unsqueeze(-1) / mask.sum()
        elif len(targets[0]) == 1 and all(len(row) == 1 for row in targets):
            self.targets = torch.tensor([row[0] for row in targets])
        else:
            self.targets = torch.tensor([row + [IGNORED] * (longest - len(row)) for row in targets])

    def of(self, out):
        if self.weights is not None:
            return (out * self.weights.to(out.dtype)).sum()
        return torch.nn.functional.cross_entropy(out.flatten(0, -2), self.targets.flatten(), ignore_index=IGNORED)


def logits_of(model, batch):
    out = model(**batch)
    return out.logits if hasattr(out, "logits") else out.last_hidden_state


def gradients(model, batch, loss):
    model.zero_grad()
    value = loss.of(logits_of(model, batch))
    value.backward()
    return value.item(), {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


def judge(folder, out):
    draw = random.Random(13)
    model = load(folder).eval()
    config, kind = model.config, kind_of(model)
    rows = rows_of(config, draw)
    targets = targets_of(rows, config, kind)
    batch = batch_of(rows, config, model)
    loss = Loss(rows, targets, batch["input_ids"].shape[1], config.hidden_size, draw)
    # In fp64: how far PyTorch's own fp32 is off depends on the processor.
    exact = copy.deepcopy(model).double()
    tensors = {"logits": logits_of(exact, batch).detach().float()}
    if loss.weights is not None:
        tensors["weights"] = loss.weights
    value, found = gradients(exact, batch, loss)
    tensors.update({f"gradient/{name}": tensor.float() for name, tensor in found.items()})
    # Zero but for rounding: what exact arithmetic has no gradient for, Adam blows up to whole steps of noise.
    still = [name for name, tensor in found.items() if tensor.abs().max() < 1e-12]
    answer = {"kind": kind, "labels": 0 if kind == "bare" else len(config.id2label), "rows": rows, "targets": targets,
              "loss": value, "still": still, "losses": [], "rounding": {}}
    if kind != "bare":
        step = lambda model: train(model, lambda: loss.of(logits_of(model, batch)), steps=3, rate=1e-3, warmup=1)
        answer["losses"] = step(model)
        tensors.update({f"stepped/{name}": p.detach() for name, p in model.named_parameters()})
        # Single elements have gradients near rounding: how far PyTorch itself is from exact arithmetic.
        step(exact)
        answer["rounding"] = {name: (p.double() - tensors[f"stepped/{name}"].double()).abs().max().item()
                              for name, p in exact.named_parameters()}
    save_file({name: tensor.contiguous().clone() for name, tensor in tensors.items()}, out)
    return answer


def main():
    torch.manual_seed(5)
    folder, out = sys.argv[1:3]
    judged = {name: judge(f"{folder}/{name}", f"{out}/{name}.safetensors") for name in sys.argv[3:]}
    with open(f"{out}/judged.json", "w") as file:
        json.dump(judged, file)


if __name__ == "__main__":
    main()
