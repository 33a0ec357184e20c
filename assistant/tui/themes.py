"""The interface's own themes: quiet paper and quiet slate with one green accent."""

from __future__ import annotations

from textual.theme import Theme

MUTED = "$foreground 60%"
"""Style of what is less important; "$text-muted" is a colour for CSS, not for content."""

DARK = Theme(
    name="frontdesk-dark",
    primary="#7fb8a4",
    secondary="#8fa8c8",
    accent="#d8b06a",
    foreground="#d6d9de",
    background="#14171b",
    surface="#1a1e23",
    panel="#21262c",
    success="#86bd86",
    warning="#d8b06a",
    error="#dc8a80",
    dark=True,
    variables={
        "block-cursor-text-style": "none",
        "block-cursor-background": "#2c3a38",
        "block-cursor-foreground": "#e6ebe9",
        "block-cursor-blurred-background": "#21262c",
        "footer-background": "#14171b",
        "footer-key-foreground": "#7fb8a4",
        "footer-description-foreground": "#8b929b",
        "border-blurred": "#2c333b",
        "border": "#55756b",
        "scrollbar": "#2c333b",
        "scrollbar-background": "#14171b",
        "scrollbar-corner-color": "#14171b",
        "input-selection-background": "#3a5a52",
    },
)

LIGHT = Theme(
    name="frontdesk-light",
    primary="#2b7160",
    secondary="#3d5f8f",
    accent="#8a5a10",
    foreground="#2a2e33",
    background="#fbfaf7",
    surface="#f4f2ed",
    panel="#ebe8e1",
    success="#2f7a3a",
    warning="#8a5a10",
    error="#a83a30",
    dark=False,
    variables={
        "block-cursor-text-style": "none",
        "block-cursor-background": "#d5e5df",
        "block-cursor-foreground": "#1d2a26",
        "block-cursor-blurred-background": "#ebe8e1",
        "footer-background": "#fbfaf7",
        "footer-key-foreground": "#2b7160",
        "footer-description-foreground": "#666c73",
        "border-blurred": "#d9d5cb",
        "border": "#7ba596",
        "scrollbar": "#d9d5cb",
        "scrollbar-background": "#fbfaf7",
        "scrollbar-corner-color": "#fbfaf7",
        "input-selection-background": "#bcd9cf",
    },
)
SIXTEEN = Theme(
    name="frontdesk-16",
    primary="#55ffff",
    secondary="#5555ff",
    accent="#ffff55",
    foreground="#ffffff",
    background="#000000",
    surface="#000000",
    panel="#000000",
    success="#55ff55",
    warning="#ffff55",
    error="#ff5555",
    dark=True,
    variables={
        "block-cursor-text-style": "none",
        "block-cursor-background": "#00aaaa",
        "block-cursor-foreground": "#000000",
        "block-cursor-blurred-background": "#555555",
        "footer-background": "#000000",
        "footer-key-foreground": "#55ffff",
        "footer-description-foreground": "#aaaaaa",
        "border-blurred": "#555555",
        "border": "#55ffff",
        "scrollbar": "#555555",
        "scrollbar-background": "#000000",
        "scrollbar-corner-color": "#000000",
        "input-selection-background": "#0000aa",
    },
)
"""For terminals of 16 colours, where the shades of the others would all become black."""

THEMES = (DARK, LIGHT, SIXTEEN)
