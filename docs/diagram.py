"""Write the phase diagram of docs/strategy.md anew from the transition table: `python -m docs.diagram`."""

from pathlib import Path

from strategy.phases import mermaid

PAGE = Path(__file__).with_name("strategy.md")
BEGIN, END = "<!-- diagram: begin -->", "<!-- diagram: end -->"


def with_diagram(text: str) -> str:
    """The page with what stands between its markers replaced by the table's diagram."""
    before, rest = text.split(BEGIN)
    _, after = rest.split(END)
    return f"{before}{BEGIN}\n```mermaid\n{mermaid()}\n```\n{END}{after}"


if __name__ == "__main__":
    PAGE.write_text(with_diagram(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
