"""HTML to text: what is shown, what is hidden, where links lead."""

from __future__ import annotations

import pytest

from plugins.email_spam.html_text import MAX_HTML, read_html
from plugins.email_spam.mail import Link


def test_blocks_become_lines_and_cells_stay_in_a_row() -> None:
    page = read_html("<p>One<br>two</p><table><tr><td>a</td><td>1</td></tr></table><div>end</div>")
    assert page.text == "One\ntwo\na 1\nend"


def test_links_show_their_target() -> None:
    page = read_html('<a href=" https://x.example/a?b=1&amp;c=2 ">Click <b>here</b></a> now')
    assert page.text == "Click here <https://x.example/a?b=1&c=2> now"
    assert page.links == [Link("Click here", "https://x.example/a?b=1&c=2")]


def test_a_link_that_shows_its_own_target_is_written_once() -> None:
    assert read_html('<a href="https://x.example/">https://x.example</a>').text == (
        "https://x.example"
    )


def test_anchors_and_pictures_inside_the_mail_are_no_links() -> None:
    page = read_html('<a href="#top">Top</a><a href="cid:1">x</a><a>y</a>')
    assert page.links == []


@pytest.mark.parametrize(
    "attribute",
    [
        "hidden",
        'style="display:none"',
        'style="color:red; DISPLAY : none !important"',
        'style="visibility:hidden"',
        'style="font-size:0"',
        'style="font-size: 1px;"',
        'style="opacity:0"',
        'style="max-height:0px;overflow:hidden"',
        'style="mso-hide:all"',
    ],
)
def test_hidden_text_is_kept_apart(attribute: str) -> None:
    page = read_html(f"<p>shown</p><div {attribute}>se<i>cr</i>et</div><p>again</p>")
    assert page.text == "shown\nagain"
    assert page.hidden == "secret"


@pytest.mark.parametrize(
    "style",
    ["opacity:0.9", "font-size:10px", "font-size:1.2em", "max-height:0.5em", "display:block"],
)
def test_ordinary_styles_hide_nothing(style: str) -> None:
    assert read_html(f'<p style="{style}">shown</p>').text == "shown"


def test_scripts_styles_comments_and_titles_are_not_read() -> None:
    html = "<title>t</title><style>a{}</style><script>b()</script><!-- c --><p>text</p>"
    assert read_html(html).text == "text"


def test_pictures_are_counted_and_their_text_is_read() -> None:
    page = read_html('<img src=a alt="Sale today"><img src=b>')
    assert (page.images, page.text) == (2, "Sale today")


def test_entities_and_nul_are_decoded() -> None:
    assert read_html("&lt;b&gt; caf&eacute;&nbsp;x&#0;").text.startswith("<b> café x")


@pytest.mark.parametrize(
    "html",
    [
        "",
        "<",
        "<a " * 100_000,
        "<!--" * 100_000,
        "<div>" * 200_000,
        "<a href=http://x.example>" * 30_000,
        "<b> </b>" * 50_000,
        "<p " + " ".join(f"a{n}=1" for n in range(60_000)) + ">x",
        "&lt;" * 100_000,
        "<svg><p><table>" * 5000,
        "<div style='" + "display :" * 40_000 + "'>x",
    ],
)
def test_bombs_are_read_within_limits(html: str) -> None:
    assert len(read_html(html).text) <= MAX_HTML


def test_what_was_cut_off_is_said() -> None:
    assert "levels" in read_html("<div>" * 5000).notes[0]
    assert f"{MAX_HTML:,}" in read_html("word " * 100_000).notes[0]


def test_inlined_pictures_do_not_use_up_the_limit() -> None:
    page = read_html('<img src="data:image/png;base64,' + "A" * MAX_HTML + '"><p>text</p>')
    assert page.text == "text"
    assert page.notes == []
