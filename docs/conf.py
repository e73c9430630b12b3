"""Sphinx builds the documentation from these settings: `make docs`. Nothing is fetched, while building or while reading."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

import modescope

project = "Modescope"
copyright = "the Modescope authors, Apache-2.0"
version = release = modescope.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "reference_pages", "docstrings", "mathml"]
exclude_patterns = ["_build", "reference/generated"]  # generated pages are included by the pages beside their folder
suppress_warnings = ["config.cache"]

myst_enable_extensions = ["dollarmath", "deflist", "colon_fence"]
myst_heading_anchors = 3

autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True
maximum_signature_line_length = 100

nitpicky = True
nitpick_ignore_regex = [
    ("py:.*", r"(?!modescope).*"),  # the names of other libraries have no page here
    ("py:.*", r"modescope\.profiles\.hypergraph\.[VE]|modescope\.modes\.modules\.orthogonal\.Held"),  # variables
    ("py:.*", r"modescope\.measures\.bulk\.Result"),  # numbers of a measure
]

html_theme = "furo"
html_title = f"Modescope {version}"
html_copy_source = False
html_show_sphinx = False
html_math_renderer = "mathml"
