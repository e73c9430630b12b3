"""The main job on the small trained network that ships with Modescope."""

import click


@click.command("demo", short_help="The main job on the network that ships.")
@click.option("--debug", is_flag=True, expose_value=False, help="Show a traceback on errors.")
def command() -> int:
    """Scan a digits classifier before and after its training: noise first, then the modes that training wrote."""
    import sys

    from modescope.cli._write import write
    from modescope.reports import Report
    from modescope.scanning import scan
    from modescope.shipped import demo_history, demo_path

    untrained, trained = scan(demo_history()[0]), scan(demo_path())
    sys.stdout.write(f"Before training: {untrained.source['path']}\n\n")
    write(Report(untrained.report().blocks[:1], {}, ""), "table")  # the notes would be said twice
    sys.stdout.write(f"\nAfter training: {trained.source['path']}\n\n")
    write(trained.report(), "table")
    before, after = (sum(row.number("bulk", "outliers") or 0 for row in result) for result in (untrained, trained))
    sys.stdout.write(
        f"\nModes that stand out of the noise: {before} before training, {after} after it, at a chance of "
        f"about {trained.options['level']:.0%} that a network of pure noise shows any.\n"
        f"Next, to look at it: modescope report {demo_path()} -o report.html\n"
    )
    return 0
