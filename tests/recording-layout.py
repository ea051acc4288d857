# Used by tool-report.sh: recording-layout.py older|newer IN OUT copies a recording as a tool of another release of the same version
# would have written it (tools/reader/recording.h).
#
# older: entries have the sizes of the first release, and there are no parts that came later.  newer: each entry but a page's has
# a word more, and each sample has a part more.
import struct
import sys
import zlib

HEAD = struct.Struct('=QIIIIQ')
FIRST = [0, 256, 48, 3096, 128, 80, 32, 16, 40, 424, 320, 48, 8, 320, 16, 24, 8]
PAGES = 16


def get(data, at):
    number = shift = 0
    while True:
        byte = data[at]
        at += 1
        number |= (byte & 127) << shift
        if byte < 128:
            return number, at
        shift += 7


def put(number):
    text = bytearray()
    while number >= 128:
        text.append(number & 127 | 128)
        number >>= 7
    text.append(number)
    return bytes(text)


def get_words(data, at, count):
    """Differences to the words before, as they are stored: 0 where there is none."""
    words = []
    while len(words) < count:
        same, at = get(data, at)
        different, at = get(data, at)
        words += [0] * same
        for _ in range(different):
            word, at = get(data, at)
            words.append(word)
    return words, at


def put_words(words):
    text, at = b'', 0
    while at < len(words):
        same = at
        while same < len(words) and words[same] == 0:
            same += 1
        end = same
        while end < len(words) and words[end] != 0:
            end += 1
        text += put(same - at) + put(end - same) + b''.join(map(put, words[same:end]))
        at = end
    return text


def resized(words, was, now):
    """Each entry cut, or followed by words that nobody knows."""
    was, now = was // 8, now // 8
    entries = [words[i:i + was] for i in range(0, len(words), was)]
    return [word for entry in entries for word in entry[:now] + [7] * (now - was)]


def sample(payload, was, now):
    text, at = b'', 0
    while at < len(payload):
        part, at = get(payload, at)
        count, at = get(payload, at)
        begin = at
        words, at = get_words(payload, at, count * was[part] // 8)
        if part < len(now):
            same = part == PAGES # there a word is stored as it differs from the one in front
            text += put(part) + put(count) + (payload[begin:at] if same else put_words(resized(words, was[part], now[part])))
    if len(now) > len(was):
        text += put(len(was)) + put(2) + put_words([1, 0] * (2 * now[-1] // 16))
    return text


kind, source, target = sys.argv[1:]
data = open(source, 'rb').read()
magic, version, head_bytes, layout, _, interval = HEAD.unpack_from(data)
assert version == 2 and kind in ('older', 'newer')
was = list(struct.unpack_from('=%dI' % ((head_bytes - HEAD.size) // 4), data, HEAD.size))
now = FIRST if kind == 'older' else [size + 8 if part not in (0, PAGES) else size for part, size in enumerate(was)] + [48]
total = sum(size * (part + 1) for part, size in enumerate(now)) & 0xffffffff
with open(target, 'wb') as out:
    out.write(HEAD.pack(magic, version, HEAD.size + 4 * len(now), layout, total, interval))
    out.write(struct.pack('=%dI' % len(now), *now))
    at = head_bytes
    while at < len(data):
        length, crc = struct.unpack_from('=II', data, at)
        payload = data[at + 8:at + 8 + length]
        assert zlib.crc32(payload) == crc
        payload = sample(payload, was, now)
        out.write(struct.pack('=II', len(payload), zlib.crc32(payload)) + payload)
        at += 8 + length
