# SPDX-License-Identifier: MIT
# A thin face over CMake: the presets in CMakePresets.json do the work.
.POSIX:
.PHONY: build test demo bench install clean help setup

PREFIX = /usr/local
JOBS = $$(nproc 2>/dev/null || echo 2)

build: setup
	@cmake --preset release >/dev/null
	@MAKEFLAGS= MAKELEVEL= cmake --build --preset release -j $(JOBS)

test: build
	@ctest --preset release -j $(JOBS)

demo: build
	@scripts/demo build/release/eggroll

bench: build
	@build/release/eggroll bench

install: build
	@cmake --install build/release --prefix $(PREFIX)

setup:
	@scripts/setup

clean:
	rm -rf build

help:
	@echo 'make            installs what the build lacks, or says how; builds build/release/eggroll'
	@echo 'make test       the same with every test'
	@echo 'make demo       pretrains a small language model for 60 seconds and lets it write'
	@echo 'make bench      measures this machine'
	@echo 'make install    into PREFIX=$(PREFIX)'
	@echo 'make clean      removes build/'
