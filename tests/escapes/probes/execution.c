/* Other ways to run a program. What is run stays in the sandbox: it goes for the secret, or becomes root. */
#include "probe.h"

#include <sys/mman.h>
#include <sys/sendfile.h>

extern char **environ;

static int copy_of_self(int target)
{
	int self = sure(open("/proc/self/exe", O_RDONLY), "/proc/self/exe");
	struct stat status;

	sure(fstat(self, &status), "fstat");
	for (off_t done = 0; done < status.st_size;)
		sure(sendfile(target, self, &done, status.st_size - done), "sendfile");
	close(self);
	return target;
}

/* memfd PROBE...: a program that is in no file. */
static void memfd(char **argument)
{
	int descriptor = copy_of_self(sure(memfd_create("x", MFD_CLOEXEC), "memfd_create"));
	char *given[16] = { "probes" };

	for (int index = 0; index < 14 && argument[index] != NULL; index++)
		given[index + 1] = argument[index];
	must(execveat(descriptor, "", given, environ, AT_EMPTY_PATH), "execveat");
}

/* copy DIRECTORY PROBE...: a copy in a grant for writing. */
static void copied(char **argument)
{
	char path[4096];
	char *given[16] = { "probes" };

	snprintf(path, sizeof path, "%s/copy-%d", argument[0], getpid());
	close(copy_of_self(sure(open(path, O_CREAT | O_WRONLY, 0700), path)));
	for (int index = 0; index < 14 && argument[index + 1] != NULL; index++)
		given[index + 1] = argument[index + 1];
	must(execve(path, given, environ), "execve");
}

/* loader LOADER PROBE...: have the loader load it. */
static void loader(char **argument)
{
	char self[4096] = "";
	char *given[16] = { argument[0], self };

	sure(readlink("/proc/self/exe", self, sizeof self - 1), "readlink");
	for (int index = 0; index < 13 && argument[index + 1] != NULL; index++)
		given[index + 2] = argument[index + 1];
	must(execve(argument[0], given, environ), "execve");
}

/* mapped PROBE...: machine code that was written by the process itself. */
static void mapped(char **argument)
{
#if defined(__x86_64__)
	static const unsigned char code[] = { 0x48, 0x89, 0xf8, 0x48, 0x89, 0xf7, 0x48, 0x89, 0xd6, 0x0f, 0x05, 0xc3 };
	long (*open_it)(long, const char *, long);
	void *at = mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	long result;

	if (at == MAP_FAILED)
		refused("mmap");
	memcpy(at, code, sizeof code);
	memcpy(&open_it, &at, sizeof at);
	result = open_it(SYS_open, argument[0], O_RDONLY);
	if (result < 0) {
		errno = -result;
		refused("open");
	}
	read_secret(result);
#else
	read_secret_at(argument[0]);
#endif
}

/* shell SCRIPT: whatever a shell can do. */
static void shell(char **argument)
{
	must(execve("/bin/sh", (char *[]){ "sh", "-c", argument[0], NULL }, environ), "execve");
}

/* set-uid PROGRAM UID: a copy of this program that belongs to somebody else; it says whom it runs as. */
static void set_uid(char **argument)
{
	must(execve(argument[0], (char *[]){ argument[0], "am", argument[1], NULL }, environ), "execve");
}

static void am(char **argument)
{
	if (geteuid() != (uid_t)number(argument[0]))
		in_vain("it runs as who started it");
}

/* run-loader LOADER PROGRAM */
static void run_loader(char **argument)
{
	int status;
	pid_t pid = sure(fork(), "fork");

	if (pid == 0) {
		close(2);
		execve(argument[0], (char *[]){ argument[0], argument[1], NULL }, environ);
		_exit(126);
	}
	sure(waitpid(pid, &status, 0), "waitpid");
	if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
		in_vain("the loader did not load it");
}

/* run PATH: execute what lies outside of the grants. */
static void run(char **argument)
{
	must(execve(argument[0], (char *[]){ argument[0], NULL }, environ), "execve");
}

/* thread PROBE..., child PROBE...: what was restricted stays so in whatever it starts. */
static void child(char **argument)
{
	int status;
	pid_t pid = sure(fork(), "fork");

	if (pid == 0) {
		sure(setsid(), "setsid");
		if (sure(fork(), "fork") != 0) {
			wait(&status);
			_exit(WEXITSTATUS(status));
		}
		run_probe(argument);
		fflush(stdout);
		_exit(0);
	}
	sure(waitpid(pid, &status, 0), "waitpid");
	_exit(WEXITSTATUS(status));
}

const struct probe execution_probes[] = {
	{ "memfd", 1, memfd },
	{ "copy", 2, copied },
	{ "loader", 2, loader },
	{ "mapped", 1, mapped },
	{ "shell", 1, shell },
	{ "set-uid", 2, set_uid },
	{ "am", 1, am },
	{ "run-loader", 2, run_loader },
	{ "run", 1, run },
	{ "child", 1, child },
	{ NULL, 0, NULL },
};
