"""Saves the weights of a repository as PyTorch did before safetensors: two shards and an index, and a head of a task that
nobody asks for.

usage: save_as_torch.py FOLDER -> FOLDER/pytorch_model-*.bin and their index instead of FOLDER/model.safetensors
"""
import json
import os
import sys

import torch
from safetensors.torch import load_file

FOLDER = sys.argv[1]


def main():
    tensors = load_file(f"{FOLDER}/model.safetensors")
    tensors["qa_outputs.weight"] = torch.zeros(2, 32)
    names = sorted(tensors)
    weight_map = {}
    for number, part in enumerate([names[:9], names[9:]], 1):
        file = f"pytorch_model-{number:05}-of-00002.bin"
        torch.save({name: tensors[name] for name in part}, f"{FOLDER}/{file}")
        weight_map.update({name: file for name in part})
    with open(f"{FOLDER}/pytorch_model.bin.index.json", "w") as file:
        json.dump({"metadata": {}, "weight_map": weight_map}, file)
    os.remove(f"{FOLDER}/model.safetensors")


if __name__ == "__main__":
    main()
