"""The page over everything in the given folders, live while it is written."""

import click


@click.command("serve", short_help="The page over many runs, live.")
@click.argument("folders", metavar="DIR...", nargs=-1, required=True)
@click.option(
    "--port", default=8642, show_default=True, type=click.IntRange(0, 65535), help="On this machine alone; 0 is any free one."
)
@click.option("--no-open", is_flag=True, help="Do not open the browser.")
@click.option("--token", metavar="TOKEN", help="What a request must show, 16 characters or more; by default 256 random bits.")
@click.option("--debug", is_flag=True, expose_value=False, help="Show a traceback on errors.")
def command(folders: tuple[str, ...], port: int, no_open: bool, token: str | None) -> int:
    """Serve the run folders, stores and saved reports in DIR to this machine's browser, until Ctrl-C.

    The address is printed with its token, which is random unless given; MODESCOPE_SERVE_TOKEN keeps a token of your own off the
    command line. Nothing outside the folders is read. The list and an open run follow while they are written.
    """
    import sys
    import webbrowser
    from threading import Thread

    from modescope.web import serve

    def ready(address: str) -> None:
        print(f"serving {', '.join(folders)} at {address} (Ctrl-C stops)", file=sys.stderr, flush=True)
        if not no_open and sys.stderr.isatty():
            # in a thread, for a browser in the terminal returns when its user leaves it
            Thread(target=webbrowser.open, args=(address,), daemon=True).start()

    serve(folders, port=port, token=token, ready=ready)
    return 0
