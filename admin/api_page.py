"""The HTTP API's reference as a page for browsers, from the text that programs and terminals get.

The text is Markdown of the plainest kind: headings, paragraphs, lists of one level, indented code, `code` and
**bold**. The page adds a table of contents, an anchor for everything that has a name, and links to those.
"""

import re
from collections.abc import Iterable, Iterator
from html import escape

_HEADING = re.compile(r"(#{1,3}) (.*)")
_OPERATION = re.compile(r"(.*): (GET|POST|PUT|PATCH|DELETE) (/\S+)")
_CODE = re.compile(r"`([^`]+)`")
_BOLD = re.compile(r"\*\*([^*]+)\*\*")
_STATUS = re.compile(r"\d{3}: ")
_PROBLEM = re.compile(r"`([a-z-]+)` \(\d{3}\)")
_NAME = re.compile(r"\b[A-Z][A-Za-z]+\b")
_CODES = re.compile(r"[a-z]+(?:-[a-z]+)*")

STYLE = """
:root{color-scheme:light dark;--line:#8884;--soft:#8882;--link:#0a58ca}
@media(prefers-color-scheme:dark){:root{--link:#7db3ff}}
*{box-sizing:border-box}
body{margin:0;font:16px/1.55 system-ui,"Noto Sans CJK SC",sans-serif;overflow-wrap:anywhere}
a{color:var(--link);text-decoration:none}a:hover,a:focus{text-decoration:underline}
main{padding:1rem 1.25rem 4rem;max-width:56rem}
nav{padding:.75rem 1.25rem;border-bottom:1px solid var(--line);font-size:.9rem}
nav summary{cursor:pointer;font-weight:600}
nav ol{list-style:none;margin:.5rem 0;padding:0;columns:9.5rem}nav li{padding:.15rem 0}
h1{font-size:1.7rem;line-height:1.2}
h2{margin-top:2.75rem;padding-top:.75rem;border-top:1px solid var(--line);font-size:1.3rem}
h2 code{display:block;margin-top:.25rem;width:fit-content;font-size:.95rem}
h3{margin-top:2rem;font-size:1.05rem}
code,pre{font-family:ui-monospace,SFMono-Regular,Menlo,Consolas,"Noto Sans Mono CJK SC",monospace;font-size:.88em}
code{background:var(--soft);border-radius:4px;padding:.1em .3em}
pre{background:var(--soft);border-radius:6px;padding:.75rem 1rem;overflow-x:auto;overflow-wrap:normal}
ul{padding-left:1.2rem}li{margin:.3rem 0}:target{background:#ffd54f55}
@media(min-width:70rem){
body{display:grid;grid-template-columns:20rem 1fr}
nav ol{columns:auto}
nav{position:sticky;top:0;height:100vh;overflow-y:auto;border:0;border-right:1px solid var(--line)}}
"""


def render(text: str) -> str:
    """The whole page. Nothing in `text` becomes markup but what is said above."""
    blocks = list(_blocks(text.splitlines()))
    names = frozenset(body for kind, body in blocks if kind == "h3")
    problems = frozenset(
        found[1] for kind, body in blocks if kind == "li" and (found := _PROBLEM.match(body))
    )
    title = next((body for kind, body in blocks if kind == "h1"), "Sluice")
    body = "\n".join(_body(blocks, names, problems))
    contents = "\n".join(
        f'<li><a href="#{_anchor(heading)}">{_contents_line(heading)}</a></li>'
        for kind, heading in blocks
        if kind == "h2"
    )
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{escape(title)}</title><style>{STYLE}</style></head>\n<body>"
        f"<nav><details open><summary>Contents</summary><ol>{contents}</ol></details></nav>\n"
        f"<main>{body}</main></body></html>\n"
    )


def _blocks(lines: Iterable[str]) -> Iterator[tuple[str, str]]:
    """(kind, text): h1, h2, h3, p, li, pre."""
    kind, held = "", list[str]()
    for line in [*lines, ""]:
        heading = _HEADING.fullmatch(line)
        begins = (
            "pre"
            if line.startswith("    ")
            else "li"
            if line.startswith("- ")
            else "p"
            if line.strip()
            else ""
        )
        goes_on = begins == kind and kind in ("p", "pre")
        if kind == "li" and line.startswith("  ") and begins == "p":
            goes_on = True
        if goes_on and not heading:
            held.append(line.strip() if kind != "pre" else line[4:])
            continue
        if kind:
            yield kind, ("\n" if kind == "pre" else " ").join(held)
        kind, held = "", []
        if heading:
            yield f"h{len(heading[1])}", heading[2]
        elif begins:
            kind = begins
            held = [line[4:] if begins == "pre" else line[2:] if begins == "li" else line.strip()]


def _body(
    blocks: Iterable[tuple[str, str]], names: frozenset[str], problems: frozenset[str]
) -> Iterator[str]:
    in_list = False
    for kind, text in blocks:
        if in_list != (kind == "li"):
            in_list = not in_list
            yield "<ul>" if in_list else "</ul>"
        if kind == "pre":
            yield f'<pre tabindex="0">{escape(text)}</pre>'
        elif kind == "li":
            found = _PROBLEM.match(text)
            anchor = f' id="problem-{found[1]}"' if found else ""
            yield f"<li{anchor}>{_inline(text, names, problems)}</li>"
        elif kind == "h2":
            yield f'<h2 id="{_anchor(text)}">{_heading(text)}</h2>'
        elif kind == "h3":
            yield f'<h3 id="{_anchor(text)}">{escape(text)}</h3>'
        else:
            yield f"<{kind}>{_inline(text, names, problems)}</{kind}>"
    if in_list:
        yield "</ul>"


def _anchor(heading: str) -> str:
    return re.sub(r"[^A-Za-z0-9]+", "-", heading).strip("-").lower()


def _heading(heading: str) -> str:
    operation = _OPERATION.fullmatch(heading)
    if operation is None:
        return escape(heading)
    return f"{escape(operation[1])} <code>{operation[2]} {escape(operation[3])}</code>"


def _contents_line(heading: str) -> str:
    operation = _OPERATION.fullmatch(heading)
    return escape(operation[1] if operation else heading)


def _inline(text: str, names: frozenset[str], problems: frozenset[str]) -> str:
    """Code, bold and links. Names inside code stay code."""
    pieces = []
    for index, piece in enumerate(_CODE.split(text)):
        if index % 2:
            pieces.append(f"<code>{escape(piece)}</code>")
            continue
        piece = _BOLD.sub(r"<strong>\1</strong>", escape(piece))
        if index == 0 and _STATUS.match(piece):
            piece = _CODES.sub(lambda code: _link(code[0], f"problem-{code[0]}", code[0] in problems), piece)
        else:
            piece = _NAME.sub(lambda name: _link(name[0], _anchor(name[0]), name[0] in names), piece)
        pieces.append(piece)
    return "".join(pieces)


def _link(text: str, anchor: str, there: bool) -> str:
    return f'<a href="#{anchor}">{text}</a>' if there else text
