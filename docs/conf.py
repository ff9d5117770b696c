"""How `make docs` builds the documentation (Sphinx, MyST, furo; breathe for C++)."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

import floodwall
from floodwall.cli import make_parser

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "docs"))

project = "floodwall"
version = release = floodwall.__version__
copyright = "the floodwall authors, Apache-2.0"

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "breathe", "bars"]
source_suffix = {".md": "markdown"}
html_theme = "furo"
html_title = f"floodwall {release}"
# Every header opens the namespace floodwall; doxygen itself reports what is declared twice.
suppress_warnings = ["duplicate_declaration.cpp"]

myst_heading_anchors = 3

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_class_signature = "separated"
autodoc_default_options = {"members": True, "undoc-members": True, "show-inheritance": True}

breathe_projects = {"floodwall": str(ROOT / "build" / "docs" / "doxygen" / "xml")}
breathe_default_project = "floodwall"


class CommandHelp(SphinxDirective):
    """``{floodwall-help} merge``: what ``floodwall merge --help`` prints, 80 columns wide."""

    required_arguments = 0
    optional_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Return the help as a literal block."""
        parser = make_parser()
        if self.arguments:
            commands = next(
                action.choices
                for action in parser._actions
                if isinstance(action, argparse._SubParsersAction)
            )
            parser = commands[self.arguments[0]]
        text = parser.format_help()
        return [nodes.literal_block(text, text, language="text")]


def setup(app: Sphinx) -> None:
    """Add the directive."""
    app.add_directive("floodwall-help", CommandHelp)
