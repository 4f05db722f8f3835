"""What a disk may hold after the power failed, by the log of what a program did (preload/record.c).

    log = Log.read(path)
    for crash in Model(files, names, log).crashes(samples):
        crash.content(path)  # None where no file has that name

The rules: what ended before a flush of its file began, and that flush ended, is there. All else
that was begun may be there or not, each piece for itself, down to single sectors; a file may have
grown without its new content, which then reads as zeros. Of the folder's changes some first ones
are there, and those before a flush of the folder always. Writes that overlap keep their order.
"""
import collections
import dataclasses
import os
import random
import struct

from preloaded import KINDS

ENTRY = struct.Struct("IIQQQqII")  # struct entry of record.c
ENDED = 256
SECTOR = 512
PUNCH_HOLE, ZERO_RANGE, KEEP_SIZE = 2, 16, 1
NEVER = 1 << 62


@dataclasses.dataclass
class Op:
    kind: str
    file: int
    offset: int
    length: int
    flags: int
    extra: bytes
    begin: int  # its place in the log
    end: int = NEVER
    result: int = 0

    @property
    def paths(self):
        return [word.decode() for word in self.extra.split(b"\0")[:-1]]


class Log:
    """The calls in the order in which they began, without those that failed."""

    def __init__(self, ops, length):
        self.ops = ops
        self.length = length

    @staticmethod
    def read(path):
        data = path.read_bytes()
        ops, at, place = {}, 0, 0
        while at < len(data):
            number, kind, file, offset, length, result, flags, extra = ENTRY.unpack_from(data, at)
            at += ENTRY.size
            if kind < ENDED:
                ops[number] = Op(KINDS[kind], file, offset, length, flags, data[at:at + extra],
                                 place)
            else:
                op = ops[number]
                op.end, op.result = place, result
                if op.kind in ("write", "pwrite"):
                    op.extra = op.extra[:max(result, 0)]
                    op.length = len(op.extra)
                if op.kind == "open":
                    op.file = file
            at += extra
            place += 1
        return Log([op for op in ops.values() if op.result >= 0], place)


def file_id(path):
    """As record.c tells files apart."""
    found = os.stat(path)
    return ((found.st_dev << 32) ^ found.st_ino) & ((1 << 64) - 1)


def disk_id(path):
    return 1 << 63 | os.stat(path).st_rdev


def apply(data, op, sectors=None, grow=True):
    """Puts an op into a bytearray; of a write only these sectors, counted from its first one."""
    if op.kind == "ftruncate":
        del data[op.length:]
        data.extend(bytes(op.length - len(data)))
        return
    content = op.extra if op.kind != "fallocate" else bytes(op.length)
    end = op.offset + len(content)
    if op.kind == "fallocate":
        if op.flags & KEEP_SIZE:
            end = min(end, len(data))
        if not op.flags & (PUNCH_HOLE | ZERO_RANGE):  # takes space and changes nothing
            data.extend(bytes(max(0, end - len(data))))
            return
    if end > len(data) and (grow or sectors is None):
        data.extend(bytes(end - len(data)))
    if sectors is None:
        data[op.offset:end] = content[:max(0, end - op.offset)]
        return
    for sector in sectors:
        first = sector * SECTOR
        last = min(first + SECTOR, len(content), len(data) - op.offset)
        if first < last:
            data[op.offset + first:op.offset + last] = content[first:last]


class Crash:
    """One state: what is certain, and some of what is not. Contents are made when asked for."""

    def __init__(self, durable, changes, names, when, ended=False):
        self._durable = durable
        self._changes = changes  # (op, sectors or None for all, whether the file grows)
        self._names = names
        self.when = when
        self.ended = ended  # the program did, and all is as it was flushed

    def paths(self):
        return list(self._names)

    def file(self, path):
        return self._names.get(path)

    def changes_of(self, file):
        return [change for change in self._changes if change[0].file == file]

    def content(self, path):
        file = self.file(path)
        if file is None:
            return None
        data = bytearray(self._durable.get(file, b""))
        for op, sectors, grows in self.changes_of(file):
            apply(data, op, sectors, grows)
        return bytes(data)

    def key(self, path):
        """Equal for equal contents of one moment, and cheap."""
        file = self.file(path)
        return file, tuple((op.begin, sectors if sectors is None else tuple(sectors), grows)
                           for op, sectors, grows in self.changes_of(file))


CHANGES = ("write", "pwrite", "fallocate", "ftruncate")
NAMES = ("open", "rename", "link", "unlink")


class Model:
    """`deaf`: flushes do nothing, which a program must not survive (the model's own test)."""

    def __init__(self, files, names, log, deaf=False, seed=1):
        self.files = {file: bytes(data) for file, data in files.items()}
        self.names = dict(names)
        self.log = log
        self.random = random.Random(seed)
        self.changes = [op for op in log.ops if op.kind in CHANGES]
        self.flushes = collections.defaultdict(list)
        for op in log.ops:
            if op.kind == "fsync" and op.end != NEVER and not deaf:
                self.flushes[op.file].append(op)
        self.name_ops = self._find_name_ops()
        self._durable_at = [self._settled(op, op.file) for op in self.changes]
        self._name_durable_at = [self._settled(op, op.folder) for op in self.name_ops]

    def _find_name_ops(self):
        found, known = [], set(self.names)
        folders = {}
        for op in self.log.ops:
            if op.kind == "open" and op.flags & os.O_CREAT:
                if op.flags & os.O_TRUNC and op.paths[0] in known:
                    raise NotImplementedError("O_TRUNC of a file that is there")
                if op.paths[0] in known:
                    continue
            elif op.kind == "open":
                folders[op.paths[0]] = op.file
                continue
            elif op.kind not in NAMES:
                continue
            if op.kind in ("rename", "unlink"):
                known.discard(op.paths[0])
            if op.kind != "unlink":
                known.add(op.paths[-1])
            found.append(op)
        for op in found:
            op.folder = folders.get(os.path.dirname(op.paths[-1]))
        return found

    def _settled(self, op, file):
        """The place in the log from which on `op` is there for certain."""
        places = [flush.end for flush in self.flushes[file] if flush.begin > op.end]
        return min(places, default=NEVER)

    # --- the moments ---

    def moments(self):
        """Where most is uncertain: just before a flush ends, and at the end."""
        ends = [op.end for flushes in self.flushes.values() for op in flushes]
        return sorted({*ends, self.log.length})

    def pending(self, moment):
        return [op for op, durable in zip(self.changes, self._durable_at)
                if op.begin < moment <= durable]

    def durable_files(self, moment):
        files = {file: bytearray(data) for file, data in self.files.items()}
        for op, durable in zip(self.changes, self._durable_at):
            if durable < moment:
                apply(files.setdefault(op.file, bytearray()), op)
        return files

    def names_at(self, moment):
        """Every set of names that may be there: the certain changes, and some first others."""
        certain = max((index + 1 for index, durable in enumerate(self._name_durable_at)
                       if durable < moment), default=0)
        begun = sum(op.begin < moment for op in self.name_ops)
        for count in range(certain, max(certain, begun) + 1):
            yield self._names_after(count)

    def _names_after(self, count):
        names = dict(self.names)
        for op in self.name_ops[:count]:
            first, last = op.paths[0], op.paths[-1]
            if op.kind == "open":
                names[first] = op.file
            elif op.kind == "unlink":
                names.pop(first, None)
            else:
                names[last] = names.pop(first) if op.kind == "rename" else names[first]
        return names

    # --- the states ---

    def choices(self, ops, samples):
        """Which of the pending ops are there: a list of None (not), True, or sectors, for each."""
        count = len(ops)
        if count <= 7:
            for bits in range(1 << count):
                yield [bool(bits >> index & 1) or None for index in range(count)]
        else:
            for index in range(count + 1):
                yield [True] * index + [None] * (count - index)
            for index in range(count):
                yield [None] * index + [True] + [None] * (count - index - 1)
                yield [True] * index + [None] + [True] * (count - index - 1)
        yield from self._torn_prefixes(ops, samples)
        for _ in range(samples if count else 0):
            yield [self._some(op) for op in ops]

    def _torn_prefixes(self, ops, samples):
        """All before one write are there, and of it some first or some last sectors."""
        places = [(index, cut) for index, op in enumerate(ops) if op.kind in ("write", "pwrite")
                  for cut in range(1, -(-op.length // SECTOR))]
        for index, cut in places if len(places) <= samples else self.random.sample(places, samples):
            rest = [None] * (len(ops) - index - 1)
            yield [True] * index + [range(cut)] + rest
            yield [True] * index + [range(cut, -(-ops[index].length // SECTOR))] + rest

    def _some(self, op):
        """There, not there, or in part; in single sectors, or pieces of 4096."""
        dice = self.random.random()
        if dice < 0.3:
            return None
        if dice < 0.6 or op.kind not in ("write", "pwrite"):
            return True
        step = self.random.choice((1, 8))
        sectors = range(-(-op.length // SECTOR))
        return [sector for first in sectors[::step] if self.random.random() < 0.5
                for sector in sectors[first:first + step]]

    def crashes(self, samples):
        for moment in self.moments():
            ops = self.pending(moment)
            durable = self.durable_files(moment)
            names = list(self.names_at(moment))
            for choice in self.choices(ops, samples):
                changes = [(op, None if what is True else what, self.random.random() < 0.8)
                           for op, what in zip(ops, choice) if what is not None]
                for some in names:
                    yield Crash(durable, changes, some, f"{moment} of {self.log.length}")
        yield Crash(self.durable_files(NEVER), [], next(self.names_at(self.log.length + 1)),
                    "after the end", ended=True)
