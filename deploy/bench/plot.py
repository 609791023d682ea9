"""A bar for each stack, as an SVG that needs nothing but a browser."""

from xml.sax.saxutils import escape

ROW, LEFT, WIDTH = 26, 190, 420


def bars(title, unit, values):
    """`values`: name to figure; the first is ours."""
    top = max(values.values()) or 1
    height = ROW * len(values) + 46
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{LEFT + WIDTH + 100}" height="{height}" '
        'font-family="sans-serif" font-size="13">',
        f'<text x="8" y="20" font-weight="bold">{escape(title)}: {escape(unit)}</text>',
    ]
    for number, (name, value) in enumerate(values.items()):
        y = 34 + ROW * number
        length = max(1, round(WIDTH * value / top))
        colour = "#2b6cb0" if number == 0 else "#a0aec0"
        parts.append(f'<text x="{LEFT - 8}" y="{y + 14}" text-anchor="end">{escape(name)}</text>')
        parts.append(f'<rect x="{LEFT}" y="{y}" width="{length}" height="{ROW - 8}" fill="{colour}"/>')
        parts.append(f'<text x="{LEFT + length + 6}" y="{y + 14}">{value:,.1f}</text>')
    return "\n".join([*parts, "</svg>", ""])
