"""What all scenarios have: a folder that is prepared, a command line, and a verdict on what is there
afterwards.
"""
import shutil

from preloaded import KINDS

DISK = "/dev"  # the name of a place's disk
SMALL = ["--chunk=64K", "--depth=3"]  # few and small buffers: a run takes milliseconds


class Scenario:
    name = ""
    exit_codes = (0, 1, 3, 4, 5)
    needs_root = False
    always = None  # a fault that is there in every run
    kinds = KINDS  # the calls that fail
    system = False  # also those that are about other files than the job's
    verifies = False  # it notices writes that were lost
    keeps_partial = False  # a failed run leaves what --resume goes on with

    def __init__(self, judge):
        self.judge = judge
        self.files = {}  # what the folder holds before, by name
        self.sources = []  # the names among these that must stay as they are
        self.make()

    @property
    def results(self):
        """The names of what it writes."""
        raise NotImplementedError

    def make(self):
        raise NotImplementedError

    def args(self, place):
        """The command line, in the folder `place.folder`."""
        raise NotImplementedError

    def fault_in(self, there, code):
        """What is wrong with what a run left that ended with `code`; None where nothing is.
        there(name) gives the content of a file, or None. A power failure is a run that failed."""
        raise NotImplementedError

    def prepare(self, place):
        shutil.rmtree(place.folder, ignore_errors=True)
        place.folder.mkdir()
        for name, data in self.files.items():
            (place.folder / name).write_bytes(data)

    def verdict(self, place, run, plan=None):
        if run.code is None:
            return "hangs"
        if run.code < 0 or run.code > 128:
            return f"dies of a signal, exit {run.code}"
        if run.code not in self.exit_codes:
            return f"strange exit code {run.code}"
        speaks = plan is None or plan.about == "job"
        if run.code != 0 and speaks and not (run.err + run.out).strip():
            return "fails without a word"
        for name in self.sources:
            path = place.folder / name
            if not path.exists() or path.read_bytes() != self.files[name]:
                return f"the source {name} is lost or changed"
        fault = self.fault_in(place.content, run.code)
        # Where it cannot be told whose the file is, it stays.
        helpless = plan and (plan.kind == "unlink" or (plan.kind == "stat" and plan.sticky))
        if fault is None and not helpless and (run.code == 0 or not self.keeps_partial):
            left = list(place.folder.glob("*.imgtool-partial"))
            if left:
                return f"leaves {left[0].name}"
        return fault


class Place:
    """Where one run at a time works: a folder, and a disk where there is one."""

    def __init__(self, folder, disk=None, disk_file=None):
        self.folder = folder
        self.disk = disk
        self.disk_file = disk_file
        self.held = None  # a file whose locks another program has
        self.mapfile = None  # as imgtool writes it here

    def content(self, name):
        path = self.disk_file if name == DISK else self.folder / name
        return path.read_bytes() if path.exists() else None
