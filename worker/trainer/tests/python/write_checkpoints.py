"""Writes the same kind of tensors in every format of checkpoints, and what is in them.

usage: write_checkpoints.py FOLDER -> FOLDER/<case>/ (a checkpoint) and FOLDER/<case>.safetensors (its tensors in fp32)
"""
import io
import json
import os
import struct
import sys
import zipfile
import zlib
from collections import OrderedDict

os.environ.update(HF_HUB_OFFLINE="1", TRANSFORMERS_VERBOSITY="error")
import torch
from safetensors.torch import save_file
from transformers import BertConfig, BertModel

FOLDER = sys.argv[1]


def state():
    """Shapes of all ranks, one of them without a value."""
    return OrderedDict([("layer.weight", torch.randn(5, 7)), ("layer.bias", torch.randn(5)), ("scale", torch.randn(())),
                        ("cube", torch.randn(2, 3, 4)), ("nothing", torch.zeros(0, 3)),
                        ("Zürich.weight", torch.randn(64, 3))])


def expect(case, tensors):
    """Whole numbers are left out, everything else is fp32."""
    floats = {name: tensor.detach().float().clone().contiguous() for name, tensor in tensors.items()
              if tensor.is_floating_point()}
    save_file(floats, f"{FOLDER}/{case}.safetensors")
    os.makedirs(f"{FOLDER}/{case}", exist_ok=True)
    return f"{FOLDER}/{case}"


def torch_file(case, value, tensors=None, protocol=2):
    folder = expect(case, value if tensors is None else tensors)
    torch.save(value, f"{folder}/pytorch_model.bin", pickle_protocol=protocol)


def views():
    base = torch.randn(6, 8)
    return {"whole": base, "transposed": base.t(), "rows": base[2:4], "columns": base[:, 3:5], "steps": base[::2, ::3],
            "permuted": torch.randn(2, 3, 4).permute(2, 0, 1), "half": torch.randn(4, 6).half().t(),
            "positions": torch.arange(6).expand((1, -1)), "one": base[5, 7], "last": base[5:5]}


def shards(case, tensors, write, stem, extension):
    """As save_pretrained names them."""
    folder = expect(case, tensors)
    names = list(tensors)
    parts = [names[:2], names[2:3], names[3:]]
    index = {"metadata": {"total_size": sum(t.nbytes for t in tensors.values())}, "weight_map": {}}
    for number, part in enumerate(parts, 1):
        file = f"{stem}-{number:05}-of-{len(parts):05}.{extension}"
        write({name: tensors[name] for name in part}, f"{folder}/{file}")
        index["weight_map"].update({name: file for name in part})
    with open(f"{folder}/{stem}.{extension}.index.json", "w") as file:
        json.dump(index, file, indent=2)


def models():
    """What transformers itself writes."""
    config = BertConfig(vocab_size=50, hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=48,
                        max_position_embeddings=64)
    model = BertModel(config)
    model.save_pretrained(expect("model-safetensors", model.state_dict()))
    model.save_pretrained(expect("model-shards", model.state_dict()), max_shard_size="20KB")
    torch_file("model-bin", model.state_dict())
    half = model.to(torch.bfloat16)
    half.save_pretrained(expect("model-bf16", half.state_dict()))
    parallel = torch.nn.DataParallel(BertModel(config))
    torch_file("model-data-parallel", parallel.state_dict(), parallel.module.state_dict())


def beyond_4_gib():
    """A file whose sizes and offsets need 64 bits, nearly all of it a hole. Written by hand: torch.save would need the
    memory. torch.load says what is in it."""
    case = "beyond-4-gib"
    os.makedirs(f"{FOLDER}/{case}")
    path = f"{FOLDER}/{case}/pytorch_model.bin"
    values = (1 << 30) + 2  # of four bytes each
    small = io.BytesIO()
    torch.save({"last": torch.zeros(8)[4:], "behind": torch.arange(3.)}, small)
    with zipfile.ZipFile(small) as source:
        code = source.read("archive/data.pkl")
    # The first storage is said to be the large one, and the first tensor to be its end.
    grown = code.replace(b"K\x08tq", b"J" + struct.pack("<i", values) + b"tq", 1)
    grown = grown.replace(b"QK\x04", b"QJ" + struct.pack("<i", values - 4), 1)
    assert len(grown) == len(code) + 6
    entries = {"archive/data.pkl": grown, "archive/byteorder": b"little", "archive/data/0": None,
               "archive/data/1": struct.pack("<3f", 0, 1, 2), "archive/version": b"3\n"}
    directory = b""
    with open(path, "wb") as file:
        for name, data in entries.items():
            name, size = name.encode(), values * 4 if data is None else len(data)
            start = file.tell()
            crc = 0 if data is None else zlib.crc32(data)
            wide = struct.pack("<HHQQ", 1, 16, size, size)
            file.write(struct.pack("<IHHHHHIIIHH", 0x04034B50, 45, 0, 0, 0, 0, crc, 2**32 - 1, 2**32 - 1, len(name), 20))
            file.write(name + wide)
            if data is None:
                file.seek(size - 16, os.SEEK_CUR)
                data = struct.pack("<4f", 1, 2, 3, 4)
            file.write(data)
            wide = struct.pack("<HHQQQ", 1, 24, size, size, start)
            directory += struct.pack("<IHHHHHHIIIHHHHHII", 0x02014B50, 45, 45, 0, 0, 0, 0, crc, 2**32 - 1, 2**32 - 1,
                                     len(name), 28, 0, 0, 0, 0, 2**32 - 1) + name + wide
        start = file.tell()
        file.write(directory)
        file.write(struct.pack("<IQHHIIQQQQ", 0x06064B50, 44, 45, 45, 0, 0, len(entries), len(entries), len(directory), start))
        file.write(struct.pack("<IIQI", 0x07064B50, 0, start + len(directory), 1))
        file.write(struct.pack("<IHHHHIIH", 0x06054B50, 0, 0, 65535, 65535, 2**32 - 1, 2**32 - 1, 0))
    tensors = torch.load(path, mmap=True, weights_only=True)
    assert tensors["last"].tolist() == [1, 2, 3, 4]
    expect(case, tensors)


def old_names():
    new = {"a.LayerNorm.weight": torch.randn(4), "a.LayerNorm.bias": torch.randn(4), "b.gamma": torch.randn(3)}
    old = {"a.LayerNorm.gamma": new["a.LayerNorm.weight"], "a.LayerNorm.beta": new["a.LayerNorm.bias"],
           "b.gamma": new["b.gamma"], "embeddings.position_ids": torch.arange(9).unsqueeze(0)}
    torch_file("old-names", old, new)
    save_file(old, expect("old-names-safetensors", new) + "/model.safetensors")


def main():
    torch.manual_seed(11)
    plain = dict(state())
    save_file(plain, expect("safetensors", plain) + "/model.safetensors", {"format": "pt"})
    shards("safetensors-shards", plain, save_file, "model", "safetensors")
    shards("bin-shards", plain, torch.save, "pytorch_model", "bin")
    for protocol in [2, 3, 4, 5]:
        torch_file(f"dict-protocol-{protocol}", plain, protocol=protocol)
        torch_file(f"ordered-dict-protocol-{protocol}", state(), protocol=protocol)
    torch_file("parameters", {name: torch.nn.Parameter(tensor) for name, tensor in plain.items()}, plain)
    for kind in [torch.float16, torch.bfloat16, torch.float64]:
        name = str(kind).removeprefix("torch.")
        tensors = {key: tensor.to(kind) for key, tensor in plain.items()}
        torch_file(f"bin-{name}", tensors)
        save_file(tensors, expect(f"safetensors-{name}", tensors) + "/model.safetensors")
    torch_file("views", views())
    whole = {f"whole.{kind}".replace("torch.", ""): torch.ones(3).to(kind)
             for kind in [torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8, torch.bool]}
    torch_file("whole-numbers", plain | whole)
    save_file(plain | whole, expect("whole-numbers-safetensors", plain) + "/model.safetensors")
    tied = plain | {"decoder.weight": plain["layer.weight"]}
    torch_file("tied", tied)
    torch_file("many", {f"layer.{number}.weight": torch.randn(2, 2) for number in range(1500)})
    with_metadata = torch.nn.BatchNorm1d(4).state_dict()
    assert with_metadata._metadata, "the case is about _metadata"
    torch_file("metadata", with_metadata)
    beyond_4_gib()
    old_names()
    models()
    # safetensors comes before PyTorch's format, one file before shards; what is not read may be anything.
    save_file(plain, expect("all", plain) + "/model.safetensors")
    for other in ["model.safetensors.index.json", "pytorch_model.bin", "pytorch_model.bin.index.json"]:
        with open(f"{FOLDER}/all/{other}", "w") as file:
            file.write("not read")


if __name__ == "__main__":
    main()
