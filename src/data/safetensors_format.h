/* SPDX-License-Identifier: MIT */
/* The numbers and names of the format, for safetensors.c and safetensors_writer.c alone. */
#ifndef EGG_DATA_SAFETENSORS_FORMAT_H
#define EGG_DATA_SAFETENSORS_FORMAT_H

enum {
    LENGTH_BYTES = 8,                      /* of the header's length */
    MAX_HEADER_BYTES = 100 * 1000 * 1000   /* the format's own limit */
};

#define METADATA_KEY "__metadata__"

#endif
