# Everything a clone needs. `make` alone lists the targets.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
.DEFAULT_GOAL := help
.PHONY: help setup demo bundled test hostile faults fuzz soak lint tensorboard

help:  ## this list
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## +/\t/' | expand -t 14

setup: .venv/.ready  ## make .venv with the tested set of packages (only when missing or outdated)

# uv, where it is installed, does in seconds what pip does in a minute; where uv is not told of a registry, pip may be.
PIP := $(BIN)/python -m pip install --disable-pip-version-check --quiet
define add
	$(if $(shell command -v uv),uv pip install --quiet --python $(BIN)/python $(1) ||) $(PIP) $(1)
endef

# $(1): what is installed. The stamp comes last, so that an installation that was cut off is done again.
define install
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "segkit needs Python 3.11 or newer: make PYTHON=/path/to/python3.11"; exit 2; }
	$(PYTHON) -m venv .venv
	$(call add,-c constraints.txt -e '$(1)')
	@# opencv-python needs the system's libGL; where that is missing the headless build of the same version takes over.
	@$(BIN)/python -c 'import cv2' 2>/dev/null || $(PIP) --force-reinstall --no-deps -c constraints.txt opencv-python-headless
	@touch $(2)
endef
PACKAGES := pyproject.toml setup.py constraints.txt Makefile

# What training, predicting and the demo need; all else is an extra of pyproject.toml.
.venv/.ready: $(PACKAGES)
	$(call install,.,$@)

# What the tests and the linters need besides, in one go.
.venv/.tested: $(PACKAGES)
	$(call install,.[dev],.venv/.ready $@)

# What leads random inputs by coverage: wheels for Linux alone.
.venv/.fuzzing: $(PACKAGES)
	$(call install,.[dev,fuzz],.venv/.ready .venv/.tested $@)

FIRST := outputs/first
# Two threads on two cores of which another program wants one wait for each other, and train at a tenth of one thread's pace.
demo: export OMP_NUM_THREADS := 1
demo: setup  ## generate street scenes, paint one, train a small network on them, paint every object (a minute on 2 cores)
	@echo "make demo: a generated scene painted by the network that comes with segkit within some 15 s, then by one that is" \
		"trained here; about a minute in all on two idle cores"
	@test -d data/demo/training/semantic || $(BIN)/segkit data action=generate data.root=data/demo 'count=[60,12]' seed=0 'also=[semantic]'
	$(BIN)/segkit predict input=data/demo/testing/image_2/um_000000.png output=$(FIRST)
	@echo "that was a generated scene, no photograph: for yours, $(BIN)/segkit predict input=photo.jpg"
	$(BIN)/python train.py experiment=demo
	@echo "open $(FIRST)/overlay/um_000000.png: painted by the network that comes with segkit"
	@echo "open $$(ls -td outputs/demo/*/predictions/overlay | head -n 1)/: 12 test scenes, painted by the network trained here"

run ?= $(shell ls -td outputs/bundled/*/ 2>/dev/null | head -n 1)
camvid ?= data/camvid
kitti ?= data/data_road
ABOUT := It has learned from 20 000 generated scenes alone (experiment=bundled) and has never seen a photograph. On real streets it \
	finds the road, and large things. A pavement or tram tracks of the colour of the road it takes for road, and poles, people and \
	bicycles it mostly misses: see the scores below, of CamVid and of the labels of KITTI road that were at hand. It is for a first \
	look, and to start a training from (init_from=bundled).
# The names under which its classes and those of the real pictures are compared.
WITH_CAMVID := {sidewalk: [pavement, sidewalk], building: [building, fence], pole: [pole, sign symbol], \
	vegetation: [tree, vegetation, terrain], person: [pedestrian, person], vehicle: [car, vehicle], bicycle: [bicyclist, bicycle]}
WITH_KITTI := {background: [background, sidewalk, building, pole, vegetation, terrain, sky, person, vehicle, bicycle]}
WORK := outputs/bundled_package
bundled: setup  ## put the network of run=<run folder of experiment=bundled> into segkit/bundled, scored on camvid= and kitti=
	rm -rf $(WORK)
	$(BIN)/segkit package checkpoint=$(run) output=$(WORK)/weights half=true pictures=0
	mkdir -p segkit/bundled
	cp $(WORK)/weights/model.safetensors $(WORK)/weights/config.json segkit/bundled
	$(BIN)/segkit evaluate data=camvid data.root=$(camvid) part=all 'compare=$(WITH_CAMVID)' hydra.run.dir=$(WORK)/camvid
	$(BIN)/segkit evaluate data=kitti_road data.root=$(kitti) part=all 'compare=$(WITH_KITTI)' hydra.run.dir=$(WORK)/kitti
	$(BIN)/segkit package checkpoint=$(run) output=$(WORK)/bundled half=true pictures=0 about="$(ABOUT)" \
		'evaluations=[$(WORK)/camvid,$(WORK)/kitti]'
	cp $(WORK)/bundled/README.md segkit/bundled

test: .venv/.tested  ## run the tests
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist worksteal

hostile: .venv/.tested  ## all hostile and mistaken inputs (make test runs every third)
	OMP_NUM_THREADS=1 HOSTILE=all $(BIN)/python -m pytest -p tests.reliability -n 2 tests/hostile

faults: .venv/.tested  ## kills, full disks, stopped processes, cut connections: all of them (make test runs a few)
	OMP_NUM_THREADS=1 FAULTS=all $(BIN)/python -m pytest -p tests.reliability -n 2 tests/faults

minutes ?= 30
fuzz: .venv/.fuzzing  ## random inputs of every kind, for minutes=30, half of it led by coverage
	OMP_NUM_THREADS=1 $(BIN)/python -m tests.hostile.fuzz minutes=$$(awk 'BEGIN {print $(minutes) / 2}')
	OMP_NUM_THREADS=1 $(BIN)/python -m tests.hostile.readers minutes=$$(awk 'BEGIN {print $(minutes) / 2}')

hours ?= 1
soak: .venv/.tested  ## train, predict and serve in turn for hours=1: what is not given back, into experiments/reliability
	$(BIN)/segkit bench what=soak into=experiments/reliability model.fc_channels=64 epoch_pictures=48 epoch_steps=1 \
		seconds=$$(awk 'BEGIN {print 3600 * $(hours)}')
	$(BIN)/python -m tests.reliability

lint: .venv/.tested  ## ruff, mypy, and the directions of imports
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

tensorboard: setup  ## TensorBoard over all runs under outputs/
	$(BIN)/tensorboard --logdir outputs
