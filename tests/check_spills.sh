#!/bin/sh
# SPDX-License-Identifier: MIT
# check_spills.sh OBJECT-OR-ARCHIVE: no inner loop of a product may keep its sums on the stack. Such a loop is
# a jump back over straight code with at least eight multiply-adds; it has no business storing a vector or loading one
# from a fixed place on the stack (an array there, which is indexed, may be an operand). Elementwise kernels multiply
# and store as they go; only products are looked at.
# Exit status 77: nothing to check here.
command -v objdump >/dev/null 2>&1 || { echo "no objdump: skipped"; exit 77; }

objdump -d --no-show-raw-insn "$1" | awk '
    /^[0-9a-f]+ <.*>:$/ { name = $2; lines = 0; split("", at); next }
    /^ *[0-9a-f]+:\t/ {
        address = $1; sub(":", "", address)
        text[++lines] = $0; at[address] = lines
        if ($2 !~ /^j/ || !($3 in at)) next
        multiplies = jumps = bad = 0                 # a jump back to a known address of the same function: a loop
        for (i = at[$3]; i < lines; i++) {
            if (text[i] ~ /vpdpbusd|vpmaddubsw|vpmaddwd|vfmadd/) multiplies++
            if (text[i] ~ /\tj/) jumps++
            if (text[i] ~ /[yz]mm[0-9]+,[^,]*\(%/ || text[i] ~ /vmov[^\t ]* .*\(%rsp\).*%[yz]mm/) {
                bad++
                example = text[i]
            }
        }
        if (multiplies < 8 || jumps || name !~ /linear|outer|dense|peak/) next
        loops++
        if (bad) { failed++; print "vectors on the stack in a loop of " name ": " bad ", such as" example }
    }
    END {
        if (!loops) { print "no product loop found: skipped"; exit 77 }
        print loops " product loops, " failed + 0 " with vectors on the stack"
        exit failed != 0
    }'
