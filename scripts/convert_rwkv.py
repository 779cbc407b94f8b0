#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Converts a PyTorch checkpoint (.pth, a zip archive) of named tensors to safetensors, byte for byte.

Usage: convert_rwkv.py MODEL.pth MODEL.safetensors

Needs nothing but Python. The pickle inside is read by an interpreter that knows the four names such a checkpoint needs
and refuses every other, so a file from anywhere can be converted without running what it brings along.
"""
import collections
import json
import pickle
import struct
import sys
import zipfile

# Storage classes of PyTorch: the name of the type in safetensors, and the bytes of an element.
STORAGES = {
    "FloatStorage": ("F32", 4), "HalfStorage": ("F16", 2), "BFloat16Storage": ("BF16", 2), "DoubleStorage": ("F64", 8),
    "CharStorage": ("I8", 1), "ByteStorage": ("U8", 1), "ShortStorage": ("I16", 2), "IntStorage": ("I32", 4),
    "LongStorage": ("I64", 8), "BoolStorage": ("BOOL", 1),
}

Storage = collections.namedtuple("Storage", "type size key")
Tensor = collections.namedtuple("Tensor", "storage offset shape stride")


def rebuild_tensor(storage, offset, shape, stride, *_):
    return Tensor(storage, offset, tuple(shape), tuple(stride))


def rebuild_parameter(tensor, *_):
    return tensor


class Reader(pickle.Unpickler):
    def find_class(self, module, name):
        if (module, name) == ("collections", "OrderedDict"):
            return collections.OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return rebuild_tensor
        if (module, name) == ("torch._utils", "_rebuild_parameter"):
            return rebuild_parameter
        if module == "torch" and name in STORAGES:
            return STORAGES[name]
        raise ValueError(f"the pickle asks for {module}.{name}, which no checkpoint of tensors needs")

    def persistent_load(self, ident):
        known = isinstance(ident, tuple) and len(ident) == 5 and ident[0] == "storage"
        if not known or ident[1] not in STORAGES.values():
            raise ValueError(f"the pickle refers to {ident!r}, expected a storage of numbers")
        return Storage(*ident[1], str(ident[2]))


def read_tensors(archive):
    pickles = [name for name in archive.namelist() if name.endswith("/data.pkl") or name == "data.pkl"]
    if len(pickles) != 1:
        raise ValueError(f"{len(pickles)} files data.pkl in the archive, expected 1")
    folder = pickles[0][:-len("data.pkl")]
    order = f"{folder}byteorder"
    if order in archive.namelist() and archive.read(order) != b"little":
        raise ValueError("the numbers are not little-endian")
    with archive.open(pickles[0]) as file:
        found = Reader(file).load()
    if not isinstance(found, dict) or not all(isinstance(name, str) for name in found):
        raise ValueError("the pickle holds no dictionary of names")
    for name, tensor in found.items():
        if not isinstance(tensor, Tensor):
            raise ValueError(f"'{name}' is no tensor")
        expected = 1
        for size, stride in reversed(list(zip(tensor.shape, tensor.stride))):
            if size != 1 and stride != expected:
                raise ValueError(f"tensor '{name}' of shape {list(tensor.shape)} is not contiguous")
            expected *= size
    return folder, found


def count(tensor):
    elements = 1
    for size in tensor.shape:
        elements *= size
    return elements * tensor.storage.size


def convert(source, target):
    with zipfile.ZipFile(source) as archive:
        folder, tensors = read_tensors(archive)
        header, at = {"__metadata__": {"format": "pt"}}, 0
        for name, tensor in tensors.items():
            end = at + count(tensor)
            header[name] = {"dtype": tensor.storage.type, "shape": list(tensor.shape), "data_offsets": [at, end]}
            at = end
        text = json.dumps(header, separators=(",", ":")).encode()
        text += b" " * (-(8 + len(text)) % 64)
        with open(target, "wb") as out:
            out.write(struct.pack("<Q", len(text)) + text)
            for name, tensor in tensors.items():
                with archive.open(f"{folder}data/{tensor.storage.key}") as data:
                    data.seek(tensor.offset * tensor.storage.size)
                    copy(data, out, count(tensor), name)
    return len(tensors), at


def copy(data, out, left, name):
    while left:
        part = data.read(min(left, 1 << 20))
        if not part:
            raise ValueError(f"tensor '{name}' lacks {left} bytes in the archive")
        out.write(part)
        left -= len(part)


def main():
    if sys.argv[1:] in (["-h"], ["--help"]):
        print(__doc__)
        return
    if len(sys.argv) != 3:
        sys.exit("convert_rwkv.py: expected two paths, MODEL.pth and MODEL.safetensors; --help tells more")
    try:
        tensors, size = convert(sys.argv[1], sys.argv[2])
    except (OSError, ValueError, zipfile.BadZipFile, pickle.UnpicklingError, KeyError) as error:
        sys.exit(f"convert_rwkv.py: {sys.argv[1]}: {error}")
    print(f"{tensors} tensors, {size} bytes")


if __name__ == "__main__":
    main()
