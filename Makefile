# A thin face over CMake: the presets in CMakePresets.json do the work.
.POSIX:
.PHONY: build test demo install clean help setup

PREFIX = /usr/local
JOBS = $$(nproc 2>/dev/null || echo 2)

build: setup
	@cmake --preset release >/dev/null && cmake --build --preset release -j $(JOBS)

test: build
	@ctest --preset release -j $(JOBS)

demo: build
	@scripts/demo build/release/eggroll

install: build
	cmake --install build/release --prefix $(PREFIX)

setup:
	@scripts/setup

clean:
	rm -rf build

help:
	@echo 'make          find or install what is missing, build build/release/eggroll'
	@echo 'make demo     pretrain a small language model for 60 seconds and let it write'
	@echo 'make test     build with warnings as errors, run every test'
	@echo 'make install  PREFIX=/usr/local'
	@echo 'make clean    remove build/'
