"""Settings of Sphinx."""

import sys
from importlib.metadata import version as installed_version
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

project = "datalad-hpc"
author = "The datalad-hpc developers"
copyright = f"2026, {author}"
release = installed_version("datalad-hpc")
version = release

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.napoleon",
    "from_code",
]
templates_path = ["_templates"]
html_theme = "alabaster"
html_theme_options = {"description": project, "fixed_sidebar": True}

# The list of modules is made anew at each build.
autosummary_generate = True
autosummary_generate_overwrite = True
autodoc_typehints = "signature"
autodoc_member_order = "bysource"
napoleon_google_docstring = False
napoleon_use_rtype = False
