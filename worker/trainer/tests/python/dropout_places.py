"""Where transformers' models drop out in training: how often in a forward pass with every dropout on, and which fields of
config.json have an effect alone.

usage: dropout_places.py FOLDER MODEL…   -> {"<model>": {"places": n, "fields": {"<field>": true or false}}}
"""
import json
import os
import sys

os.environ.update(HF_HUB_OFFLINE="1", TRANSFORMERS_VERBOSITY="error", TOKENIZERS_PARALLELISM="false")
import torch
import transformers

dropout = torch.nn.functional.dropout
calls = []


def counted(input, p=0.5, training=True, inplace=False):
    if training and p > 0:
        calls.append(p)
    return dropout(input, p, training, inplace)


def forward(folder, config, fields):
    """How often the model drops out with these fields."""
    for field, value in fields.items():
        setattr(config, field, value)
    found = getattr(transformers, config.architectures[0])
    # Fused attention would drop out unseen.
    model = found.from_pretrained(folder, config=config, attn_implementation="eager").train()
    calls.clear()
    model(input_ids=torch.tensor([[0, 7, 8, 9, 2]]))
    return len(calls)


def judge(folder):
    config = transformers.AutoConfig.from_pretrained(folder)
    fields = [field for field in config.to_dict() if "dropout" in field]
    places = forward(folder, config, dict.fromkeys(fields, 0.5))
    alone = {field: forward(folder, config, {**dict.fromkeys(fields, 0.0), field: 0.5}) > 0 for field in fields}
    return {"places": places, "fields": alone}


def main():
    torch.nn.functional.dropout = counted
    print(json.dumps({name: judge(f"{sys.argv[1]}/{name}") for name in sys.argv[2:]}))


if __name__ == "__main__":
    main()
