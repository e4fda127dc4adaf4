"""Compares what a browser made of a report with run.json; called by browser.sh."""

import json
import sys
from html.parser import HTMLParser


class Page(HTMLParser):
    """Collects the drawings with their labels, and the tables with their cells."""

    def __init__(self):
        super().__init__()
        self.drawings, self.tables = [], []
        self.cell = self.label = None

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        if tag == "svg" and "data-x" in attrs:
            self.drawings.append({"ticks": [], "lines": [], "cells": 0})
        elif tag == "text" and attrs.get("class") == "tick":
            self.label = []
        elif tag == "path" and "data-series" in attrs:
            self.drawings[-1]["lines"].append(attrs["data-series"])
        elif tag == "rect" and "data-count" in attrs:
            self.drawings[-1]["cells"] += 1
        elif tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append([])
        elif tag in ("td", "th"):
            self.cell = []

    def handle_endtag(self, tag):
        if tag in ("td", "th"):
            self.tables[-1][-1].append("".join(self.cell))
            self.cell = None
        elif tag == "text" and self.label is not None:
            self.drawings[-1]["ticks"].append("".join(self.label))
            self.label = None

    def handle_data(self, data):
        for collected in (self.cell, self.label):
            if collected is not None:
                collected.append(data)


def main(dom, run):
    with open(dom, encoding="utf-8") as file:
        page = Page()
        page.feed(file.read())
    with open(run, encoding="utf-8") as file:
        run = json.load(file)
    classes = run["classes"]
    assert len(page.drawings) == 3 + len(classes), len(page.drawings)
    for drawing in page.drawings:
        assert len(drawing["ticks"]) >= 4, drawing
        assert drawing["lines"] or drawing["cells"], drawing
    assert {"50", "90"} <= set(page.drawings[0]["ticks"]), page.drawings[0]
    head, *rows = page.tables[0]
    names = {"p50": "p50", "p90": "p90", "p99": "p99", "p99.9": "p999", "max": "max"}
    seen = 0
    for row in rows:
        cells = dict(zip(head, row))
        result = classes[cells["class"]]
        assert int(cells["count"]) == result["count"], row
        for column, field in names.items():
            value = result[cells["latency"] + "_us"][field]
            assert (None if cells[column] == "-" else float(cells[column])) == value, (row, column)
            seen += 1
    assert seen == 2 * 5 * len(classes), seen


main(*sys.argv[1:])
