#!/usr/bin/env python3
"""Whether each file includes, itself or by headers of ours, the header of what it names.

Headers of the standard library and of fmt are precompiled, so that the compiler cannot tell.
Prints a line for each name that comes from nowhere, and exits with 1 then.
"""
import functools
import pathlib
import re
import sys

ROOMS = ("io", "formats", "imgtool")
# A name, and the headers that give it: the one of its own first.
GIVEN_BY = {
    r"std::(sort|min|max|clamp|copy|fill|find|find_if|any_of|all_of|none_of|equal|max_element|"
    r"min_element|lower_bound|upper_bound|reverse|unique|remove_if|partition_point|search|count_if|"
    r"transform|mismatch|fill_n|copy_n|ranges::\w+)\b": ("algorithm",),
    r"std::array\b": ("array",),
    r"std::atomic\b": ("atomic",),
    r"std::(bit_ceil|bit_floor|bit_width|has_single_bit|countr_zero|countl_zero|popcount|endian|"
    r"rotl|bit_cast)\b": ("bit",),
    r"std::(from_chars|to_chars)\b": ("charconv",),
    r"std::chrono::": ("chrono", "thread"),
    r"std::coroutine_handle\b": ("coroutine",),
    r"std::(byte|size_t|ptrdiff_t)\b": ("cstddef", "span", "vector", "string", "array", "cstdint",
                                        "memory"),
    r"std::u?int(8|16|32|64)_t\b": ("cstdint",),
    r"std::(memcpy|memcmp|memset|memchr|strlen|strerror)\b": ("cstring",),
    r"std::filesystem::": ("filesystem",),
    r"std::function\b": ("functional",),
    r"std::(map|multimap)\b": ("map",),
    r"std::(unique_ptr|shared_ptr|make_unique|make_shared|weak_ptr)\b": ("memory",),
    r"std::(mutex|lock_guard|scoped_lock|unique_lock)\b": ("mutex", "condition_variable"),
    r"std::(optional|nullopt)\b": ("optional",),
    r"std::set\b": ("set",),
    r"std::span\b": ("span",),
    r"std::(string|to_string)\b": ("string",),
    r"std::string_view\b": ("string_view", "string"),
    r"std::(exchange|pair|move|forward)\b": ("utility", "map", "memory", "vector", "string",
                                             "algorithm", "optional", "functional"),
    r"std::vector\b": ("vector",),
    r"fmt::": ("fmt/format.h", "fmt/format-inl.h"),
}
COMMENT_OR_TEXT = re.compile(r'//[^\n]*|"(?:[^"\\\n]|\\.)*"')
INCLUDE = re.compile(r'^ *# *include *[<"]([^>"]+)[>"]', re.MULTILINE)


@functools.cache
def included(path):
    """All headers that `path` (of ours, relative to the root) brings."""
    found = set()
    for name in INCLUDE.findall(pathlib.Path(path).read_text()):
        found.add(name)
        if name.startswith(tuple(room + "/" for room in ROOMS)) and pathlib.Path(name).exists():
            found |= included(name)
    return found


def missing(path):
    code = COMMENT_OR_TEXT.sub("", path.read_text())
    for name, headers in GIVEN_BY.items():
        use = re.search(name, code)
        if use and not included(str(path)).intersection(headers):
            line = code.count("\n", 0, use.start()) + 1
            yield f"{path}:{line}: {use.group()} without #include <{headers[0]}>"


def main():
    lines = [line for room in ROOMS for path in sorted(pathlib.Path(room).rglob("*.[ch]pp"))
             for line in missing(path)]
    print("\n".join(lines), end="\n" if lines else "")
    return 1 if lines else 0


if __name__ == "__main__":
    sys.exit(main())
