"""Pieces of Markdown."""


def row(*cells):
    print(f"| {' | '.join(str(cell) for cell in cells)} |")


def share(part, whole):
    return f"{part} of {whole} ({part / whole * 100:.0f} %)" if whole else "-"
