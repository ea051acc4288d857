# Used by tool-report.sh: report-figures.py PAGE ASSERTION... looks at a page of `holdfast report`.
#
# An assertion is an expression over what is below; a figure has its caption, texts, keys and cells.
import html.parser
import json
import re
import sys


class Figure:
    def __init__(self):
        self.caption, self.width = '', 600
        self.titles, self.ticks, self.texts, self.keys, self.cells = [], [], [], [], []


class Page(html.parser.HTMLParser):
    def __init__(self):
        super().__init__()
        self.figures, self.text, self.into, self.style, self.figure = [], '', None, '', Figure()
        self.tiles, self.tile = {}, ''

    def handle_starttag(self, tag, attributes):
        a = dict(attributes)
        classes = a.get('class', '').split()
        if tag == 'figure':
            self.figure = Figure()
            self.figures.append(self.figure)
        if tag in ('figcaption', 'title', 'text', 'th', 'td', 'style', 'dt', 'dd'):
            self.into, self.got = tag, ''
        if tag == 'text':
            anchor = 'e' if 'e' in classes or a.get('text-anchor') == 'end' else 'c' if 'c' in classes else ''
            self.at = (float(a['x']), anchor, 's' in classes, float(a['y']), 'textlength' in a)
        if tag == 'svg' and a.get('aria-hidden') != 'true':
            self.figure.width = float(a['viewbox'].split()[2])
        if tag == 'rect' and a.get('width') == '9' or tag == 'path' and a.get('d') == 'M0 5H10':
            self.figure.keys.append(classes[0])

    def handle_startendtag(self, tag, attributes):
        self.handle_starttag(tag, attributes)

    def handle_data(self, data):
        self.text += data if self.into != 'style' else ''
        if self.into is not None:
            self.got += data

    def handle_endtag(self, tag):
        if tag != self.into:
            return
        figure, self.into = self.figure, None
        if tag == 'figcaption':
            figure.caption = self.got
        elif tag == 'title':
            figure.titles.append(self.got)
        elif tag == 'style':
            self.style += self.got
        elif tag == 'dt':
            self.tile = self.got
        elif tag == 'dd':
            self.tiles.setdefault(self.tile, self.got)
        elif tag in ('th', 'td'):
            figure.cells.append(self.got)
        elif tag == 'text':
            x, anchor, small, y, pressed = self.at
            figure.texts.append((self.got, x, anchor, pressed))
            if small:
                figure.ticks.append((self.got, anchor, x, y))


page = Page()
page.feed(open(sys.argv[1], encoding='utf-8').read())
page.close()


def figure(start, nth=0):
    found = [f for f in page.figures if f.caption.startswith(start)]
    assert len(found) > nth, f'no figure {start!r} in {[f.caption for f in page.figures]}'
    return found[nth]


def left(f):
    """Ticks at the left of a plot."""
    return [text for text, anchor, x, y in f.ticks if anchor == 'e' and x < 100]


def below(f):
    """Ticks below a plot."""
    floor = max(y for text, anchor, x, y in f.ticks)
    return [text for text, anchor, x, y in f.ticks if y == floor]


def over_time():
    starts = r'([AB] )?(Live|Held|Threads over|Node \d+: |Node \d+ by|Pages taken|What happened)'
    return [f for f in page.figures if re.match(starts, f.caption) and f.ticks]


UNITS = {'B': 1, 'KiB': 2**10, 'MiB': 2**20, 'GiB': 2**30, 'TiB': 2**40}


def round_bytes(f):
    """0, then multiples of a power of two, each with the same unit."""
    ticks = left(f)
    assert len({tick.split()[1] for tick in ticks[1:]}) == 1, ticks
    assert ticks[0] == '0' and len(ticks) > 2, ticks
    values = [float(tick.split()[0]) * UNITS[tick.split()[1]] for tick in ticks[1:]]
    step = int(values[0])
    assert step & step - 1 == 0 and values == [step * i for i in range(1, len(values) + 1)], ticks
    return True


def size(count):
    """Bytes as every part of the tool writes them for people."""
    unit = max((unit for unit in UNITS if UNITS[unit] <= count + UNITS[unit] / 2048), key=UNITS.get, default='B')
    return f'{count / UNITS[unit]:.3g} {unit}'


def round_counts(f, unit):
    """0, then multiples of 1, 2 or 5 times a power of ten, each with the same unit."""
    ticks, values = left(f), []
    assert len({tick.lstrip('0123456789.') for tick in ticks[1:]}) == 1, ticks
    for tick in ticks[1:]:
        parts = re.fullmatch(r'([0-9.]+)([kM]?)' + re.escape(unit), tick)
        assert parts, tick
        values.append(float(parts[1]) * {'': 1, 'k': 1e3, 'M': 1e6}[parts[2]])
    assert ticks[0] == '0' and len(ticks) > 1, ticks
    assert f'{values[0]:e}'[0] in '125', ticks
    assert all(abs(value - values[0] * (i + 1)) < 1e-6 * value for i, value in enumerate(values)), ticks
    return True


def fits():
    """No text of a picture begins or ends outside of it: 7 units a letter are what DejaVu Sans takes."""
    for f in page.figures:
        for text, x, anchor, pressed in f.texts:
            wide = 0 if pressed else 7 * len(text)
            begin = x - (wide if anchor == 'e' else wide / 2 if anchor == 'c' else 0)
            assert begin >= -1 and begin + wide <= f.width + 1, (f.caption, text, x, anchor)
    return True


def colours():
    """Keys of one picture differ, in light and dark; idle pages and unused bytes never look the same."""
    fills = dict(re.findall(r'[.]([a-z0-9]+)[{]fill:var[(]--([a-z0-9]+)[)]', page.style))
    blocks = re.findall(r':root[{]([^}]*)[}]', page.style)
    schemes = [dict(re.findall(r'--([a-z0-9]+):(#[0-9a-f]+)', block)) for block in blocks]
    assert len(schemes) == 2
    schemes[1] = {**schemes[0], **schemes[1]}
    for scheme in schemes:
        assert scheme[fills['idle']] != scheme[fills['unused']]
        for f in page.figures:
            seen = [scheme[fills[key]] for key in f.keys if fills.get(key) in scheme]
            assert len(seen) == len(set(seen)), (f.caption, f.keys, seen)
    return True


def plurals():
    names = 'event|sample|thread|page|run|call|report|node|fork|hint|heap|size class'
    for number, name, end in re.findall(r'(?<![\d.,])(\d[\d,]*) (' + names + r')((?:e?s)?)\b', page.text):
        assert (number == '1') == (end == ''), (number, name, end)
    return True


def ticks_differ():
    return all(len(ticks(f)) == len(set(ticks(f))) for f in over_time() for ticks in (below, left))


def tips(f, pattern):
    """How many parts of a picture say their number so."""
    found = [title for title in f.titles if re.search(pattern, title)]
    assert found, (f.caption, pattern, f.titles[:5])
    return len(found)


def setting(f, name):
    return f.cells[f.cells.index(name) + 1]


def column(f, head, heads):
    return f.cells[f.cells.index(head)::heads][1:]


for assertion in sys.argv[2:]:
    assert eval(assertion), assertion
