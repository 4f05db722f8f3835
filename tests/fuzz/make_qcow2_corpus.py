#!/usr/bin/env python3
"""Makes tests/fuzz/corpus/qcow2: small images of every kind, by qemu-img and qemu-io.

    tests/fuzz/make_qcow2_corpus.py

The images have 512-byte clusters where the kind allows it, so each takes a few KiB.
"""
import pathlib
import subprocess

CORPUS = pathlib.Path(__file__).resolve().parent / "corpus" / "qcow2"
WRITES = ["write -P 1 0 512", "write -z 1024 512", "write -c -P 2 2048 512", "write -P 3 9000 100"]
SUBCLUSTERS = ["write -P 1 512 512", "write -z 2048 512", "write -c -P 2 32768 16384"]
KINDS = {
    "v2": ("compat=0.10,cluster_size=512", [c for c in WRITES if "-z" not in c]),
    "zlib": ("cluster_size=512", WRITES),
    "zstd": ("cluster_size=512,compression_type=zstd", WRITES),
    "refcount1": ("cluster_size=512,refcount_bits=1", WRITES[:1]),
    "refcount64": ("cluster_size=512,refcount_bits=64", WRITES),
    "lazy": ("cluster_size=512,lazy_refcounts=on", WRITES),
    "preallocated": ("cluster_size=512,preallocation=metadata", []),
    "subclusters": ("cluster_size=16k,extended_l2=on", SUBCLUSTERS),
}


def run(*args):
    subprocess.run([str(arg) for arg in args], check=True, stdout=subprocess.DEVNULL)


def make(name, options, commands, size="48k"):
    path = CORPUS / name
    path.unlink(missing_ok=True)
    run("qemu-img", "create", "-q", "-f", "qcow2", "-o", options, path, size)
    for command in commands:
        run("qemu-io", "-f", "qcow2", "-c", command, path)
    return path


def main():
    CORPUS.mkdir(parents=True, exist_ok=True)
    for name, (options, commands) in KINDS.items():
        make(name, options, commands, "4k" if name == "preallocated" else "48k")
    path = make("snapshots", "cluster_size=512", WRITES)
    run("qemu-img", "snapshot", "-c", "one", path)
    run("qemu-io", "-f", "qcow2", "-c", "write -P 9 0 1024", path)
    path = make("bitmaps", "cluster_size=512", WRITES)
    run("qemu-img", "bitmap", "--add", path, "daily")
    path = make("backing", "cluster_size=512", WRITES)
    run("qemu-img", "rebase", "-u", "-b", "base.img", "-F", "raw", path)


if __name__ == "__main__":
    main()
