# SPDX-License-Identifier: MIT
"""Writes tests/fuzz/corpus/safetensors/numpy.safetensors, a file by the format's own library (packages safetensors 0.8,
numpy): a seed for the fuzzer, and what test_safetensors reads.

    python3 tests/gen/safetensors_numpy.py tests/fuzz/corpus/safetensors/numpy.safetensors
"""
import sys

import numpy
from safetensors.numpy import save_file

save_file(
    {
        "float": numpy.array([[1, 2, 3], [-4, 0.5, -0.25]], numpy.float32),
        "byte": numpy.array([-127, 0, 127], numpy.int8),
        "scalar": numpy.array(-12345, numpy.int16),
        "none": numpy.zeros((0, 4), numpy.float64),
        "flags": numpy.array([True, False]),
        "large": numpy.array([2**64 - 1], numpy.uint64),
    },
    sys.argv[1],
    {"maker": "numpy"},
)
