"""The page on which people log in: plain HTML, no script."""

from __future__ import annotations

from html import escape
from urllib.parse import quote

from service.console.page_code import address


def login_page(onward: str, *, problem: str = "") -> str:
    """The page.

    Args:
        onward: The path to go to afterwards.
        problem: What was wrong with the last attempt.
    """
    wrong = f'<p class="notice wrong" role="alert">{escape(problem)}</p>' if problem else ""
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>Log in · Gauntlet</title><script src="{address("theme.js")}"></script>
<link rel="icon" href="{address("icon.svg")}" type="image/svg+xml">
<link rel="stylesheet" href="{address("console.css")}"></head>
<body><main class="login"><h1>Gauntlet console</h1>{wrong}
<form method="post" action="/login?next={quote(onward)}">
<label for="key">API key</label>
<input id="key" name="key" type="password" autocomplete="current-password" required autofocus
  aria-describedby="key-help">
<p id="key-help" class="soft">An operator's key makes another with <code>gauntlet keys add score NAME</code> (reads) or
<code>gauntlet keys add admin NAME</code> (sees customers, acts).</p>
<button type="submit">Log in</button></form></main></body></html>
"""
