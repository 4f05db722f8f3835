"""The free blocks of an ext file system as e2fsprogs' own library sees them, by ctypes.

libext2fs is in the package of mkfs.ext4. It takes a file system for what it says: no journal is
replayed, and no doubt is had.
"""
import ctypes

_FLAGS = 0x20000 | 0x8000 | 0x100000  # 64BITS, SOFTSUPP_FEATURES, SKIP_MMP
# In struct struct_ext2_filsys, which belongs to the ABI of libext2fs.so.2 on 64-bit machines.
_SUPER, _BLOCK_SIZE, _BLOCK_MAP = 32, 40, 88


def free_ranges(image):
    """[offset, length] in bytes, ascending."""
    library = ctypes.CDLL("libext2fs.so.2")
    manager = ctypes.c_void_p.in_dll(library, "unix_io_manager")
    fs = ctypes.c_void_p()
    _check(library.ext2fs_open2(str(image).encode(), None, _FLAGS, 0, 0, manager,
                                ctypes.byref(fs)))
    try:
        _check(library.ext2fs_read_block_bitmap(fs))
        bitmap = ctypes.c_void_p.from_address(fs.value + _BLOCK_MAP)
        block_size = ctypes.c_uint.from_address(fs.value + _BLOCK_SIZE).value
        superblock = ctypes.c_void_p.from_address(fs.value + _SUPER).value
        library.ext2fs_blocks_count.restype = ctypes.c_uint64
        end = library.ext2fs_blocks_count(ctypes.c_void_p(superblock))
        first = ctypes.c_uint32.from_address(superblock + 0x14).value
        return [[begin * block_size, (stop - begin) * block_size]
                for begin, stop in _clear_runs(library, bitmap, first, end)]
    finally:
        library.ext2fs_close_free(ctypes.byref(fs))


def _clear_runs(library, bitmap, at, end):
    found = ctypes.c_uint64()

    def next_block(function, start):
        error = function(bitmap, ctypes.c_uint64(start), ctypes.c_uint64(end - 1),
                         ctypes.byref(found))
        return end if error else found.value

    while at < end:
        begin = next_block(library.ext2fs_find_first_zero_block_bitmap2, at)
        if begin >= end:
            return
        at = next_block(library.ext2fs_find_first_set_block_bitmap2, begin) if begin < end else end
        yield begin, at


def _check(error):
    if error:
        raise AssertionError(f"libext2fs: error {error}")
