"""Steps of PyTorch's AdamW with transformers' linear schedule, on one batch, without dropout.

usage: train_steps.py MODEL ROWS.json STEPS OUT.safetensors [FROZEN]   (ROWS: {"texts": […], "labels": [ids]})

FROZEN: beginnings of the names of parameters that are not trained, with commas between them.
"""
import json
import os
import sys

os.environ.update(HF_HUB_OFFLINE="1", TRANSFORMERS_VERBOSITY="error", TOKENIZERS_PARALLELISM="false")
import torch
from safetensors.torch import save_file
from transformers import AutoModelForSequenceClassification, AutoTokenizer, get_linear_schedule_with_warmup

DECAY, CLIP = 0.01, 1.0


def train(model, loss_of, steps, rate, warmup):
    """Changes `model`, whose loss `loss_of()` computes; gives the loss of each step."""
    kept = [p for p in model.parameters() if p.dim() < 2]
    decayed = [p for p in model.parameters() if p.dim() >= 2]
    optimizer = torch.optim.AdamW([{"params": decayed, "weight_decay": DECAY}, {"params": kept, "weight_decay": 0.0}], lr=rate)
    schedule = get_linear_schedule_with_warmup(optimizer, warmup, steps)
    optimizer.zero_grad()
    losses = []
    for _ in range(steps):
        loss = loss_of()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), CLIP)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    return losses


def main():
    folder, rows, steps, out = sys.argv[1], json.load(open(sys.argv[2])), int(sys.argv[3]), sys.argv[4]
    model = AutoModelForSequenceClassification.from_pretrained(folder).train()
    frozen = tuple(filter(None, (sys.argv[5] if len(sys.argv) > 5 else "").split(",")))
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(not name.startswith(frozen) if frozen else True)
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            assert module.p == 0.0, "the model must come without dropout"
    batch = AutoTokenizer.from_pretrained(folder)(rows["texts"], padding=True, return_tensors="pt")
    if model.config.model_type == "distilbert":
        batch.pop("token_type_ids", None)
    labels = torch.tensor(rows["labels"])
    losses = train(model, lambda: model(**batch, labels=labels).loss, steps, rate=5e-5, warmup=2)
    save_file({name: tensor.contiguous() for name, tensor in model.state_dict().items()}, out)
    print(json.dumps(losses))


if __name__ == "__main__":
    main()
