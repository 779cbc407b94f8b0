# SPDX-License-Identifier: MIT
"""convert_rwkv.py on checkpoints made here, as PyTorch writes them. Usage: test_convert.py SCRIPT FOLDER"""
import collections
import io
import json
import os
import pickle
import struct
import subprocess
import sys
import types
import zipfile

script, folder = sys.argv[1:]
os.makedirs(folder, exist_ok=True)
path, target = os.path.join(folder, "model.pth"), os.path.join(folder, "model.safetensors")

# Stand-ins under PyTorch's names, so that the pickle asks for these.
torch, utils = types.ModuleType("torch"), types.ModuleType("torch._utils")
sys.modules.update({"torch": torch, "torch._utils": utils})
for name in ("BFloat16Storage", "FloatStorage"):
    setattr(torch, name, type(name, (), {"__module__": "torch"}))


def _rebuild_tensor_v2(*_):
    pass


_rebuild_tensor_v2.__module__ = "torch._utils"
utils._rebuild_tensor_v2 = _rebuild_tensor_v2


class Storage:
    def __init__(self, kind, key, data):
        self.kind, self.key, self.data = kind, key, data


class Tensor:
    def __init__(self, storage, offset, shape, stride):
        self.arguments = (storage, offset, shape, stride, False, collections.OrderedDict())

    def __reduce__(self):
        return utils._rebuild_tensor_v2, self.arguments


class Writer(pickle.Pickler):
    def persistent_id(self, value):
        return ("storage", value.kind, value.key, "cpu", len(value.data)) if isinstance(value, Storage) else None


def write(tensors, storages):
    text = io.BytesIO()
    Writer(text, 2).dump(tensors)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", text.getvalue())
        archive.writestr("archive/byteorder", "little")
        for storage in storages:
            archive.writestr(f"archive/data/{storage.key}", storage.data)


def run():
    return subprocess.run([sys.executable, script, path, target], capture_output=True, text=True)


def refused(tensors, storages, reason):
    write(tensors, storages)
    done = run()
    assert done.returncode == 1 and reason in done.stderr, (reason, done)


half = Storage(torch.BFloat16Storage, "0", bytes(range(16)))
single = Storage(torch.FloatStorage, "1", struct.pack("<4f", 1, 2, 3, 4))

write(collections.OrderedDict(a=Tensor(half, 2, (2, 1, 3), (3, 7, 1)), b=Tensor(single, 0, (4,), (1,))), [half, single])
done = run()
assert done.returncode == 0 and "2 tensors, 28 bytes" in done.stdout, done
with open(target, "rb") as file:
    size, = struct.unpack("<Q", file.read(8))
    header, data = json.loads(file.read(size)), file.read()
assert (8 + size) % 64 == 0
assert header["a"] == {"dtype": "BF16", "shape": [2, 1, 3], "data_offsets": [0, 12]}
assert header["b"] == {"dtype": "F32", "shape": [4], "data_offsets": [12, 28]}
assert data == bytes(range(4, 16)) + single.data

refused({"a": Tensor(half, 0, (2, 3), (1, 2))}, [half], "tensor 'a' of shape [2, 3] is not contiguous")
refused({"a": Tensor(half, 6, (2, 3), (3, 1))}, [half], "tensor 'a' lacks 8 bytes")
refused({"a": 3}, [], "'a' is no tensor")
refused([1], [], "no dictionary")
refused({"a": print}, [], "which no checkpoint of tensors needs")
with open(path, "wb") as file:
    file.write(b"no archive")
done = run()
assert done.returncode == 1 and "not a zip file" in done.stderr, done
print("passed")
