/* SPDX-License-Identifier: MIT */
#ifndef EGG_BASE_COMPILER_H
#define EGG_BASE_COMPILER_H

#define EGG_CACHE_LINE 64

#define EGG_RESTRICT __restrict
#define EGG_ALIGNED(n) __attribute__((aligned(n)))
#define EGG_PRINTF(format_at, first_at) __attribute__((format(printf, format_at, first_at)))
#define EGG_INLINE static inline __attribute__((always_inline))
#define EGG_UNUSED __attribute__((unused))

#define EGG_COUNT(array) (sizeof(array) / sizeof((array)[0]))

#endif
