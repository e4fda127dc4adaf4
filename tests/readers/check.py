"""Checks one file with a reader that is not ours. See run.sh."""

import sys
import unicodedata

import markdown_it
import xmlschema
from prometheus_client.openmetrics.parser import text_string_to_metric_families


def junit(schema, path):
    """Validates a JUnit file against a schema."""
    xmlschema.XMLSchema(schema).validate(path)
    cases = xmlschema.XMLResource(path).root.iter("testcase")
    print("junit      ", len(list(cases)), "test cases are of", schema)


def openmetrics(path, wanted):
    """Parses OpenMetrics, which must hold samples of a family whose name begins so."""
    with open(path, encoding="utf-8") as file:
        families = list(text_string_to_metric_families(file.read()))
    found = [family for family in families if family.name.startswith(wanted)]
    samples = sum(len(family.samples) for family in found)
    assert samples > 0, f"no samples of {wanted} in {[family.name for family in families]}"
    print("openmetrics", len(families), "families,", samples, "samples of", wanted)


def markdown(path, shown):
    """Parses Markdown: a heading, whole tables, no HTML, no link, and text from outside as it is."""
    with open(path, encoding="utf-8") as file:
        text = file.read()
    hidden = [c for c in text if c != "\n" and unicodedata.category(c) in ("Cc", "Cf", "Zl", "Zp")]
    assert not hidden, f"control characters {hidden!r}"
    tokens = markdown_it.MarkdownIt("gfm-like", {"linkify": False}).parse(text)
    inline = [child for token in tokens for child in token.children or []]
    kinds = {token.type for token in tokens} | {child.type for child in inline}
    assert not kinds & {"html_block", "html_inline", "link_open", "image", "fence"}, kinds
    assert tokens[0].type == "heading_open", tokens[0]
    widths, rows = set(), 0
    for token in tokens:
        if token.type == "tr_open":
            cells = 0
        elif token.type in ("th_open", "td_open"):
            cells += 1
        elif token.type == "tr_close":
            widths.add(cells)
            rows += 1
    assert rows >= 2, f"{rows} rows of tables"
    content = "".join(child.content for child in inline)
    assert shown in content, f"{shown} is not in {content}"
    print("markdown   ", rows, "rows of tables with", sorted(widths), "cells")


if __name__ == "__main__":
    {"junit": junit, "openmetrics": openmetrics, "markdown": markdown}[sys.argv[1]](*sys.argv[2:])
