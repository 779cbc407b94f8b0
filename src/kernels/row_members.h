/* SPDX-License-Identifier: MIT */
/* The members of consecutive rows without a division for each. */
#ifndef EGG_KERNELS_ROW_MEMBERS_H
#define EGG_KERNELS_ROW_MEMBERS_H

#include "base/compiler.h"
#include "kernels/kernels.h"

typedef struct row_members {
    const uint32_t *tag;   /* of the next row, or NULL */
    uint32_t steps, member, step;
} row_members;

EGG_INLINE row_members row_members_at(const uint32_t *member, uint32_t steps, uint32_t row)
{
    if (member) return (row_members){.tag = member + row};
    return (row_members){.steps = steps, .member = row / steps, .step = row % steps};
}

/* The member of the next row. */
EGG_INLINE uint32_t row_members_next(row_members *m)
{
    if (m->tag) return *m->tag++;
    const uint32_t member = m->member;
    if (++m->step == m->steps) m->step = 0, m->member++;
    return member;
}

#endif
