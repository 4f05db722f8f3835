"""All that imgtool is asked to do while its system calls, or the power, fail."""
import os

from burns import BurnDisk, BurnOver
from chains import Commit, Rebase
from held import (AttachedBurn, AttachedConvert, AttachedResize, LockedBurn, LockedConvert,
                  LockedRepair, LockedResize)
from in_place import (Amend, Bitmap, Repair, RepairRebuild, RepairSnapshots, ResizeGrow,
                      ResizeGrowAfterCut, ResizeRaw, ResizeShrink, SnapshotApply, SnapshotCreate, SnapshotDelete)
from new_files import (BurnNew, Capture, CaptureCompressed, ConvertFromGz, ConvertFromXz,
                       ConvertFromZst, ConvertInPlace, ConvertToQcow2, ConvertToQcow2Compressed,
                       ConvertToRaw, ConvertToVdi, ConvertToVhd, ConvertToVhdx, ConvertToVmdk,
                       ConvertToZst, ConvertWithoutRenameat2, ReplaceQcow2)
from reading import CompareDifferent, Hash, VerifyDifferent
from resumable import BurnHalfDone, BurnResumable, CaptureHalfDone, CaptureResumable

ALL = (BurnOver, BurnNew, BurnDisk, Capture, CaptureCompressed, ConvertToRaw, ConvertFromGz,
       ConvertFromXz, ConvertFromZst, ConvertInPlace,
       ConvertToQcow2, ConvertToQcow2Compressed, ReplaceQcow2, ConvertToZst, ConvertToVmdk,
       ConvertToVhd, ConvertToVdi, ConvertToVhdx,
       ConvertWithoutRenameat2, ResizeGrow, ResizeShrink, ResizeGrowAfterCut, ResizeRaw, Repair,
       RepairRebuild, RepairSnapshots, SnapshotCreate, SnapshotApply, SnapshotDelete, Bitmap, Amend,
       Commit, Rebase,
       CaptureResumable, CaptureHalfDone, BurnResumable,
       BurnHalfDone, LockedConvert, LockedBurn, LockedResize, LockedRepair, AttachedBurn,
       AttachedConvert, AttachedResize, Hash, VerifyDifferent,
       CompareDifferent)


def all_scenarios(judge):
    return [kind(judge) for kind in ALL if not kind.needs_root or os.geteuid() == 0]
