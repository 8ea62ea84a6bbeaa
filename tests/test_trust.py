"""What docs/security.md says of the code as a whole: how files are read, and which programs are started."""

import ast
from collections.abc import Iterator
from pathlib import Path

SOURCES = sorted((Path(__file__).resolve().parents[1] / "segkit").rglob("*.py"))

UNPICKLERS = {"pickle", "cPickle", "_pickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}
STARTS = {
    "segkit/runs/folder.py": "git describe, of segkit's own checkout",
    "segkit/sagemaker/source.py": "git, of the working folder",
    "segkit/sagemaker/container.py": "torchrun, of segkit itself, in a training job of several machines",
    "segkit/sweeps/ray_session.py": "Python, which waits for the end of a sweep",
    "segkit/benchmarks/": "the programs that are measured",
}
"""What starts programs. Processes that are started to run segkit's own functions are no programs."""


def calls() -> Iterator[tuple[Path, str, ast.Call]]:
    """Every call in segkit, with its dotted name as far as there is one."""
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call):
                yield path, ast.unparse(node.func), node


def words_of(call: ast.Call) -> dict[str | None, str]:
    return {word.arg: ast.unparse(word.value) for word in call.keywords}


def test_tensors_are_read_as_data_alone() -> None:
    found = []
    for path, name, call in calls():
        fits = name.endswith("trainer.fit") and "ckpt_path" in words_of(call)
        if fits or name == "torch.load" or name.endswith((".get_state_dict", "load_state_dict_from_url")):
            found.append((path.name, words_of(call).get("weights_only")))
    assert {name for name, _ in found} == {"checkpoints.py", "fit.py", "pt2.py", "weights.py"}
    assert {value for _, value in found} == {"True"}


def test_nothing_unpickles_or_takes_text_for_code() -> None:
    wrong = []
    for path, name, call in calls():
        last = name.rpartition(".")[2]
        if name in ("eval", "exec", "compile", "torch.jit.load", "torch.hub.load", "np.fromregex", "yaml.load"):
            wrong.append(f"{path}: {name}")
        if last in ("unsafe_load", "full_load", "load_from_checkpoint"):
            wrong.append(f"{path}: {name}")
        if name in ("np.load", "numpy.load") and words_of(call).get("allow_pickle", "False") != "False":
            wrong.append(f"{path}: {name}")
    assert wrong == []


def test_no_module_that_unpickles_is_imported() -> None:
    wrong = []
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            wrong += [f"{path}: {name}" for name in names if name.partition(".")[0] in UNPICKLERS]
    assert wrong == []


def test_programs_are_started_where_it_is_said_and_never_through_a_shell() -> None:
    root = SOURCES[0].parents[1]
    started = {}
    for path, name, call in calls():
        if name.startswith(("subprocess.", "os.exec", "os.spawn", "os.posix_spawn")) or name in (
            "os.system",
            "os.popen",
        ):
            started[path.relative_to(root).as_posix()] = name
            assert "shell" not in words_of(call), path
            assert name not in ("os.system", "os.popen"), path
    assert {place for place in started if not place.startswith(tuple(STARTS))} == set()
