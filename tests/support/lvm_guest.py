"""Thin pools of LVM as a kernel writes them: a Linux guest with device-mapper and LVM's programs,
since the machine that the tests run on may have none.

    out = run_lvm_guest(test, disk, "lvm vgs; ...")      # a script of busybox's shell; disk is vda

The script's output comes back. It must end within five minutes.
"""
from imgtool_testing import requires
from linux_guest import requires_linux_guest, run_guest

PROGRAMS = ("lvm", "dmsetup", "mkfs.ext4", "e2fsck", "mkswap", "thin_check")
MODULES = ("ext4", "dm-mod", "dm-thin-pool", "dm-snapshot")

SETTINGS = r"""
export DM_DISABLE_UDEV=1 LVM_SUPPRESS_FD_WARNINGS=1
mkdir -p /etc/lvm
cat > /etc/lvm/lvm.conf <<END
activation { udev_sync=0 udev_rules=0 monitoring=0 thin_pool_autoextend_threshold=90 }
devices { use_devicesfile=0 }
backup { backup=0 archive=0 }
global { event_activation=0 thin_check_executable="" }
END
"""


def requires_lvm_guest(test):
    return requires("qemu-system-x86_64", "ldd", *PROGRAMS)(requires_linux_guest(test))


def run_lvm_guest(test, disk, script):
    return run_guest(test, [disk], SETTINGS + script, MODULES, PROGRAMS)
