"""`python -m modescope`."""

from modescope.cli import main

main()
