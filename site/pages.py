"""Hooks of mkdocs: the pages of the site that are kept elsewhere in the repository.

README.md becomes the first page. Its links, and those of the pages to files outside `docs`, are
written as they are on GitHub; here they lead to the same pages of the site.
"""

from __future__ import annotations

import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

_ROOT = Path(__file__).parents[1]
_PAGES = {"README.md": "index.md", "CONTRIBUTING.md": "CONTRIBUTING.md", "CHANGELOG.md": "CHANGELOG.md"}
_SAMPLE = "config/agbot.toml"


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages, and the sample settings as a file to download."""
    for source, target in _PAGES.items():
        text = (_ROOT / source).read_text(encoding="utf-8")
        files.append(File.generated(config, target, content=re.sub(r"]\(docs/", "](", text)))
    files.append(File.generated(config, _SAMPLE, abs_src_path=str(_ROOT / _SAMPLE)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Let links out of `docs` lead to the pages of the site."""
    del page, config, files
    return re.sub(r"]\(\.\./(config/|CHANGELOG|CONTRIBUTING)", r"](\1", markdown)
