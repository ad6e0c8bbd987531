"""What is said about one dataset after its files were measured: what stops training, and what the user should know."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from engine.config.language import counted, say
from engine.config.problems import Problem
from engine.config.toml_source import similar_path
from engine.data.cache_files import list_latent_names, parse_latent_name
from engine.data.captions import with_trigger
from engine.data.dataset_spec import DatasetSpec
from engine.data.document import positions_of
from engine.data.items import Item, Skipped
from engine.data.notes import about, few
from engine.data.reasons import look_command, mend_one, reason_of


def stops(dataset: DatasetSpec, skipped: Skipped) -> Problem:
    """A broken file, or line of a list, as the error that ends the scan."""
    of_line = skipped.path == dataset.jsonl
    fix = mend_one(skipped.code, listed=bool(skipped.line), of_line=of_line and bool(skipped.line))
    if not skipped.line:
        return Problem(skipped.code, skipped.reason, fix, file=str(skipped.path))
    told = of_line or f"{skipped.path}." in skipped.reason or skipped.reason.startswith(str(skipped.path))
    message = skipped.reason if told else f"{skipped.path}: {skipped.reason}"
    return Problem(skipped.code, message, fix, file=str(dataset.jsonl), line=skipped.line)


def missing_source(dataset: DatasetSpec, file: str) -> Problem:
    """The folder or list that the dataset names is not there; with its line in the dataset ``file``, if one is given."""
    keys = ("image_jsonl_file", "video_jsonl_file", "image_directory", "video_directory")
    key, source = next((key, path) for key in keys if (path := getattr(dataset, key)) is not None)
    en, ja = ("folder", "フォルダ") if dataset.jsonl is None else ("list", "リスト")
    places = positions_of(Path(file)) if file else {}
    line, column = places.get(("datasets", dataset.index, key), (0, 0))
    if os.path.exists(source):
        of, other = ("_directory", "_jsonl_file") if dataset.jsonl is None else ("_jsonl_file", "_directory")
        other_en, other_ja = ("file", "ファイル") if dataset.jsonl is None else ("folder", "フォルダ")
        message = say(
            f"the dataset's {en} is a {other_en}: {source}.", f"データセットの{ja} {source} が{other_ja}です。"
        )
        instead = key.replace(of, other)
        fix = say(f"If it is meant, write {instead} instead.", f"それでよければ、代わりに {instead} と書いてください。")
    else:
        message = say(f"the dataset's {en} does not exist: {source}.", f"データセットの{ja} {source} がありません。")
        fix = similar_path(source) or say("Check the path.", "パスを確認してください。")
    return Problem("missing_file", message, fix, file=file, line=line, column=column, key=key)


def unreadable_folders(dataset: DatasetSpec, reasons: Mapping[str, str], file: str) -> Iterator[Problem]:
    """Folders of controls or masks that cannot be read: key -> reason; with their lines in the dataset ``file``, if given."""
    places = positions_of(Path(file)) if file else {}
    for key, reason in reasons.items():
        folder = getattr(dataset, key)
        line, column = places.get(("datasets", dataset.index, key), (0, 0))
        fix = similar_path(folder) or say("Check the path.", "パスを確認してください。")
        yield Problem("missing_file", reason, fix, file=file, line=line, column=column, key=key)


def shared_folders(owners: Sequence[tuple[DatasetSpec, set[str]]]) -> Iterator[Problem]:
    """Cache folders that two datasets would write into, as a recursive one and one of its subfolders do by default."""
    seen: dict[str, DatasetSpec] = {}
    for dataset, folders in owners:
        shared = sorted(folder for folder in folders if folder in seen)
        if shared:
            first = seen[shared[0]]
            yield Problem(
                "shared_cache_directory",
                say(
                    f"datasets {first.index + 1} and {dataset.index + 1} would share the cache folder {shared[0]}.",
                    f"{first.index + 1}番目と{dataset.index + 1}番目のデータセットのキャッシュが同じ {shared[0]} です。",
                ),
                say("Give each its own cache_directory.", "それぞれ別の cache_directory にしてください。"),
                file=str(dataset.directory or dataset.jsonl),
            )
        for folder in folders:
            seen.setdefault(folder, dataset)


def keys_without_sources(dataset: DatasetSpec, items: Sequence[Item]) -> Iterator[Problem]:
    """Cache files alone hold one caption and one cut of each item: keys that ask for more cannot be obeyed."""
    asked = {
        "several sizes of resolution": len(dataset.resolutions) > 1,
        "multiple_captions": dataset.multiple_captions,
        "tag_shuffle": dataset.tag_shuffle,
        "caption_dropout": dataset.caption_dropout and not dataset.is_reg,
        "trigger_word": not dataset.is_reg
        and any(with_trigger(item.caption, dataset.trigger_word) != item.caption for item in items),
        "flip": dataset.flip,
        "random_crop": dataset.random_crop,
        "alpha_mask": dataset.alpha_mask,
        "mask_directory": dataset.mask_directory,
    }
    names = ", ".join(name for name, is_asked in asked.items() if is_asked)
    if names:
        source = dataset.directory or dataset.jsonl
        yield Problem(
            "sources_gone",
            say(
                f"{source} holds nothing to read, and its cache files cannot serve {names}.",
                f"{source} に元データがなく、キャッシュだけでは {names} に対応できません。",
            ),
            say("Put the files back, or remove these keys.", "ファイルを戻すか、これらのキーを外してください。"),
            file=str(source),
        )


def collisions(dataset: DatasetSpec, items: Sequence[Item]) -> Iterator[Problem]:
    """Two files of one stem would overwrite each other's cache files; told with their lines where they stand in a list."""
    owners: dict[str, Item] = {}
    for item in items:
        owner = owners.setdefault(item.name, item)  # what the text cache is named by
        if owner is item or (owner.path == item.path and (owner.caption, owner.texts) == (item.caption, item.texts)):
            continue
        same = owner.path == item.path
        first, second = owner.line, item.line
        where_en = f" (lines {first} and {second} of {dataset.name})" if first and second else ""
        where_ja = f" ({dataset.name} の {first} 行目と {second} 行目)" if first and second else ""
        yield Problem(
            "cache_name_collision",
            say(
                f"{item.path} stands twice with different captions{where_en}."
                if same
                else f"{owner.path} and {item.path} would share one cache file{where_en}.",
                f"{item.path} が異なるキャプションで2回出てきます{where_ja}。"
                if same
                else f"{owner.path} と {item.path} のキャッシュ名が同じになります{where_ja}。",
            ),
            say(
                "Remove one of them, or set multiple_captions = true." if same else "Rename or remove one of them.",
                "どちらかを取り除くか、multiple_captions = true にしてください。"
                if same
                else "どちらかの名前を変えるか取り除いてください。",
            ),
            file=str(dataset.jsonl if second else item.path),
            line=second,
        )


def leftovers(dataset: DatasetSpec, latent_files: Iterable[str], cache_id: str) -> Iterator[Problem]:
    """Musubi Tuner trains whatever lies in the cache folder; here only what belongs to an item is trained: ``latent_files``."""
    if not os.path.isdir(dataset.cache_directory):
        return  # all caches lie in it or below: a hundred thousand names need not be made
    used: dict[str, set[str]] = {str(dataset.cache_directory): set()}
    for file in latent_files:  # other cuts have names that are no latent names
        folder, _, name = file.rpartition("/")
        used.setdefault(folder, set()).add(name)
    for folder in sorted(folder for folder in used if os.path.isdir(folder)):
        try:
            names = os.listdir(folder)
        except OSError as error:
            if folder != str(dataset.directory):  # there it was said already
                message = say(
                    f"the cache folder {folder} cannot be read: {error.strerror}.",
                    f"キャッシュフォルダ {folder} を読めません: {error.strerror}",
                )
                yield about(
                    dataset, "unreadable_cache_folder", message, say("Check permissions.", "権限を確認してください。")
                )
            continue
        unused = {name for name in list_latent_names(names, cache_id) if name not in used[folder]}
        unused = {name for name in unused if parse_latent_name(name, cache_id, clip=dataset.kind == "clip")}
        if unused:
            yield about(
                dataset,
                "unused_caches",
                say(
                    f"{counted(len(unused), 'latent file')} in {folder} {'belongs' if len(unused) == 1 else 'belong'} to no item and {'is' if len(unused) == 1 else 'are'} not trained, "
                    f"such as {min(unused)}.",
                    f"{folder} の潜在ファイル {len(unused)} 件はどの項目にも属さず、学習されません ({min(unused)} など)。",
                ),
                say(
                    "`musubi-tui cache PRESET --prune` shows what can be removed.",
                    "`musubi-tui cache PRESET --prune` で削除できるものを確認できます。",
                ),
            )


def dark_masks(dataset: DatasetSpec, names: Sequence[str], typed: str) -> Iterator[Problem]:
    """Items that train nothing, because no part of them counts in the loss; ``typed``: what a person types for the dataset."""
    if names:
        what_en, what_ja = ("alpha channel", "アルファチャンネル") if dataset.alpha_mask else ("mask", "マスク")
        empty_en, empty_ja = ("transparent", "透明") if dataset.alpha_mask else ("black", "黒")
        yield about(
            dataset,
            "empty_mask",
            say(
                f"{counted(len(names), 'item trains', 'items train')} nothing: the {what_en} is all {empty_en}: {few(names)}.",
                f"{what_ja}がすべて{empty_ja}のため何も学習しないものが {len(names)} 件あります: {few(names)}",
            ),
            say(
                f"Make white what shall be learned, or take them out; `{look_command(typed, 'doctor')}` lists them.",
                f"学習する部分を白くするか、取り除いてください。`{look_command(typed, 'doctor')}` で一覧できます。",
            ),
        )


def split_notes(dataset: DatasetSpec, items: Sequence[Item], held_out: Sequence[Item]) -> Iterator[Problem]:
    """Keys that found nothing to work on: too few files to hold some out, no caption with tags to shuffle."""
    split = dataset.validation_split
    files = len({item.name for item in held_out})
    if isinstance(split, int) and items and files < split and not dataset.validation:
        yield about(
            dataset,
            "few_held_out",
            say(
                f"validation_split asks for {counted(split, 'file')}, and {files} can be held out: one must be left to train.",
                f"validation_split は {split} ファイルですが、取り分けられるのは {files} です (1つは学習に残します)。",
            ),
        )
    elif split and items and not files and not dataset.validation:
        yield about(
            dataset,
            "few_held_out",
            say(
                "one file alone cannot be held out: nothing is validated.",
                "1ファイルだけでは取り分けられず、検証できません。",
            ),
        )
    if dataset.tag_shuffle and items and not any(len(item.texts) > 1 for item in items):
        yield about(
            dataset,
            "no_tags",
            say(
                "tag_shuffle has nothing to shuffle: no caption has two tags, parted by commas, behind keep_tags.",
                "tag_shuffle で並べ替えるものがありません。カンマ区切りのタグが keep_tags の後ろに2つ以上必要です。",
            ),
        )


def nothing_to_train(typed: str, left: Sequence[tuple[DatasetSpec, Sequence[Skipped], int]]) -> Problem:
    """Of each dataset: what was left out, and how many subfolders were not read. ``typed``: what a person types for the dataset."""
    parts = []
    for dataset, skipped, subfolders in left:
        reasons = Counter(entry.code for entry in skipped)
        room = {"kind": dataset.kind, "list": dataset.jsonl, "on_bad_item": dataset.on_bad_item}
        told = ", ".join(f"{reason_of(code, room).title} ({count})" for code, count in sorted(reasons.items()))
        if not told:
            told = say("empty", "空")
            if subfolders:
                told += say(
                    f", {counted(subfolders, 'subfolder is', 'subfolders are')} not read (recursive = true reads them)",
                    f"、サブフォルダ {subfolders} 個は読みません (recursive = true で読みます)",
                )
        parts.append(f"{dataset.directory or dataset.jsonl}: {told}")
    look = look_command(typed)
    if any(skipped for _, skipped, _ in left):
        fix = say(
            f"`{look}` tells each file, why, and what to do.", f"`{look}` で各ファイルの理由と対処を確認できます。"
        )
    else:
        lists = all(dataset.jsonl is not None for dataset, _, _ in left)
        clips = all(dataset.kind == "clip" for dataset, _, _ in left)
        en, ja = ("videos", "動画") if clips else ("pictures", "画像")
        fix = say(
            f"Write lines with {en} and captions into the list."
            if lists
            else f"Put {en} with captions into the folder.",
            f"リストに{ja}とキャプションの行を書いてください。"
            if lists
            else f"{ja}とキャプションをフォルダに置いてください。",
        )
    return Problem(
        "nothing_to_train",
        say(f"there is nothing to train. {'; '.join(parts)}.", f"学習できるものがありません。{'、'.join(parts)}。"),
        fix,
    )
