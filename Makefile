# Both main commands work from a clean clone with only Python 3.11+ and make:
#   make course   set up everything, run the course on real data, build the website
#   make test     set up everything, run every check
# `make help` lists the rest.

# The first of these that is new enough; `make PYTHON=...` names another.
PYTHON ?= $(or $(shell for p in python3 python3.13 python3.12 python3.11; do $$p -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null && echo $$p && break; done),python3)
VENV   := .venv
BIN    := $(VENV)/bin
DONE   := $(VENV)/.installed
SHELL  := /bin/bash
PORT   ?=
RECORD ?=

.DEFAULT_GOAL := help
.PHONY: help course test lab site bench full measure export lock clean sandbox chromium

help:  ## show this list
	@awk -F':.*## ' '/^[a-z]+:.*## /{printf "make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

course: $(DONE) sandbox  ## set up, check, execute the chapters, release, grade a sample class, build the website
	@$(BIN)/course all --setup-seconds $$(cat $(VENV)/.seconds) $(if $(RECORD),--record); status=$$?; echo 0 > $(VENV)/.seconds; exit $$status

test: $(DONE) sandbox chromium  ## set up and run every check
	@echo 0 > $(VENV)/.seconds
	@RECORD=$(RECORD) $(BIN)/python -m pytest

lab: $(DONE)  ## open JupyterLab on the first chapter (PORT=8899 for another port)
	@$(BIN)/course lab $(if $(PORT),--port $(PORT))

site: $(DONE)  ## build the website into _site
	@$(BIN)/course site

bench: $(DONE)  ## time the numpy loop, the small int8 network and the service, and record the ratios
	@$(BIN)/course bench

full: $(DONE)  ## run the long trials of all chapters, all seeds, and record them; more than an hour
	@$(BIN)/course full

measure: $(DONE) sandbox  ## measure grading: attacks, speed against nbgrader, faults, strength of the checks; about 40 minutes
	@cd tests && ../$(BIN)/python -m attacks && ../$(BIN)/python -m grading_speed && ../$(BIN)/python -m faults
	@$(BIN)/course strength --again && $(BIN)/course claims | tail -1

export: $(DONE)  ## write course_lib/ from the notebooks
	@$(BIN)/nbdev-export

lock:  ## write requirements.lock from a fresh installation of pyproject.toml
	@rm -rf _build/lock && $(PYTHON) -m venv _build/lock && _build/lock/bin/pip install -q '.[lab,grading,site,dev]'
	@_build/lock/bin/pip freeze --all --exclude pip --exclude course-lib | sort -f | sed -E 's/^(tensorflow[-_]cpu==[^ ;]+)$$/\1; sys_platform == "linux" and platform_machine == "x86_64"/; s/^(torch==[0-9.]+)\+cpu$$/\1/; s/^(pexpect|ptyprocess|uvloop)(==.*)$$/\1\2; sys_platform != "win32"/; s/^(landlock|pyseccomp)(==.*)$$/\1\2; sys_platform == "linux"/' > requirements.lock
	@sed -nE "s/^tensorflow[-_]cpu(==[0-9.]+);.*/tensorflow\1; sys_platform != \"linux\" or platform_machine != \"x86_64\"/p" requirements.lock >> requirements.lock
	@rm -rf _build/lock && wc -l requirements.lock

clean:  ## remove all that was built, but no student's work
	rm -rf _build _site build dist *.egg-info

# The environment is brought up to date when the lock changes, and a failed install leaves no mark.
# JupyterLab's news are switched off: they ask a server far away.
$(DONE): requirements.lock pyproject.toml
	@command -v $(PYTHON) >/dev/null || { echo "course: $(PYTHON) was not found: install Python 3.11, 3.12 or 3.13, or name one with make PYTHON=/path/to/python"; exit 1; }
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; (3, 11) <= v <= (3, 13) or sys.exit("course: Python %d.%d at %s: 3.11, 3.12 or 3.13 is needed (TensorFlow has no build for others); name one with make PYTHON=/path/to/python" % (*v, sys.executable))'
	@$(PYTHON) -c 'import shutil, sys; free = shutil.disk_usage(".").free / 1e9; free > 6 or sys.exit("course: %.1f GB are free here, 6 GB are needed for the packages: free some space and run make again" % free)'
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { echo "course: this Python has no venv: run \`sudo apt-get install python3-venv\`"; exit 1; }
	@begin=$$(date +%s); echo "installing the locked packages into $(VENV) (a few minutes)"; \
	  $(PYTHON) -m venv $(VENV) && $(BIN)/python -m pip install --progress-bar on --disable-pip-version-check -r requirements.lock 2>&1 | $(PYTHON) -c 'import sys; [print("\r%-78s" % l.strip()[:78], end="", file=sys.stderr) for l in sys.stdin if l.startswith(("Collecting", "Downloading", "Installing", "ERROR"))]; print()'; \
	  test $${PIPESTATUS[0]} -eq 0 || { echo "course: installing the packages failed; run \`$(BIN)/pip install -r requirements.lock\` to see why"; exit 1; }; \
	  $(BIN)/python -m pip install -q --disable-pip-version-check --no-deps -e . || exit 1; \
	  $(BIN)/jupyter labextension disable --level=sys_prefix @jupyterlab/apputils-extension:announcements >/dev/null 2>&1 || exit 1; \
	  echo $$(( $$(date +%s) - begin )) > $(VENV)/.seconds; touch $(DONE)

# Programs that pip cannot install. As root with apt they are installed; elsewhere the line to run is printed and the rest goes on.
define system_package
	@command -v $(1) >/dev/null || command -v $(3) >/dev/null || { \
	  if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	    echo "installing $(2) with apt-get"; apt-get install -y -qq $(2) >/dev/null 2>&1 || { apt-get update -qq >/dev/null && apt-get install -y -qq $(2) >/dev/null; } ; fi; \
	  command -v $(1) >/dev/null || echo "course: $(2) is missing, so $(4): run \`sudo apt-get install $(2)\`"; }
endef

sandbox:
	$(call system_package,bwrap,bubblewrap,bwrap,nothing is released or graded)

chromium:
	$(call system_package,chromium,chromium,google-chrome,the browser tests are skipped)
