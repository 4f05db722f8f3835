"""Side-by-side timing of programs on real block devices.

contest   what a case, a contender and a goal are
testbed  images, loop devices, tmpfs; made on request, always cleaned up
stopwatch one timed run: wall, CPU, peak memory, bytes read
runner    interleaved rounds of one case
goals     the promises a case is held to
report    the table and the JSON
"""
