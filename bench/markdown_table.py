"""The tables of documents."""


def table(head, rows):
    """A Markdown table of texts, `head` being its first line."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
