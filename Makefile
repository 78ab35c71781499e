# Corten: `make help` lists the targets.
BUN := node_modules/.bin/bun
NATIVE_SRC := $(wildcard native/*.c native/*.h native/ops.json)
SRC := $(shell find src proto -name '*.ts' 2>/dev/null)

.DEFAULT_GOAL := help
.PHONY: help build native demo check test bench clean deps generate

help: ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1\t/' | expand -t 18

deps: node_modules/.stamp ## npm and Debian packages that building needs

node_modules/.stamp: package.json package-lock.json
	tools/setup build
	@touch $@

build: dist/corten ## one executable: dist/corten

native: dist/corten-native dist/corten-agent dist/corten-shim ## the native init and monitor, the agent of machines, the shim's commands (static)

dist/corten-native: node_modules/.stamp $(NATIVE_SRC)
	$(MAKE) -C native ../dist/corten-native

dist/corten-agent: node_modules/.stamp $(NATIVE_SRC)
	$(MAKE) -C native ../dist/corten-agent

dist/corten-shim: node_modules/.stamp $(NATIVE_SRC)
	$(MAKE) -C native ../dist/corten-shim

# Written again in large pieces: the page cache then has it in large pages, which maps in 0.4 ms less at every start.
dist/corten: dist/corten-native dist/corten-agent dist/corten-shim $(SRC) package.json
	work=$$(mktemp -d dist/build.XXXXXX) && trap 'rm -r "$$work"' EXIT && \
	$(BUN) build --compile --splitting --bytecode --minify-syntax --minify-whitespace --format=esm --compile-jit-policy 50 --no-compile-autoload-dotenv --no-compile-autoload-bunfig src/main.ts --outfile $$work/corten && \
	dd if=$$work/corten of=$$work/written bs=2M status=none && chmod 755 $$work/written && mv -f $$work/written $@

generate: node_modules/.stamp ## regenerate the operation table from native/ops.json
	$(BUN) tools/ops.ts

check: native ## format, lint, types, layers
	node_modules/.bin/biome ci .
	node_modules/.bin/tsc -p .
	$(BUN) tools/layers.ts
	$(MAKE) -C native check

test: build ## unit, integration and conformance tests (installs the peers)
	tools/setup test
	$(BUN) tools/test.ts

demo: build ## pull, run, watch, build and remove real images, with the time of each step
	$(BUN) tools/demo.ts

bench: build ## ours and the real programs in turn
	tools/setup test
	$(BUN) bench/main.ts

clean: ## remove what was built
	rm -rf dist
	$(MAKE) -C native clean
