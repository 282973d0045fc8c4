/* Outliving the launch: each leaves a process, and says which. */
#include "probe.h"

#include <pthread.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>

static _Noreturn void live_on(int report)
{
	pid_t self = getpid();

	alarm(0);
	sure(write(report, &self, sizeof self), "write");
	close(report);
	for (int descriptor = 0; descriptor < 3; descriptor++)
		close(descriptor);
	for (;;)
		pause();
}

static void ignore_all(void)
{
	for (int one = 1; one < 65; one++)
		signal(one, SIG_IGN);
}

static void *linger(void *nothing)
{
	live_on((int)(intptr_t)nothing);
}

/* survive HOW */
static void survive(char **argument)
{
	const char *how = argument[0];
	int report[2];
	pid_t survivor;
	long child;

	sure(pipe(report), "pipe");
	if (strcmp(how, "subreaper") == 0)
		sure(prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0), "subreaper");
	if (strcmp(how, "sibling") == 0)
		child = syscall(SYS_clone, (long)(CLONE_PARENT | SIGCHLD), 0L, 0L, 0L, 0L);
	else if (strcmp(how, "silent") == 0)
		child = syscall(SYS_clone, 0L, 0L, 0L, 0L, 0L); /* it ends without a signal to anybody */
	else if (strcmp(how, "untraced") == 0)
		child = syscall(SYS_clone, (long)(CLONE_UNTRACED | SIGCHLD), 0L, 0L, 0L, 0L);
	else
		child = fork();
	if (sure(child, "fork") == 0) {
		close(report[0]);
		if (strcmp(how, "session") == 0 || strcmp(how, "daemon") == 0 || strcmp(how, "subreaper") == 0)
			sure(setsid(), "setsid");
		if (strcmp(how, "daemon") == 0 || strcmp(how, "subreaper") == 0)
			if (sure(fork(), "fork") != 0)
				_exit(0);
		if (strcmp(how, "group") == 0)
			sure(setpgid(0, 0), "setpgid");
		if (strcmp(how, "deaf") == 0)
			ignore_all();
		if (strcmp(how, "hidden") == 0)
			sure(prctl(PR_SET_DUMPABLE, 0, 0, 0, 0), "undumpable");
		if (strcmp(how, "thread") == 0) { /* its first thread is gone, and it looks like a zombie */
			pthread_t thread;

			if (pthread_create(&thread, NULL, linger, (void *)(intptr_t)report[1]) != 0)
				broken("pthread_create");
			pthread_exit(NULL);
		}
		if (strcmp(how, "vfork") == 0) { /* its parent cannot run before it ends */
			close(0), close(1), close(2);
			if (vfork() == 0)
				live_on(report[1]);
			_exit(0);
		}
		if (strcmp(how, "stopped") == 0) {
			survivor = getpid();
			sure(write(report[1], &survivor, sizeof survivor), "write");
			close(report[1]);
			close(0), close(1), close(2);
			alarm(0);
			raise(SIGSTOP);
			for (;;)
				pause();
		}
		live_on(report[1]);
	}
	close(report[1]);
	if (read(report[0], &survivor, sizeof survivor) != sizeof survivor)
		broken("nobody survived");
	printf("survivor %d\n", survivor);
	fflush(stdout);
	_exit(0);
}

const struct probe surviving_probes[] = {
	{ "survive", 1, survive },
	{ NULL, 0, NULL },
};
