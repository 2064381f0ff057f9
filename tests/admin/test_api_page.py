"""The reference as a page: what its Markdown means, and that nothing in it becomes markup."""

import pytest

from admin.api_page import render

TEXT = """\
# The API

Words of *no* meaning, **bold** ones, `code` and <b>tags</b>
on two lines.

    curl 'x' \\
         -d '<y>'

## Send it: POST /v1/it

Takes Shape.

- 409: conflict, other
- 422: nothing-known

## Shapes

### Shape

- `field` (list of Shape): what it is, and more
  on a second line

## Problems

- `conflict` (409) It clashes.
- `other` (409) Another.
"""


@pytest.mark.parametrize(
    "wanted",
    [
        "<h1>The API</h1>",
        "<p>Words of *no* meaning, <strong>bold</strong> ones, <code>code</code> and"
        " &lt;b&gt;tags&lt;/b&gt; on two lines.</p>",
        '<pre tabindex="0">curl &#x27;x&#x27; \\\n     -d &#x27;&lt;y&gt;&#x27;</pre>',
        '<h2 id="send-it-post-v1-it">Send it <code>POST /v1/it</code></h2>',
        '<li><a href="#send-it-post-v1-it">Send it</a></li>',
        '<p>Takes <a href="#shape">Shape</a>.</p>',
        '<li>409: <a href="#problem-conflict">conflict</a>, <a href="#problem-other">other</a></li>',
        "<li>422: nothing-known</li>",
        '<h3 id="shape">Shape</h3>',
        '<li><code>field</code> (list of <a href="#shape">Shape</a>): what it is, and more on a second line</li>',
        '<li id="problem-conflict"><code>conflict</code> (409) It clashes.</li>',
        "</ul></main>",
        '<meta name="viewport"',
    ],
)
def test_each_form_becomes_its_markup(wanted: str) -> None:
    assert wanted in render(TEXT).replace("\n</main>", "</main>").replace("</ul>\n", "</ul>")


def test_only_its_own_tags_are_in_the_page() -> None:
    page = render("# <script>\n\n## <img src=x>: GET /<svg>\n\n- `<a>` **<i>**\n\n### <hr>\n")
    for tag in ("<script", "<img", "<svg", "<a>", "<i>", "<hr"):
        assert tag not in page
