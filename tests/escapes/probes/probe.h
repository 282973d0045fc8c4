/* What the probes share. A probe is one way out: it returns when it got out, and says so otherwise.
 *
 * Exit codes, which the tests read: 0 it worked; 20 a call was refused (the errno stands on standard output);
 * 21 every call was allowed, and nothing came of it; 99 the probe itself is broken. */
#ifndef PROBE_H
#define PROBE_H

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

struct probe {
	const char *name;
	int least; /* arguments that it needs */
	void (*go)(char **argument);
};

/* Each file ends its table with an entry without a name. */
extern const struct probe process_probes[], memory_probes[], file_probes[], kernel_probes[], network_probes[],
	execution_probes[], surviving_probes[];

/* What is read outside of the grants to show that a way led there. */
#define SECRET "of-the-outside"

_Noreturn void refused(const char *step);
_Noreturn void in_vain(const char *why);
_Noreturn void broken(const char *why);

/* The result of a call, unless it was refused. */
long must(long result, const char *step);

/* The same for what no sandbox refuses: a failure is the probe's own fault. */
long sure(long result, const char *step);

/* Read the secret through a descriptor, or by a path. */
void read_secret(int descriptor);
void read_secret_at(const char *path);

/* See the name of an entry. */
void list_directory(const char *path);

/* Wait until a process is a zombie or gone, for as many milliseconds as the tests have patience here. */
void await_end(pid_t victim, const char *patience);

long number(const char *text);
void run_probe(char **argument);

#endif
