"""From a dataset file to the items that will be trained, and to the list of everything that will not.

Only headers are read, but for the masks of what is about to be trained. A dataset whose source is gone is listed from its cache files, as Musubi Tuner always does.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from itertools import chain

from engine.config.language import counted, say
from engine.config.problems import Problem, UserError
from engine.data.cache_files import Presence
from engine.data.dataset_scan import DatasetScan
from engine.data.dataset_spec import DatasetConfig
from engine.data.index import ScanIndex, no_collections
from engine.data.items import PathField, Scan, path_text
from engine.data.reasons import look_command
from engine.data.scan_notes import nothing_to_train, shared_folders
from engine.data.sources import list_sources
from engine.data.task_needs import unmet_needs
from engine.data.variants import with_variants
from engine.families.family import FamilySpec, TaskSpec

Progress = Callable[[int, int], None]
_MOST_ERRORS = 20  # broken files that a check tells one by one


def scan(
    config: DatasetConfig,
    spec: FamilySpec | None,
    task: TaskSpec | None,
    *,
    progress: Progress | None = None,
    strict: bool = True,
    index: ScanIndex | None = None,
) -> Scan:
    """List what is trained. ``progress(done, total)`` counts files.

    Raises ``UserError`` with every reason when training must not start: a missing folder, a file that is broken and not to be
    skipped, two files with one cache name, nothing to train. With ``strict=False`` these stand in ``Scan.errors`` instead, with
    their line in the dataset file. Masks are decoded only by a strict scan: nothing else looks at them before they are needed.
    Without a family sizes follow the step of 16 and cache files are not looked at. ``index`` spares opening unchanged files.
    """
    with no_collections():
        rooms = _scan_datasets(config, spec, task, progress, strict, index or ScanIndex(None))
    errors = [error for room in rooms for error in room.errors]
    errors += shared_folders([(room.dataset, room.cache_folders()) for room in rooms])
    if not errors and not any(room.items for room in rooms):
        errors.append(
            nothing_to_train(
                config.typed, [(room.dataset, room.skipped, len(room.listing.subfolders)) for room in rooms]
            )
        )
    trained = [room for room in rooms if room.items]
    if not errors and trained and all(room.trains_nothing() for room in trained):
        errors.append(
            Problem(
                "nothing_to_train",
                say("every mask is empty: nothing would count in the loss.", "マスクがすべて空のため、損失に数えられる部分がありません。"),
                say("Make white what shall be learned, or leave the masks out.", "学習する部分を白くするか、マスクの指定を外してください。"),
                file=config.file,
            )
        )  # fmt: skip
    result = Scan(
        tuple(chain.from_iterable(room.items for room in rooms)),
        tuple(skipped for room in rooms for skipped in room.skipped),
        tuple(warning for room in rooms for warning in room.warnings),
        tuple(errors),
        tuple(item for room in rooms for item in room.held_out),
        tuple((path, room.dataset.index) for room in rooms for path in room.listing.unused_captions),
        frozenset((file, room.dataset.index) for room in rooms for file in room.listing.empty),
    )
    if strict and errors:
        raise UserError(errors)
    return result


def _scan_datasets(
    config: DatasetConfig,
    spec: FamilySpec | None,
    task: TaskSpec | None,
    progress: Progress | None,
    strict: bool,
    index: ScanIndex,
) -> list[DatasetScan]:
    listings = [list_sources(dataset, index, config.datasets, config.typed) for dataset in config.datasets]
    total = sum(len(listing.sources) for listing in listings)
    done = 0

    def count(more: int) -> None:
        nonlocal done
        done += more
        if progress is not None:
            progress(done, total)

    file = "" if strict else config.file
    rooms = [
        DatasetScan(dataset, spec, task, listing, count, file, index, decode_masks=strict)
        for dataset, listing in zip(config.datasets, listings, strict=True)
    ]
    for room in rooms:
        room.run()
    return rooms


def content_problems(
    config: DatasetConfig,
    spec: FamilySpec,
    task: TaskSpec | None,
    *,
    models: Collection[str],
    index: ScanIndex | None = None,
) -> list[Problem]:
    """What ``scan`` complains of, for a check of the whole preset. Of many broken files the first few are told one by one.

    ``models`` are the options that name a model file: those that encode must be among them unless everything is cached.
    """
    found = scan(config, spec, task, strict=False, index=index)
    errors = list(found.errors)
    rest = len(errors) - _MOST_ERRORS
    if rest > 0:
        message = say(f"{counted(rest, 'more file')} cannot be trained.", f"他に {rest} 個のファイルが学習できません。")
        look = look_command(config.typed, "buckets")
        fix = say(f"`{look} --json` lists all.", f"`{look} --json` で全件を一覧できます。")
        errors = [*errors[:_MOST_ERRORS], Problem("more_problems", message, fix, file=config.file)]
    errors += unmet_needs(config, found.cached, spec, task)
    errors += _missing_encoders(found, spec, models)
    return [*errors, *found.warnings]


def _missing_encoders(found: Scan, spec: FamilySpec, models: Collection[str]) -> Iterator[Problem]:
    encoded, there = list(with_variants(found.cached)), Presence()
    for slot in spec.slots:
        if slot.role == "tokenizer" or slot.option in models:
            continue
        fields: list[PathField] = ["latent_cache"] if "latents" in slot.needed_for else []
        fields += ["text_cache"] if "text" in slot.needed_for else []
        if all(there.has(path_text(item, name)) for name in fields for item in encoded):
            continue
        where = f" ({slot.files[0]}, {slot.repository})" if slot.files else ""
        yield Problem(
            "missing_value",
            say(
                f"{slot.option} is not set: the {slot.title}, which encodes what is not cached yet.",
                f"{slot.option} が未指定です: {slot.title}（未キャッシュのもののエンコードに必要）。",
            ),
            say(
                f'Add {slot.option} = "path/to/file"{where}.',
                f'{slot.option} = "ファイルのパス" を追加してください{where}。',
            ),
            key=slot.option,
        )
