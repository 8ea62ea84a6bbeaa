"""Data sets of plain folders: pictures in one, labels of the same names in another."""

from collections.abc import Callable, Mapping
from pathlib import Path

from segkit.data.checks import NO_IMAGE, NO_IMAGES, NO_LABEL, TWICE, Layout, Problem, find_root
from segkit.data.records import SUFFIXES, Record


def paired_folders(
    root: Path,
    folders: Mapping[str, tuple[str, str]],
    group: Callable[[str], str] = lambda name: "all",
    remedy: str = "",
) -> Layout:
    """What lies in pairs of folders, for ``SegmentationDataModule.scan``.

    Args:
        root: the data set's.
        folders: of ``train``, ``val`` and ``test``, as far as there may be such parts: the folder of the pictures
            and that of their labels (PNG), below ``root``. Test pictures, and their labels, need not be there.
        remedy: how to come by ``root``.
        group: the group that a picture of a name (without ending) belongs to, see ``Record``.

    Raises:
        DataSetError: folders are missing.
    """
    root = find_root(root, [folder for part, pair in folders.items() if part != "test" for folder in pair], remedy)
    parts: dict[str, list[Record]] = {"train": [], "val": [], "test": []}
    problems, found, label_files = [], [], 0
    seen: dict[str, str] = {}
    for part, (image_folder, label_folder) in folders.items():
        images = {path.stem: path for path in _pictures(root / image_folder)}
        labels = {path.stem: path for path in _pictures(root / label_folder) if path.suffix == ".png"}
        parts[part] = [Record(name, group(name), path, labels.get(name)) for name, path in images.items()]
        found.append(f"{len(images)} images in {image_folder}/, {len(labels)} labels in {label_folder}/")
        label_files += len(labels)
        if not images and part != "test":
            problems.append(Problem(NO_IMAGES, f"{image_folder}/ has no picture"))
        for name, path in images.items():
            place = f"{image_folder}/{path.name}"
            if name not in labels and (root / label_folder).is_dir():
                problems.append(Problem(NO_LABEL, f"{place} has no {label_folder}/{name}.png"))
            if seen.setdefault(name, image_folder) != image_folder:
                problems.append(Problem(TWICE, f"{seen[name]}/{path.name} is also in {image_folder}/"))
        for name in labels.keys() - images.keys():
            problems.append(Problem(NO_IMAGE, f"{label_folder}/{name}.png has no {image_folder}/{name}.*"))
    return Layout(parts, found, {"class": label_files}, problems)


def _pictures(folder: Path) -> list[Path]:
    there = sorted(folder.iterdir()) if folder.is_dir() else []
    return [path for path in there if path.suffix.lower() in SUFFIXES and not path.name.startswith(".")]
