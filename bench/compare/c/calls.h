/*
 * What the C programs that measure calls share: commands from the input, one line of JSON for each to the output, as
 * calls-child.mjs describes. Each program gives calls_for and connect_for.
 */
#ifndef CALLS_H
#define CALLS_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#define BUS_NAME "org.freedesktop.DBus"
#define BUS_PATH "/org/freedesktop/DBus"

struct measured {
  uint64_t count;
  uint64_t wall_ns;
};

/* Calls GetId with `window` calls in flight until `time_ns` have passed. */
static uint64_t calls_for(uint64_t window, uint64_t time_ns);
/* Connects, says Hello and calls GetId once, again and again until `time_ns` have passed; the time is without the closing. */
static struct measured connect_for(const char *address, uint64_t time_ns);

static uint64_t now_ns(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

static uint64_t cpu_ns(void) {
  struct rusage usage;
  getrusage(RUSAGE_SELF, &usage);
  uint64_t seconds = (uint64_t)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec);
  return seconds * 1000000000u + (uint64_t)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) * 1000u;
}

static void die(const char *what) {
  fprintf(stderr, "%s\n", what);
  exit(1);
}

static void check_id(const char *id) {
  if (id == NULL || strlen(id) != 32 || strspn(id, "0123456789abcdef") != 32) die("the reply holds no id");
}

static void serve(const char *address) {
  char line[128];
  while (fgets(line, sizeof line, stdin) != NULL) {
    unsigned long long window;
    unsigned long long time_ms;
    uint64_t cpu = cpu_ns();
    uint64_t start = now_ns();
    struct measured result;
    if (sscanf(line, "calls %llu %llu", &window, &time_ms) == 2) {
      result.count = calls_for(window, time_ms * 1000000u);
      result.wall_ns = now_ns() - start;
    } else if (sscanf(line, "connect %llu", &time_ms) == 1) {
      result = connect_for(address, time_ms * 1000000u);
    } else {
      die("unknown command");
    }
    printf("{\"count\":%llu,\"wall\":%llu,\"cpu\":%llu}\n", (unsigned long long)result.count,
           (unsigned long long)result.wall_ns, (unsigned long long)(cpu_ns() - cpu));
    fflush(stdout);
  }
}

#endif
