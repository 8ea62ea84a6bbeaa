"""The readers of files, fed with bytes that coverage of their code leads to.

``python -m tests.hostile.readers minutes=15`` needs atheris (``pip install 'segkit[fuzz]'``). Each reader has a process
of its own, which ends with the first input that it does not bear; libFuzzer leaves that beside it.
"""

import re
import subprocess
import sys
import tempfile
from pathlib import Path

READERS = ("picture", "array", "calibration", "recording", "classes", "manifest", "result_bytes")
"""Functions of :mod:`tests.hostile.fuzz`."""

INSTRUMENTED = ("segkit.data", "segkit.road", "segkit.runs", "segkit.predict.outputs")


def feed(name: str, seconds: int, corpus: str) -> None:
    """Feed one reader for so long; ends the process."""
    import atheris

    with atheris.instrument_imports(include=list(INSTRUMENTED)):
        from tests.hostile import fuzz
    words = [sys.argv[0], f"-max_total_time={seconds}", f"-timeout={fuzz.SECONDS}", "-rss_limit_mb=4096"]
    for number, good in enumerate(fuzz.GOOD[name]):
        Path(corpus, f"good{number}").write_bytes(good)
    atheris.Setup([*words, f"-artifact_prefix={corpus}-", "-max_len=4096", corpus], getattr(fuzz, name))
    atheris.Fuzz()


def main() -> None:
    """Read the words of the command line."""
    words = dict(word.split("=") for word in sys.argv[1:])
    if "reader" in words:
        feed(words["reader"], int(words["seconds"]), words["corpus"])
    from tests.reliability import write

    seconds, fell, counts = max(1, round(60 * float(words["minutes"]) / len(READERS))), [], {}
    folder = Path(tempfile.mkdtemp(prefix="readers-"))
    for name in READERS:
        corpus = folder / name
        corpus.mkdir()
        command = [sys.executable, "-m", "tests.hostile.readers", f"reader={name}", f"seconds={seconds}"]
        done = subprocess.run([*command, f"corpus={corpus}"], stderr=subprocess.PIPE, text=True, errors="replace")
        tried = max(map(int, re.findall(r"(?:^#|^Done )(\d+)", done.stderr, re.MULTILINE)), default=0)
        if done.returncode:
            print(f"{done.stderr[-4000:]}\nexit code {done.returncode}", file=sys.stderr)
            fell.append(f"{name} (its input: {corpus}-*)")
        print(f"{name}: {tried} inputs", flush=True)
        counts[f"random files, led by coverage: {name}"] = {"tried": tried, "held": tried - bool(done.returncode)}
    write(counts)
    if fell:
        sys.exit(f"fell: {', '.join(fell)}")


if __name__ == "__main__":
    main()
