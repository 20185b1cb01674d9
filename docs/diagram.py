"""Write the phase diagrams of docs/strategy.md anew from the transition tables: `python -m docs.diagram`."""

from pathlib import Path

from strategy.phases import FIBONACCI_TRANSITIONS, TRANSITIONS, mermaid

PAGE = Path(__file__).with_name("strategy.md")
DIAGRAMS = {"diagram": TRANSITIONS, "fibonacci diagram": FIBONACCI_TRANSITIONS}


def with_diagrams(text: str) -> str:
    """The page with what stands between its markers replaced by the tables' diagrams."""
    for name, table in DIAGRAMS.items():
        begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
        before, rest = text.split(begin)
        _, after = rest.split(end)
        text = f"{before}{begin}\n```mermaid\n{mermaid(table)}\n```\n{end}{after}"
    return text


if __name__ == "__main__":
    PAGE.write_text(with_diagrams(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
