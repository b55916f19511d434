"""Writes checkpoints that attack their reader, and says what a reader should say about each.

usage: write_hostile.py FOLDER -> FOLDER/<case>/pytorch_model.bin, and three good ones: well-made, ordinary, ordinary-4
Prints JSON: case -> {"says": [words], "ran": whether Python, which executes pickles, was seen to be harmed}.
Every program among them would create FOLDER/canaries/<case>; none is there any more when this ends.
"""
import builtins
import copyreg
import json
import os
import pickle
import struct
import sys
import zipfile
from collections import OrderedDict

import numpy
import torch

FOLDER = sys.argv[1]
CASES = {}
REFUSED = "nothing was executed"


def canary(case):
    return f"{FOLDER}/canaries/{case}"


def file(case, says, runs, before=lambda: None):
    """Registers a case; where it is said to run, Python must show it, so that the test is not of a blunt weapon."""
    path = f"{FOLDER}/{case}/pytorch_model.bin"
    if runs:
        before()
        try:
            torch.load(path, weights_only=False)
        except Exception:
            pass  # What is left after a program ran is seldom a checkpoint.
        assert os.path.exists(canary(case)), f"{case} does not work in Python"
        os.remove(canary(case))
    CASES[case] = {"says": says, "ran": runs}


def folder(case):
    os.makedirs(f"{FOLDER}/{case}", exist_ok=True)
    return f"{FOLDER}/{case}/pytorch_model.bin"


class Call:
    """Pickles as a call."""

    def __init__(self, function, *arguments):
        self.call = (function, arguments)

    def __reduce__(self):
        return self.call


def saved(case, value, says, protocol=2, runs=True):
    """What torch.save writes."""
    torch.save(value, folder(case), pickle_protocol=protocol)
    file(case, [*says, REFUSED], runs)


def archive(case, code, entries=(), compression=zipfile.ZIP_STORED):
    """An archive with this pickle, and a storage `0` of four floats."""
    with zipfile.ZipFile(folder(case), "w", compression) as target:
        for name, data in {"a/data.pkl": code, "a/byteorder": b"little", "a/data/0": struct.pack("<4f", 1, 2, 3, 4),
                           "a/version": b"3\n"}.items():
            target.writestr(name, data)
        for name, data in entries:
            target.writestr(name, data)


def crafted(case, code, says, runs=False, before=lambda: None):
    archive(case, code)
    file(case, [*says, REFUSED], runs, before)


# Pieces of pickles.
def text(value):
    data = value.encode()
    return b"X" + struct.pack("<I", len(data)) + data


def number(value):
    return b"\x8a\x08" + struct.pack("<q", value)


def find(module, name):
    return f"c{module}\n{name}\n".encode()


def storage(values=4, kind="FloatStorage", key="0", device="cpu"):
    return b"(" + text("storage") + find("torch", kind) + text(key) + text(device) + number(values) + b"tQ"


def sizes(*values):
    return b"(" + b"".join(number(value) for value in values) + b"t"


def tensor(store=None, offset=0, size=(4,), stride=(1,)):
    return (find("torch._utils", "_rebuild_tensor_v2") + b"(" + (store or storage()) + number(offset) + sizes(*size)
            + sizes(*stride) + b"\x89" + find("collections", "OrderedDict") + b")RtR")


def state(value):
    return b"\x80\x02}" + text("a") + value + b"s."


def programs():
    good = torch.randn(3, 3)
    touch = lambda case: f"touch '{canary(case)}'"
    write = lambda case: f"open({canary(case)!r}, 'w')"
    for protocol in [2, 3, 4, 5]:
        case = f"os-system-{protocol}"
        saved(case, Call(os.system, touch(case)), ["posix.system"], protocol)
    saved("eval-2", {"a": Call(eval, write("eval-2"))}, ["__builtin__.eval"])
    saved("eval-4", {"a": Call(eval, write("eval-4"))}, ["builtins.eval"], 4)
    saved("exec", {"a": Call(exec, write("exec"))}, ["builtins.exec"], 4)
    saved("beside-tensors", OrderedDict([("weight", good), ("bias", Call(os.system, touch("beside-tensors"))),
                                         ("more", good)]), ["posix.system"])
    metadata = OrderedDict(weight=good)
    metadata._metadata = OrderedDict({"": {"version": Call(os.system, touch("in-metadata"))}})
    saved("in-metadata", metadata, ["posix.system"])
    saved("as-key", {Call(os.system, touch("as-key")): good}, ["posix.system"])
    inner = f"{FOLDER}/inner"
    torch.save(Call(os.system, touch("load-from-bytes")), inner, _use_new_zipfile_serialization=False)
    with open(inner, "rb") as source:
        inner = source.read()
    saved("load-from-bytes", {"a": Call(torch.storage._load_from_bytes, inner)}, ["torch.storage._load_from_bytes"], 4)
    saved("getattr", Call(getattr(builtins, "getattr"), Call(__import__, "os"), "system"), ["builtins.getattr"], 4, False)
    saved("numpy-scalar", {"weight": good, "epoch": numpy.float64(3)}, ["numpy", "multiarray.scalar"], 2, False)
    saved("a-whole-module", torch.nn.Linear(2, 2), ["torch.nn.modules.linear.Linear"], 2, False)
    saved("parameter-with-state", {"a": with_attribute(good)}, ["_rebuild_parameter_with_state"], 2, False)


def with_attribute(value):
    parameter = torch.nn.Parameter(value)
    parameter.extra = 1
    return parameter


def opcodes():
    """Calls in all the spellings that pickles have."""
    touch = lambda case: text(f"touch '{canary(case)}'")
    short = lambda value: b"\x8c" + bytes([len(value)]) + value.encode()
    crafted("global", b"\x80\x02" + find("os", "system") + touch("global") + b"\x85R.", ["`os.system`"], True)
    crafted("stack-global", b"\x80\x04" + short("os") + short("system") + b"\x93" + touch("stack-global") + b"\x85R.",
            ["`os.system`"], True)
    crafted("dotted-global", b"\x80\x04" + short("torch.serialization") + short("os.system") + b"\x93"
            + touch("dotted-global") + b"\x85R.", ["`torch.serialization.os.system`"], True)
    crafted("inst", b"\x80\x02(" + touch("inst") + b"ios\nsystem\n.", ["`os.system`"], True)
    crafted("obj", b"\x80\x02(" + find("os", "system") + touch("obj") + b"o.", ["`os.system`"], True)
    crafted("ext", b"\x80\x02\x82\xf0" + touch("ext") + b"\x85R.", ["EXT"], True,
            lambda: copyreg.add_extension("os", "system", 0xF0))
    crafted("after-a-tensor", b"\x80\x02}" + text("a") + tensor() + b"s" + find("os", "system")
            + touch("after-a-tensor") + b"\x85R0.", ["`os.system`"], True)
    crafted("popped", b"\x80\x02" + find("os", "system") + touch("popped") + b"\x85R0}.", ["`os.system`"], True)
    crafted("as-persistent-id", b"\x80\x02" + find("os", "system") + touch("as-persistent-id") + b"\x85RQ.",
            ["`os.system`"], True)
    crafted("as-storage-type", state(tensor(b"(" + text("storage") + find("os", "system") + text("0") + text("cpu")
                                            + number(4) + b"tQ")), ["`os.system`"])
    crafted("newobj", b"\x80\x02" + find("subprocess", "Popen") + touch("newobj") + b"\x85\x81.", ["`subprocess.Popen`"])
    crafted("newobj-of-known", b"\x80\x02" + find("collections", "OrderedDict") + b")\x81.", ["NEWOBJ"])
    crafted("obj-of-known", b"\x80\x02(" + find("collections", "OrderedDict") + b"o.", ["OBJ"])
    crafted("build-attributes", b"\x80\x02" + find("collections", "OrderedDict") + b")R}" + text("__class__") + text("x")
            + b"sb.", ["sets the attribute `__class__`"])
    many = b"}q\x00" + text("_metadata") + b"q\x01}q\x02h\x00" + b"h\x01h\x02s" * 800_000
    crafted("build-without-end", b"\x80\x02]" + many + find("collections", "OrderedDict") + b")R" + b"h\x00b" * 800_000 + b".",
            ["sets 800000 attributes"])
    crafted("build-of-a-function", b"\x80\x02" + find("torch", "Size") + b"}" + text("_metadata") + b"}sb.",
            ["sets the state of a class or function"])
    crafted("persistent-id-callable", b"\x80\x02" + find("torch", "Size") + b"Q.", ["persistent id", "Size"])
    crafted("persistent-id-text", b"\x80\x02Pos.system\n.", ["PERSID"])
    crafted("persistent-id-module", b"\x80\x02(" + text("module") + find("torch", "Size") + text("0") + text("cpu")
            + number(4) + b"tQ.", ["persistent id"])
    crafted("calls-a-text", b"\x80\x02" + text("os.system") + text("x") + b"\x85R.", ["calls a text"])
    crafted("calls-a-dict-with-items", b"\x80\x02" + find("collections", "OrderedDict") + b"]\x85R.",
            ["calls OrderedDict with (a list)"])
    crafted("lookalike-dot", b"\x80\x02" + find("torch._utils", "_rebuild_tensor_v2.__globals__") + b".",
            ["`torch._utils._rebuild_tensor_v2.__globals__`"])
    crafted("lookalike-space", b"\x80\x02" + find("torch._utils ", "_rebuild_tensor_v2") + b".", ["_rebuild_tensor_v2`"])
    crafted("lookalike-cyrillic", b"\x80\x02" + find("torch._utіls", "_rebuild_tensor_v2") + b".", ["torch._utіls"])
    crafted("lookalike-v3", b"\x80\x02" + find("torch._utils", "_rebuild_tensor_v3") + b".", ["_rebuild_tensor_v3"])
    crafted("lookalike-storage", b"\x80\x02" + find("torch", "FloatStorage.from_file") + b".", ["FloatStorage.from_file"])
    crafted("escapes-in-a-name", b"\x80\x02" + find("\x1b[31m\r", "x") + b".", ["\\u{1b}[31m\\r.x"])


def damaged(case, code, says):
    archive(case, code)
    CASES[case] = {"says": says, "ran": False}


def views():
    """Tensors that are not where they say."""
    most = 2**63 - 1
    damaged("offset-behind", state(tensor(offset=5)), ["begins at value 5 of 4"])
    damaged("offset-negative", state(tensor(offset=-1)), ["a negative offset"])
    damaged("offset-huge", state(tensor(offset=most)), ["begins at value"])
    damaged("one-too-many", state(tensor(size=(5,))), ["does not lie within"])
    damaged("one-too-far", state(tensor(offset=1)), ["does not lie within"])
    damaged("stride-too-far", state(tensor(size=(2, 2), stride=(3, 1))), ["does not lie within"])
    damaged("size-negative", state(tensor(size=(-1,))), ["no sizes"])
    damaged("stride-negative", state(tensor(size=(2,), stride=(-1,))), ["no strides"])
    damaged("size-huge", state(tensor(size=(most,))), ["does not lie within"])
    damaged("sizes-overflow", state(tensor(size=(2**32, 2**32), stride=(0, 0))), ["does not lie within"])
    damaged("sizes-overflow-but-zero", state(tensor(size=(0, most, most), stride=(1, 1, 1))), ["does not lie within"])
    damaged("strides-overflow", state(tensor(size=(3, 3), stride=(most, most))), ["does not lie within"])
    damaged("expanded", state(tensor(size=(2**40,), stride=(0,))), ["more values than the file has bytes"])
    damaged("axes-differ", state(tensor(size=(2, 2), stride=(1,))), ["does not lie within"])
    damaged("axes-many", state(tensor(size=(1,) * 9, stride=(1,) * 9)), ["no sizes"])
    damaged("storage-short", state(tensor(storage(5))), ["has 16 bytes, not 5 values"])
    damaged("storage-negative", state(tensor(storage(-1))), ["-1 values"])
    damaged("storage-overflow", state(tensor(storage(2**62))), ["has 16 bytes"])
    damaged("storage-absent", state(tensor(storage(key="7"))), ["storage `7` is missing"])
    damaged("storage-elsewhere", state(tensor(storage(key="../data.pkl"))), ["storage `../data.pkl` is missing"])
    damaged("storage-complex", state(tensor(storage(2, "ComplexFloatStorage"))), ["torch.ComplexFloatStorage"])
    many = b"".join(text(f"t{number}") + b"h\x01" for number in range(200))
    damaged("aliased", b"\x80\x02" + tensor(size=(4, 4), stride=(0, 1)) + b"q\x01}(" + many + b"u.", ["damaged"])


def pickles():
    """Numbers that would fill the memory, and values that are no state dict."""
    damaged("text-huge", b"\x80\x04\x8d" + struct.pack("<Q", 2**60) + b"x.", ["ends too early"])
    damaged("frame-huge", b"\x80\x04\x95" + struct.pack("<Q", 2**60) + b"}.", ["ends too early"])
    damaged("number-huge", b"\x80\x02\x8a\xff" + b"\x01" * 255 + b".", ["number of 255 bytes"])
    damaged("memo-absent", b"\x80\x02j\xff\xff\xff\xff.", ["recalls what was not kept"])
    damaged("stack-empty", b"\x80\x02R.", ["empty stack"])
    damaged("mark-absent", b"\x80\x02t.", ["lacks a mark"])
    damaged("stack-below-mark", b"\x80\x02N(\x85.", ["empty stack"])
    damaged("stack-deep", b"\x80\x02" + b"N" * 100_000 + b".", ["stacks more than"])
    damaged("marks-many", b"\x80\x02" + b"(" * 100_000 + b".", ["stacks more than"])
    damaged("dicts-many", b"\x80\x02]" + b"}a" * 2_000_000 + b".", ["more than 1048576 objects"])
    damaged("tuples-deep", b"\x80\x02N" + b"\x85" * 500_000 + b".", ["holds a tuple"])
    damaged("pickle-long", b"\x80\x02]" + b"Na" * 5_000_000 + b".", ["more than 8388608"])
    damaged("protocol-0", b"\x80\x00}.", ["protocol 0"])
    damaged("stop-absent", b"\x80\x02}", ["ends too early"])
    damaged("not-utf8", b"\x80\x02X\x01\x00\x00\x00\xff.", ["a text that is none"])
    damaged("key-without-value", b"\x80\x02}(Nu.", ["key without a value"])
    damaged("recursive", b"\x80\x02}q\x00" + text("a") + b"h\x00s.", ["`a` is a dict within the dict"])
    for case, value, says in [("a-list", [torch.ones(2)], "holds a list"), ("a-tensor", torch.ones(2), "holds a tensor"),
                              ("nested", {"state_dict": {"a": torch.ones(2)}}, "`state_dict` is a dict within the dict"),
                              ("training", {"epoch": 3, "model": {"a": torch.ones(2)}}, "`epoch` is a whole number"),
                              ("number-as-name", {0: torch.ones(2)}, "a whole number stands where")]:
        torch.save(value, folder(case))
        CASES[case] = {"says": [says], "ran": False}


def archives():
    """What ZIP directories can be made to say."""
    code = state(tensor())
    archive("zip-bomb", code, [("a/data/1", bytes(1 << 28))], zipfile.ZIP_DEFLATED)
    CASES["zip-bomb"] = {"says": ["is compressed (method 8"], "ran": False}
    for case, name in {"climbing": "../evil", "absolute": "/etc/evil", "windows": "a\\..\\evil",
                       "climbing-later": "a/../../evil"}.items():
        archive(f"entry-{case}", code, [(name, b"x")])
        CASES[f"entry-{case}"] = {"says": ["leaves the archive"], "ran": False}
    archive("entry-twice", code, [("a/data.pkl", b"x")])
    CASES["entry-twice"] = {"says": ["`a/data.pkl` occurs twice"], "ran": False}
    archive("pickle-twice", code, [("b/data.pkl", b"x")])
    CASES["pickle-twice"] = {"says": ["two data.pkl"], "ran": False}
    archive("big-endian", code)
    patched("big-endian", lambda data: data.replace(b"little", b"biggie"), ["byte order"])
    archive("overlapping", code)
    patched("overlapping", overlap, ["lies over"])
    archive("outside", code)
    patched("outside", lambda data: central(data, b"a/data/0", 42, "<I", 0xFFFFFFF0), ["lies outside the file"])
    archive("size-outside", code)
    patched("size-outside", lambda data: central(central(data, b"a/data/0", 20, "<I", 1 << 30), b"a/data/0", 24, "<I", 1 << 30),
            ["lies outside the file"])
    archive("two-sizes", code)
    patched("two-sizes", lambda data: central(data, b"a/data/0", 24, "<I", 8), ["two sizes"])
    archive("two-names", code)
    patched("two-names", lambda data: data.replace(b"a/data/0", b"a/data/9", 1), ["two names"])
    archive("encrypted", code)
    patched("encrypted", lambda data: central(data, b"a/data/0", 8, "<H", 1), ["is encrypted"])
    archive("entries-many", code)
    patched("entries-many", lambda data: data[:-12] + b"\xff\xff" + data[-10:], ["damaged"])
    archive("no-end", code)
    patched("no-end", lambda data: data[:-30], ["damaged"])
    with zipfile.ZipFile(folder("no-pickle"), "w") as target:
        target.writestr("a/x", b"x")
    CASES["no-pickle"] = {"says": ["not one of torch.save"], "ran": False}
    torch.save({"a": torch.ones(2)}, folder("legacy"), _use_new_zipfile_serialization=False)
    CASES["legacy"] = {"says": ["PyTorch's old format", "PyTorch 1.6"], "ran": False}
    torch.jit.save(torch.jit.script(torch.nn.Linear(2, 2)), folder("torchscript"))
    CASES["torchscript"] = {"says": ["TorchScript"], "ran": False}
    for case, data in {"empty": b"", "text": b"version https://git-lfs.github.com/spec/v1\n", "pk": b"PK"}.items():
        with open(folder(f"file-{case}"), "wb") as target:
            target.write(data)
        CASES[f"file-{case}"] = {"says": ["model/pytorch_model.bin"], "ran": False}


def central(data, name, field, form, value):
    """Changes a field of an entry's record in the directory."""
    at = data.rindex(name) - 46 + field
    return data[:at] + struct.pack(form, value) + data[at + struct.calcsize(form):]


def overlap(data):
    """`a/byteorder` grows over the header of `a/data/0`."""
    grown = central(data, b"a/byteorder", 20, "<I", 40)
    return central(grown, b"a/byteorder", 24, "<I", 40)


def patched(case, change, says):
    path = folder(case)
    with open(path, "rb") as source:
        data = source.read()
    changed = change(data)
    assert changed != data, case
    with open(path, "wb") as target:
        target.write(changed)
    CASES[case] = {"says": says, "ran": False}


def main():
    torch.manual_seed(5)
    os.makedirs(f"{FOLDER}/canaries")
    assert pickle.loads(state(b"N")) == {"a": None}, "the pieces do not fit"
    archive("well-made", state(tensor(storage(device="cuda:0"), offset=1, size=(3,))))
    assert torch.load(folder("well-made"), "cpu", weights_only=True)["a"].tolist() == [2, 3, 4]
    weight = torch.randn(3, 4)
    torch.save(OrderedDict(weight=weight, tied=weight.t(), half=torch.randn(2, 2).half(), count=torch.tensor(3)),
               folder("ordinary"))
    torch.save({"weight": torch.nn.Parameter(weight), "bias": weight[1]}, folder("ordinary-4"), pickle_protocol=4)
    for part in [programs, opcodes, views, pickles, archives]:
        part()
    assert not os.listdir(f"{FOLDER}/canaries")
    print(json.dumps(CASES))


if __name__ == "__main__":
    main()
