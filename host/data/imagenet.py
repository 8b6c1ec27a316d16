"""ImageNet as it lies unpacked: train/nXXXXXXXX/*.JPEG, and val/ in class folders or flat with its ground truth.

The images stay in their files (`ImageStream`): a run reads each when its mini-batch comes. Of a flat val/ the classes
are told by one of these files, in the data set's folder or in its devkit's `data` folder:

| file | says |
|---|---|
| ILSVRC2012_validation_ground_truth.txt with meta.mat | a number for each image, sorted; of the devkit, needs scipy |
| LOC_val_solution.csv, val.csv | image,class for each: "ILSVRC2012_val_00000001,n01751747 ..." |
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from strop.host.data.archive import read_files
from strop.host.data.dataset import Dataset, Split, check_split
from strop.host.data.image_file import SUFFIXES, Mode, check_size, cropped
from strop.host.data.image_folder import class_names, image_files, subfolders, visible_entries
from strop.host.data.image_stream import ImageStream
from strop.host.data.matlab import matlab_variables, read_matlab
from strop.runtime.errors import DataError, InputError

SIZE = (224, 224)
RESIZED, CROPPED = 256, 224  # the paper's test protocol: the shorter side to 256, then a crop of 224
SYNSET = re.compile(r"n\d{8}")
FLAT_NAME = "ILSVRC2012_val_*"
TRUTH, META = "ILSVRC2012_validation_ground_truth.txt", "meta.mat"
TABLES = ("LOC_val_solution.csv", "val.csv")
DEVKITS = (".", "ILSVRC2012_devkit_t12/data", "devkit/data")
MOST_TEXT_BYTES = 64 << 20
MOST_SYNSETS = 1 << 16

Sample = tuple[str, int]  # a file, relative to the data set's folder, and its label


def is_imagenet(folder: Path) -> bool:
    """Return whether `folder` has a train/ or val/ with folders named like ImageNet's classes, or its flat val/."""
    parts = [folder / "train", folder / "val"]
    synsets = any(SYNSET.fullmatch(path.name) for part in parts for path in subfolders(part)[:1])
    return synsets or ((folder / "val").is_dir() and next((folder / "val").glob(FLAT_NAME), None) is not None)


def load_imagenet(
    folder: str | Path,
    split: Split = "train",
    *,
    size: tuple[int, int] | None = None,
    shorter: int | None = None,
    mode: Mode | None = None,
    name: str | None = None,
) -> Dataset:
    """Return ImageNet's "train" split, or of "test" its validation images; decoded one by one as they are needed.

    Each image's shorter side is resized (bilinear) to `shorter` pixels, by default in the paper's proportion 256 to
    224, and `size` (height, width; 224 x 224) is cut out of the middle. mode: "RGB", or "L" for grey. Classes are the
    WordNet ids, sorted. Raises DataError, which names the file, and InputError for a wrong size.
    """
    folder, (height, width) = Path(folder), size or SIZE
    check_size((height, width), mode)
    longest = max(height, width)
    shorter = shorter or -(-longest * RESIZED // CROPPED)
    if shorter < longest:
        raise InputError(f"shorter is {shorter}; a crop of {height} x {width} needs at least {longest}")
    if check_split(split) == "all":
        raise DataError(f'{folder}: ImageNet has the splits "train" and "test" (its validation images)')
    classes, samples = _samples(folder, split)
    chosen: Mode = mode or "RGB"
    files = [file for file, _ in samples]
    sha = hashlib.sha256(f"imagenet {height} {width} {shorter} {chosen}\n".encode())
    for file in files:
        sha.update(f"{file} {(folder / file).stat().st_size}\n".encode())

    def decode(row: int) -> NDArray[np.uint8]:
        path = folder / files[row]
        return cropped(str(path), path, (height, width), shorter, chosen)

    shape = (len(files), 3 if chosen == "RGB" else 1, height, width)
    stream = ImageStream(str(folder), shape, decode, sha.hexdigest())
    labels = np.array([label for _, label in samples], np.int32)
    try:
        return Dataset(stream.as_images(), labels, classes, name or f"{folder.name}/{split}")
    except InputError as error:
        raise DataError(f"{folder}: {error}") from error


def _samples(folder: Path, split: Split) -> tuple[tuple[str, ...], list[Sample]]:
    """Return the classes, and the samples of a split."""
    part = folder / ("train" if split == "train" else "val")
    if not part.is_dir():
        raise DataError(f"{folder}: has no {part.name}/ with ImageNet's {split} images")
    trained = class_names(folder / "train") if (folder / "train").is_dir() else ()
    if split == "test" and not subfolders(part):
        return _flat(folder, part, trained)
    own = class_names(part)
    classes = trained or own
    strangers = sorted(set(own) - set(classes))
    if strangers:
        raise DataError(f"{part}: has a class {strangers[0]} that {folder / 'train'} lacks; rename or remove it")
    found = [(path.relative_to(folder).as_posix(), label) for path, label in image_files(part, classes)]
    if not found:
        raise DataError(f"{part}: holds no images")
    return classes, found


def _flat(folder: Path, part: Path, trained: tuple[str, ...]) -> tuple[tuple[str, ...], list[Sample]]:
    """Return classes and samples of a val/ without class folders."""
    files = visible_entries(part)
    for path in files:
        if path.suffix.lower() not in SUFFIXES:
            raise DataError(f"{path}: is not an image; allowed are files *{', *'.join(SUFFIXES)}")
    where, synsets = _truth(folder, [path.stem for path in files])
    classes = trained or tuple(sorted(set(synsets)))
    numbers = {synset: number for number, synset in enumerate(classes)}
    strangers = sorted(set(synsets) - set(classes))
    if strangers:
        raise DataError(f"{where}: names the class {strangers[0]}, which {folder / 'train'} lacks; restore the folder")
    pairs = zip(files, synsets, strict=True)
    return classes, [(path.relative_to(folder).as_posix(), numbers[synset]) for path, synset in pairs]


def _truth(folder: Path, stems: list[str]) -> tuple[Path, list[str]]:
    """Return the file that tells the classes of a flat val/, and the class of each of its images."""
    for home in (folder / devkit for devkit in DEVKITS):
        for table in TABLES:
            if (home / table).is_file():
                return home / table, _by_table(home / table, stems)
        if (home / TRUTH).is_file():
            return home / TRUTH, _by_number(home / TRUTH, home / META, len(stems))
    raise DataError(
        f"{folder / 'val'}: lies flat, and nothing tells the classes of its images; put {TABLES[0]} into {folder}, or "
        f"{TRUTH} with {META} (the devkit's), or sort the images into class folders"
    )


def _by_table(table: Path, stems: list[str]) -> list[str]:
    rows: dict[str, str] = {}
    for number, line in enumerate(_lines(table), start=1):
        image, comma, rest = line.partition(",")
        synset = (rest.replace(",", " ").split() or [""])[0]
        if SYNSET.fullmatch(synset):
            rows[Path(image.strip()).stem] = synset
        elif number > 1 or not comma:  # the first line may be a heading
            raise DataError(f"{table}: line {number} is no image,class such as ILSVRC2012_val_00000001,n01751747")
    missing = [stem for stem in stems if stem not in rows]
    if missing:
        raise DataError(f"{table}: says nothing of {missing[0]} and {len(missing) - 1} others; restore the file")
    return [rows[stem] for stem in stems]


def _by_number(truth: Path, meta: Path, count: int) -> list[str]:
    lines = _lines(truth)
    if len(lines) != count:
        raise DataError(f"{truth}: has {len(lines)} lines for {count} images in val/; there must be as many")
    if not meta.is_file():
        raise DataError(f"{truth}: its numbers are explained by {META}, which is not beside it; fetch the whole devkit")
    synsets = _synsets(meta)
    unknown = next((line for line in lines if line not in synsets), None)
    if unknown is not None:
        raise DataError(f"{truth}: holds {unknown!r}, which is no number of a class in {meta}; restore the file")
    return [synsets[line] for line in lines]


def _synsets(meta: Path) -> dict[str, str]:
    """Return WordNet ids by their numbers in the devkit, as text."""
    shape = matlab_variables(meta).get("synsets", ())
    if not 1 <= int(np.prod(shape)) <= MOST_SYNSETS or not shape:
        raise DataError(f"{meta}: holds no list of synsets; restore the file")
    table = read_matlab(meta, ("synsets",), squeeze_me=True)["synsets"]
    try:
        rows = np.atleast_1d(table)
        found = {str(int(row["ILSVRC2012_ID"])): str(row["WNID"]) for row in rows if int(row["num_children"]) == 0}
    except (IndexError, TypeError, ValueError) as error:
        raise DataError(f"{meta}: its synsets have not the devkit's fields: {error}; restore the file") from error
    _check_synsets(meta, found.values())
    return found


def _check_synsets(where: Path, synsets: Iterable[str]) -> None:
    wrong = next((synset for synset in synsets if not SYNSET.fullmatch(synset)), None)
    if wrong is not None:
        raise DataError(f"{where}: {wrong!r} is no WordNet id such as n01440764; restore the file")


def _lines(path: Path) -> list[str]:
    text = read_files(path.parent, {path.name}, MOST_TEXT_BYTES)[path.name].decode("utf-8", "replace")
    return [line.strip() for line in text.splitlines() if line.strip()]
