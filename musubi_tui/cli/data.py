"""``musubi-tui data``: what a dataset holds, before anything is trained on it."""

from __future__ import annotations

import typer

from engine.config.language import say
from musubi_tui.cli import data_doctor, data_frames, data_show
from musubi_tui.cli.arguments import JsonOption
from musubi_tui.cli.data_words import (
    BucketTable,
    FamilyOption,
    FileArgument,
    exit_code,
    opened_dataset,
    print_survey,
    tell_problems,
    tell_sources_gone,
    total_line,
)
from musubi_tui.cli.output import print_json, print_line

app = typer.Typer(
    rich_markup_mode="rich",
    add_completion=False,
    help=say(
        "Look at a dataset before anything is trained on it: sizes, buckets, batches, and what is left out and why.",
        "学習の前にデータセットを調べます。寸法、バケット、バッチ、そして使われないものとその理由。",
    ),
)


@app.command(
    help=say(
        "Tell in plain words what is there, what will be trained, what will not, and why.\n\n"
        "FILE is a dataset file or a preset. Only file headers are read, and nothing in the dataset is changed.\n\n"
        "  musubi-tui data scan dataset.toml --family wan\n\n"
        "Exit code 2 when training would not start: the same answer as `presets check`.",
        "何があり、何が学習され、何が学習されないか、その理由を平易に説明します。\n\n"
        "FILE はデータセットファイルかプリセットです。ファイルのヘッダーだけを読み、データセットには何も書き込みません。\n\n"
        "  musubi-tui data scan dataset.toml --family wan\n\n"
        "学習を開始できない場合の終了コードは 2 です (`presets check` と同じ判断)。",
    )
)
def scan(file: FileArgument, family: FamilyOption = None, as_json: JsonOption = False) -> int:
    from engine.data.survey import survey
    from musubi_tui.datasets.opening import scan_index, scan_opened

    opened = opened_dataset(file, family)
    with scan_index() as index:
        found = scan_opened(opened, index=index)
        told = survey(opened.config, found, measure=index.clip_info)
    if as_json:
        print_json(told)
    else:
        print_line(f"{opened.file}: {opened.family_title}")
        tell_sources_gone(found)
        print_survey(told)
    tell_problems(opened.config, found, sources_too=as_json, ran="scan")
    return exit_code(found)


@app.command(
    help=say(
        "Show which sizes the pictures and clips are trained at, and how many batches that gives.\n\n"
        "FILE is a dataset file ([bold]\\[general][/bold] and [bold]\\[\\[datasets]][/bold], TOML or JSON) or a preset. Only "
        "file headers are read, and nothing in the dataset is changed.\n\n"
        "  musubi-tui data buckets dataset.toml --family wan\n\n"
        "  musubi-tui data buckets preset.toml --json\n\n"
        "Items count after num_repeats, files before. 'short' is the number of items in a last batch that is not full, 'larger' "
        "the files that are enlarged, 'cropped' the part of a picture that is cut away on average. Files that will not be "
        "trained are listed with the reason. Exit code 2 when training would not start: the same answer as `presets check`.",
        "画像とクリップがどの寸法で学習され、何バッチになるかを表示します。\n\n"
        "FILE はデータセットファイル (TOML / JSON) かプリセットです。ファイルのヘッダーだけを読み、データセットには何も書き込みません。\n\n"
        "  musubi-tui data buckets dataset.toml --family wan\n\n"
        "  musubi-tui data buckets preset.toml --json\n\n"
        "items は num_repeats 適用後、files は適用前の数です。「端数」は満たない最後のバッチの件数、「拡大」は拡大されるファイル数、"
        "「切除」は平均して切り捨てられる割合です。使われないファイルは理由とともに表示します。"
        "学習を開始できない場合の終了コードは 2 です (`presets check` と同じ判断)。",
    )
)
def buckets(file: FileArgument, family: FamilyOption = None, as_json: JsonOption = False) -> int:
    from engine.data.summary import bucket_summary
    from musubi_tui.datasets.opening import scan_index, scan_opened

    opened = opened_dataset(file, family)
    with scan_index() as index:
        found = scan_opened(opened, index=index)
    summary = bucket_summary(opened.config, found)
    summary["total"]["steps_per_epoch"] = -(-summary["total"]["batches"] // opened.accumulation)
    if as_json:
        print_json(summary)
    else:
        tell_sources_gone(found)
        for dataset in summary["datasets"]:
            BucketTable(dataset).print()
        print_line(total_line(summary["total"]))
    tell_problems(opened.config, found, sources_too=as_json)
    return exit_code(found)


app.command("frames", help=data_frames.HELP)(data_frames.frames)
app.command("doctor", help=data_doctor.HELP)(data_doctor.doctor)
app.command("show", help=data_show.HELP)(data_show.show)
