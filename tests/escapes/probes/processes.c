/* Other processes: their signals, limits, priorities, and being their tracer. */
#include "probe.h"

#include <poll.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>

/* kill HOW PID PATIENCE: end it, and see that it has ended. */
static void end_it(char **argument)
{
	const char *how = argument[0];
	pid_t victim = number(argument[1]);
	siginfo_t info = { .si_signo = SIGKILL, .si_code = SI_QUEUE };

	if (strcmp(how, "kill") == 0)
		must(kill(victim, SIGKILL), how);
	else if (strcmp(how, "group") == 0)
		must(kill(-victim, SIGKILL), how);
	else if (strcmp(how, "tkill") == 0)
		must(syscall(SYS_tkill, victim, SIGKILL), how);
	else if (strcmp(how, "tgkill") == 0)
		must(syscall(SYS_tgkill, victim, victim, SIGKILL), how);
	else if (strcmp(how, "sigqueue") == 0)
		must(syscall(SYS_rt_sigqueueinfo, victim, SIGKILL, &info), how);
	else if (strcmp(how, "tgsigqueue") == 0)
		must(syscall(SYS_rt_tgsigqueueinfo, victim, victim, SIGKILL, &info), how);
	else if (strcmp(how, "pidfd") == 0 || strcmp(how, "pidfd-group") == 0) {
		int descriptor = sure(syscall(SYS_pidfd_open, victim, 0), "pidfd_open");
		unsigned group = strcmp(how, "pidfd-group") == 0 ? 1 << 2 : 0; /* PIDFD_SIGNAL_PROCESS_GROUP */

		must(syscall(SYS_pidfd_send_signal, descriptor, SIGKILL, NULL, group), how);
	} else if (strcmp(how, "proc-pidfd") == 0) {
		char path[64];
		int descriptor;

		snprintf(path, sizeof path, "/proc/%d", victim);
		descriptor = sure(open(path, O_DIRECTORY | O_RDONLY), "open of a directory of /proc");
		must(syscall(SYS_pidfd_send_signal, descriptor, SIGKILL, NULL, 0), how);
	} else
		broken(how);
	await_end(victim, argument[2]);
}

/* owner HOW PID DIRECTORY PATIENCE: have the kernel send the signal, as to the owner of a descriptor. */
static void own(char **argument)
{
	const char *how = argument[0];
	pid_t victim = number(argument[1]);
	int pair[2], descriptor;

	if (strcmp(how, "dnotify") == 0 || strcmp(how, "lease") == 0) {
		char path[4096];

		snprintf(path, sizeof path, "%s/noticed-%d", argument[2], getpid());
		close(sure(open(path, O_CREAT | O_WRONLY, 0600), "making a file"));
		descriptor = sure(open(how[0] == 'd' ? argument[2] : path, O_RDONLY), "opening it");
		must(fcntl(descriptor, F_SETOWN, victim), "F_SETOWN");
		sure(fcntl(descriptor, F_SETSIG, SIGKILL), "F_SETSIG");
		if (how[0] == 'd') {
			must(fcntl(descriptor, F_NOTIFY, DN_CREATE | DN_DELETE), "F_NOTIFY");
			unlink(path);
		} else {
			must(fcntl(descriptor, F_SETLEASE, F_RDLCK), "F_SETLEASE");
			open(path, O_WRONLY | O_NONBLOCK);
			unlink(path);
		}
		await_end(victim, argument[3]);
		return;
	}
	sure(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), "socketpair");
	descriptor = pair[0];
	if (strcmp(how, "process") == 0)
		must(fcntl(descriptor, F_SETOWN, victim), how);
	else if (strcmp(how, "group") == 0)
		must(fcntl(descriptor, F_SETOWN, -victim), how);
	else if (strcmp(how, "thread") == 0 || strcmp(how, "extended-group") == 0) {
		struct f_owner_ex owner = { how[0] == 't' ? F_OWNER_TID : F_OWNER_PGRP, victim };

		must(fcntl(descriptor, F_SETOWN_EX, &owner), how);
	} else if (strcmp(how, "ioctl") == 0)
		must(ioctl(descriptor, 0x8901 /* FIOSETOWN */, &victim), how);
	else
		broken(how);
	sure(fcntl(descriptor, F_SETSIG, SIGKILL), "F_SETSIG");
	must(fcntl(descriptor, F_SETFL, O_ASYNC | O_NONBLOCK), "O_ASYNC");
	sure(write(pair[1], "x", 1), "write");
	await_end(victim, argument[3]);
}

/* trace HOW PID */
static void trace(char **argument)
{
	pid_t victim = number(argument[1]);

	if (strcmp(argument[0], "attach") == 0)
		must(ptrace(PTRACE_ATTACH, victim, 0, 0), "attach");
	else
		must(ptrace(PTRACE_SEIZE, victim, 0, 0), "seize");
}

/* Its grandparent is nono, its parent the monitor; outside, whoever runs the tests. */
static pid_t supervisor(const char *which)
{
	pid_t pid = getppid();
	char path[64], text[512] = "";
	int descriptor;

	if (strcmp(which, "monitor") == 0)
		return pid;
	snprintf(path, sizeof path, "/proc/%d/stat", pid);
	descriptor = sure(open(path, O_RDONLY), path);
	sure(read(descriptor, text, sizeof text - 1), path);
	if (strrchr(text, ')') == NULL || sscanf(strrchr(text, ')') + 4, "%d", &pid) != 1)
		broken(path);
	return pid;
}

/* supervisor WHICH HOW: what does it no harm outside, where it is the tests'. */
static void reach_supervisor(char **argument)
{
	pid_t pid = supervisor(argument[0]);
	const char *how = argument[1];
	struct rlimit64 limit;
	struct sched_param parameter = { 0 };
	cpu_set_t mask;
	char path[64];

	if (strcmp(how, "signal") == 0)
		must(kill(pid, 0), how);
	else if (strcmp(how, "continue") == 0)
		must(kill(pid, SIGCONT), how);
	else if (strcmp(how, "limit") == 0) {
		must(syscall(SYS_prlimit64, pid, RLIMIT_FSIZE, NULL, &limit), how);
		must(syscall(SYS_prlimit64, pid, RLIMIT_FSIZE, &limit, NULL), how);
	} else if (strcmp(how, "priority") == 0)
		must(setpriority(PRIO_PROCESS, pid, getpriority(PRIO_PROCESS, pid)), how);
	else if (strcmp(how, "scheduler") == 0)
		must(syscall(SYS_sched_setscheduler, pid, SCHED_OTHER, &parameter), how);
	else if (strcmp(how, "affinity") == 0) {
		sure(sched_getaffinity(pid, sizeof mask, &mask), "sched_getaffinity");
		must(sched_setaffinity(pid, sizeof mask, &mask), how);
	} else if (strcmp(how, "descriptor") == 0)
		must(syscall(SYS_pidfd_getfd, sure(syscall(SYS_pidfd_open, pid, 0), "pidfd_open"), 1, 0), how);
	else {
		snprintf(path, sizeof path, "/proc/%d/%s", pid, how);
		must(open(path, O_RDONLY), how);
	}
}

/* limit NAME PID */
static void limit(char **argument)
{
	struct rlimit64 limit = { 0, 4096 }, was;
	pid_t victim = number(argument[1]);
	int resource = number(argument[0]);

	must(syscall(SYS_prlimit64, victim, resource, NULL, &was), "reading it");
	limit.rlim_max = was.rlim_max;
	must(syscall(SYS_prlimit64, victim, resource, &limit, NULL), "setting it");
}

/* read-limit PID */
static void read_limit(char **argument)
{
	struct rlimit64 was;

	must(syscall(SYS_prlimit64, number(argument[0]), RLIMIT_NOFILE, NULL, &was), "reading it");
}

/* slow-down HOW PID */
static void slow_down(char **argument)
{
	const char *how = argument[0];
	pid_t victim = number(argument[1]);
	struct sched_param parameter = { 0 };
	struct {
		uint32_t size, policy;
		uint64_t flags;
		int32_t nice;
		uint32_t priority;
		uint64_t runtime, deadline, period;
	} attributes = { 48, SCHED_BATCH, 0, 0, 0, 0, 0, 0 };
	cpu_set_t mask;

	if (strcmp(how, "nice") == 0)
		must(setpriority(PRIO_PROCESS, victim, 19), how);
	else if (strcmp(how, "nice-group") == 0)
		must(setpriority(PRIO_PGRP, victim, 19), how);
	else if (strcmp(how, "io") == 0)
		must(syscall(SYS_ioprio_set, 1, victim, 3 << 13), how);
	else if (strcmp(how, "io-group") == 0)
		must(syscall(SYS_ioprio_set, 2, victim, 3 << 13), how);
	else if (strcmp(how, "scheduler") == 0)
		must(syscall(SYS_sched_setscheduler, victim, SCHED_BATCH, &parameter), how);
	else if (strcmp(how, "parameter") == 0)
		must(syscall(SYS_sched_setparam, victim, &parameter), how);
	else if (strcmp(how, "attributes") == 0)
		must(syscall(SYS_sched_setattr, victim, &attributes, 0), how);
	else if (strcmp(how, "affinity") == 0) {
		sure(sched_getaffinity(victim, sizeof mask, &mask), "sched_getaffinity");
		must(sched_setaffinity(victim, sizeof mask, &mask), how);
	} else
		broken(how);
}

const struct probe process_probes[] = {
	{ "end", 3, end_it },
	{ "owner", 4, own },
	{ "trace", 2, trace },
	{ "supervisor", 2, reach_supervisor },
	{ "limit", 2, limit },
	{ "read-limit", 1, read_limit },
	{ "slow-down", 2, slow_down },
	{ NULL, 0, NULL },
};
