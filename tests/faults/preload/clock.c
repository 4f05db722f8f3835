// Time runs $FAULTS_SPEED times as fast: what happens every some seconds comes within milliseconds.
//
// Waits on condition variables follow that clock. io_uring's do not, and take as long as they say.
#include <dlfcn.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <time.h>

#include <sys/syscall.h>

#include "calls.h"

static int64_t nanoseconds(const struct timespec* time) {
  return time->tv_sec * 1000000000LL + time->tv_nsec;
}

static int64_t speed;
static int64_t start_ns;
static int (*real_wait)(pthread_cond_t*, pthread_mutex_t*, clockid_t, const struct timespec*);

__attribute__((constructor)) static void start_clock(void) {
  const char* text = getenv("FAULTS_SPEED");
  struct timespec now;
  kernel(SYS_clock_gettime, CLOCK_MONOTONIC, (long)&now, 0, 0, 0, 0);
  start_ns = nanoseconds(&now);
  speed = text == NULL ? 1 : atoi(text);
  *(void**)&real_wait = dlsym(RTLD_NEXT, "pthread_cond_clockwait");
}

static struct timespec time_of(int64_t ns) {
  return (struct timespec){.tv_sec = ns / 1000000000, .tv_nsec = ns % 1000000000};
}

// These two in the place of the C library's.

__attribute__((visibility("default"))) int clock_gettime(clockid_t clock, struct timespec* time) {
  if (kernel(SYS_clock_gettime, clock, (long)time, 0, 0, 0, 0) != 0) return -1;
  if (speed <= 1 || clock != CLOCK_MONOTONIC) return 0;
  *time = time_of(start_ns + (nanoseconds(time) - start_ns) * speed);
  return 0;
}

__attribute__((visibility("default"))) int pthread_cond_clockwait(pthread_cond_t* condition,
                                                                  pthread_mutex_t* mutex,
                                                                  clockid_t clock,
                                                                  const struct timespec* until) {
  if (speed <= 1 || clock != CLOCK_MONOTONIC) return real_wait(condition, mutex, clock, until);
  const struct timespec real = time_of(start_ns + (nanoseconds(until) - start_ns) / speed);
  return real_wait(condition, mutex, clock, &real);
}
