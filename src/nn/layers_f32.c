/* SPDX-License-Identifier: MIT */
#include "nn/layers.h"

#define EGG_I8 0
#include "nn/layers_tmpl.c"
