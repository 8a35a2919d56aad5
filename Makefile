.PHONY: help run test lint build reset
MAKEFLAGS += --no-print-directory

help: ## what can be made
	@sed -n 's/^\([a-z-]*\): *## \(.*\)/  make \1\t\2/p' $(firstword $(MAKEFILE_LIST)) | expand -t 16

run: ## install what is missing, build, start PostgreSQL, PostgREST and the worker with demo data; Ctrl-C stops
	@scripts/run

test: ## everything that must pass: format, clippy, unit, SQL, HTTP, lifecycle, lint
	@scripts/setup test lint
	@tests/run

lint: ## the generated install script and the catalog
	@scripts/setup lint
	@tests/run lint

build: ## build the extension and the worker into .crm
	@scripts/setup build
	@scripts/build

reset: ## stop, and remove the data of make run
	@scripts/reset
