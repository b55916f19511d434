"""Steps of PyTorch's AdamW with transformers' linear schedule, on one batch, without dropout.

usage: train_steps.py MODEL ROWS.json STEPS OUT.safetensors   (ROWS: {"texts": […], "labels": [ids]})
"""
import json
import os
import sys

os.environ.update(HF_HUB_OFFLINE="1", TRANSFORMERS_VERBOSITY="error", TOKENIZERS_PARALLELISM="false")
import torch
from safetensors.torch import save_file
from transformers import AutoModelForSequenceClassification, AutoTokenizer, get_linear_schedule_with_warmup

MODEL, ROWS, STEPS, OUT = sys.argv[1], json.load(open(sys.argv[2])), int(sys.argv[3]), sys.argv[4]
RATE, WARMUP, TOTAL, DECAY, CLIP = 5e-5, 2, 20, 0.01, 1.0


def main():
    model = AutoModelForSequenceClassification.from_pretrained(MODEL).train()
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            assert module.p == 0.0, "the model must come without dropout"
    batch = AutoTokenizer.from_pretrained(MODEL)(ROWS["texts"], padding=True, return_tensors="pt")
    if model.config.model_type == "distilbert":
        batch.pop("token_type_ids", None)
    kept = [p for p in model.parameters() if p.dim() < 2]
    decayed = [p for p in model.parameters() if p.dim() >= 2]
    optimizer = torch.optim.AdamW([{"params": decayed, "weight_decay": DECAY}, {"params": kept, "weight_decay": 0.0}], lr=RATE)
    schedule = get_linear_schedule_with_warmup(optimizer, WARMUP, TOTAL)
    losses = []
    for _ in range(STEPS):
        loss = model(**batch, labels=torch.tensor(ROWS["labels"])).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), CLIP)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    save_file({name: tensor.contiguous() for name, tensor in model.state_dict().items()}, OUT)
    print(json.dumps(losses))


if __name__ == "__main__":
    main()
