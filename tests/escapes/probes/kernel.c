/* The kernel itself: calls that nobody needs, other instruction sets, namespaces, rings, filters. */
#include "probe.h"

#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <sched.h>
#include <stddef.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/user.h>

/* call NUMBER ARGUMENT...: a number, a string after "@", or that many zero bytes after "&". */
static void call(char **argument)
{
	long word[6] = { 0 };

	for (int index = 0; index < 6 && argument[index + 1] != NULL; index++) {
		const char *given = argument[index + 1];

		if (*given == '@')
			word[index] = (long)(given + 1);
		else if (*given == '&')
			word[index] = (long)calloc(1, number(given + 1));
		else
			word[index] = number(given);
	}
	must(syscall(number(argument[0]), word[0], word[1], word[2], word[3], word[4], word[5]), "call");
}

/* clone-flags FLAGS */
static void clone_flags(char **argument)
{
	long pid = must(syscall(SYS_clone, number(argument[0]) | SIGCHLD, 0L, 0L, 0L, 0L), "clone");

	if (pid == 0)
		_exit(0);
	waitpid(pid, NULL, 0);
}

/* clone3 FLAGS */
static void clone_structure(char **argument)
{
	uint64_t given[8] = { number(argument[0]), 0, 0, 0, SIGCHLD };
	long pid = must(syscall(SYS_clone3, given, sizeof given), "clone3");

	if (pid == 0)
		_exit(0);
	waitpid(pid, NULL, 0);
}

/* mount-namespace DIRECTORY: change what a path means, for this process. */
static void mount_namespace(char **argument)
{
	must(unshare(CLONE_NEWNS), "unshare");
	must(mount("none", "/", NULL, MS_PRIVATE | MS_REC, NULL), "private");
	must(mount("tmpfs", argument[0], "tmpfs", 0, NULL), "mount");
}

/* user-namespace DIRECTORY: the same, by being root in a namespace of one's own. */
static void user_namespace(char **argument)
{
	must(unshare(CLONE_NEWUSER | CLONE_NEWNS), "unshare");
	must(mount("none", "/", NULL, MS_PRIVATE | MS_REC, NULL), "private");
	must(mount("tmpfs", argument[0], "tmpfs", 0, NULL), "mount");
}

/* user-namespace-capability: every capability, in a namespace of one's own. */
static void user_namespace_capability(char **argument)
{
	(void)argument;
	must(unshare(CLONE_NEWUSER | CLONE_NEWUTS), "unshare");
	must(sethostname("nono", 4), "sethostname");
}

#if defined(__x86_64__)
/* i386 NUMBER ARGUMENT: int 0x80 from 64-bit code. */
static void i386(char **argument)
{
	long result;

	__asm__ volatile("int $0x80"
			 : "=a"(result)
			 : "a"(number(argument[0])), "b"(number(argument[1])), "c"(0L), "d"(0L)
			 : "memory", "r8", "r9", "r10", "r11");
	if (result < 0) {
		errno = -result;
		refused("int 0x80");
	}
}

/* i386-open PATH: a path below 4 GiB, and the number that is another call to 64-bit code. */
static void i386_open(char **argument)
{
	char *low = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
	long result;

	if (low == MAP_FAILED)
		broken("mmap");
	strncpy(low, argument[0], 4095);
	__asm__ volatile("int $0x80"
			 : "=a"(result)
			 : "a"(21L /* mount(2) */), "b"(low), "c"(low), "d"(low), "S"(0L), "D"(0L)
			 : "memory", "r8", "r9", "r10", "r11");
	if (result < 0) {
		errno = -result;
		refused("int 0x80");
	}
}

/* far-code: run 32-bit code in this process, and have it do a call. Code and stack lie below 4 GiB. */
static void far_code(char **argument)
{
	/* lcall *(%rdi); ret; and in 32 bits: mov $20, %eax; int $0x80; lret */
	static const unsigned char code[] = { 0xff, 0x1f, 0xc3, 0xb8, 20, 0, 0, 0, 0xcd, 0x80, 0xcb };
	unsigned char *low = mmap(NULL, 8192, PROT_READ | PROT_WRITE | PROT_EXEC,
				  MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
	struct {
		uint32_t offset;
		uint16_t segment;
	} __attribute__((packed)) there;
	int result;

	(void)argument;
	if (low == MAP_FAILED)
		broken("mmap");
	memcpy(low, code, sizeof code);
	there.offset = (uint32_t)(uintptr_t)low + 3;
	there.segment = 0x23;
	__asm__ volatile("mov %%rsp, %%r12\n\t"
			 "mov %2, %%rsp\n\t"
			 "call *%3\n\t"
			 "mov %%r12, %%rsp"
			 : "=a"(result)
			 : "D"(&there), "r"(low + 8192 - 64), "r"(low)
			 : "memory", "r12", "rcx", "rdx", "rsi", "r8", "r9", "r10", "r11");
	if (result != getpid())
		in_vain("it was another call");
}
#endif

/* ring PATH: have the kernel open a file by a queue that no filter sees. */
static void ring(char **argument)
{
	unsigned char parameters[120] = { 0 };
	int descriptor = must(syscall(SYS_io_uring_setup, 4, parameters), "io_uring_setup");
	uint32_t *offsets = (uint32_t *)(parameters + 40), *completed = (uint32_t *)(parameters + 80);
	unsigned char *queue = mmap(NULL, 65536, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0);
	unsigned char *entries = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0x10000000);

	if (queue == MAP_FAILED || entries == MAP_FAILED)
		refused("mmap");
	memset(entries, 0, 64);
	entries[0] = 18; /* IORING_OP_OPENAT */
	*(int32_t *)(entries + 4) = AT_FDCWD;
	*(uint64_t *)(entries + 16) = (uintptr_t)argument[0];
	*(uint32_t *)(entries + 28) = O_RDONLY;
	((uint32_t *)(queue + offsets[6]))[0] = 0;
	__atomic_store_n((uint32_t *)(queue + offsets[1]), 1, __ATOMIC_RELEASE);
	must(syscall(SYS_io_uring_enter, descriptor, 1, 1, 1, NULL, 0), "io_uring_enter");
	int result = *(int32_t *)(queue + completed[5] + 8);

	if (result < 0) {
		errno = -result;
		refused("openat by the ring");
	}
	read_secret(result);
}

/* own-filter HOW: a filter of one's own before nono's, which allows everything or has itself asked. */
static void own_filter(char **argument)
{
	int asked = strcmp(argument[0], "asked") == 0;
	struct sock_filter program[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_socketpair, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, asked ? SECCOMP_RET_USER_NOTIF : SECCOMP_RET_ALLOW),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog filter = { 4, program };
	struct seccomp_notif question = { 0 };
	struct seccomp_notif_resp answer = { .flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE };
	struct pollfd ready = { .events = POLLIN };
	unsigned char pair[8];
	int status;
	pid_t child;

	sure(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "no_new_privs");
	ready.fd = must(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER,
				asked ? SECCOMP_FILTER_FLAG_NEW_LISTENER : 0, &filter),
			"seccomp");
	if (!asked) {
		must(syscall(SYS_socketpair, AF_UNIX, SOCK_DGRAM, 0, pair), "socketpair");
		return;
	}
	child = sure(fork(), "fork");
	if (child == 0) {
		must(syscall(SYS_socketpair, AF_UNIX, SOCK_DGRAM, 0, pair), "socketpair");
		fflush(stdout);
		_exit(0);
	}
	if (poll(&ready, 1, 500) > 0 && ready.revents & POLLIN) {
		sure(ioctl(ready.fd, SECCOMP_IOCTL_NOTIF_RECV, &question), "NOTIF_RECV");
		answer.id = question.id;
		sure(ioctl(ready.fd, SECCOMP_IOCTL_NOTIF_SEND, &answer), "NOTIF_SEND");
	}
	sure(waitpid(child, &status, 0), "waitpid");
	fflush(stdout);
	_exit(WEXITSTATUS(status));
}

/* rewritten: a tracer that makes another call of one that is allowed. */
static void rewritten(char **argument)
{
#if defined(__x86_64__)
	static unsigned char pair[8];
	struct user_regs_struct registers;
	int status;
	pid_t child = sure(fork(), "fork");

	(void)argument;
	if (child == 0) {
		ptrace(PTRACE_TRACEME, 0, 0, 0);
		raise(SIGSTOP);
		syscall(SYS_getppid, (long)AF_UNIX, (long)SOCK_DGRAM, 0L, pair);
		_exit(0);
	}
	sure(waitpid(child, &status, 0), "waitpid");
	do {
		must(ptrace(PTRACE_SYSCALL, child, 0, 0), "PTRACE_SYSCALL");
		sure(waitpid(child, &status, 0), "waitpid");
		if (!WIFSTOPPED(status))
			in_vain("it ended without the call");
		must(ptrace(PTRACE_GETREGS, child, 0, &registers), "PTRACE_GETREGS");
	} while (registers.orig_rax != SYS_getppid);
	registers.orig_rax = SYS_socketpair;
	must(ptrace(PTRACE_SETREGS, child, 0, &registers), "PTRACE_SETREGS");
	must(ptrace(PTRACE_SYSCALL, child, 0, 0), "PTRACE_SYSCALL");
	sure(waitpid(child, &status, 0), "waitpid");
	must(ptrace(PTRACE_GETREGS, child, 0, &registers), "PTRACE_GETREGS");
	kill(child, SIGKILL);
	if ((long)registers.rax < 0) {
		errno = -(long)registers.rax;
		refused("the call that it was made");
	}
#else
	(void)argument;
	broken("written for x86-64");
#endif
}

/* key */
static void key(char **argument)
{
	(void)argument;
	must(syscall(SYS_add_key, "user", "nono-escape", "x", 1L, -4 /* the user's keyring */), "add_key");
}

/* bpf-map */
static void bpf_map(char **argument)
{
	uint32_t attributes[32] = { 2 /* array */, 4, 4, 1 };

	(void)argument;
	must(syscall(SYS_bpf, 0, attributes, sizeof attributes), "bpf");
}

/* perf PID */
static void perf(char **argument)
{
	uint32_t attributes[28] = { 1 /* software */, sizeof attributes };

	must(syscall(SYS_perf_event_open, attributes, (pid_t)number(argument[0]), -1, -1, 0L), "perf_event_open");
}

/* handle FILE DIRECTORY: a file by its handle, which needs no path. */
static void handle(char **argument)
{
	struct {
		struct file_handle head;
		unsigned char room[128];
	} held = { .head.handle_bytes = 128 };
	int mount_id, directory;

	must(name_to_handle_at(AT_FDCWD, argument[0], &held.head, &mount_id, 0), "name_to_handle_at");
	directory = sure(open(argument[1], O_RDONLY | O_DIRECTORY), "open");
	read_secret(must(open_by_handle_at(directory, &held.head, O_RDONLY), "open_by_handle_at"));
}

/* terminal HOW WIDE: the terminal is standard input. */
static void terminal(char **argument)
{
	const char *how = argument[0];
	long wide = number(argument[1]);
	int discipline = 0, status;
	pid_t child = sure(fork(), "fork");
	char subcode = 2;

	if (child == 0) { /* setsid fails for who leads a group */
		sure(setsid(), "setsid");
		sure(ioctl(0, TIOCSCTTY, 0), "TIOCSCTTY");
		if (strcmp(how, "type") == 0)
			must(syscall(SYS_ioctl, 0L, wide | TIOCSTI, "x"), "TIOCSTI");
		else if (strcmp(how, "paste") == 0)
			must(syscall(SYS_ioctl, 0L, wide | TIOCLINUX, &subcode), "TIOCLINUX");
		else if (strcmp(how, "discipline") == 0)
			must(syscall(SYS_ioctl, 0L, wide | TIOCSETD, &discipline), "TIOCSETD");
		else
			broken(how);
		fflush(stdout);
		_exit(0);
	}
	sure(waitpid(child, &status, 0), "waitpid");
	if (WIFSIGNALED(status))
		raise(WTERMSIG(status));
	_exit(WEXITSTATUS(status));
}

const struct probe kernel_probes[] = {
	{ "call", 1, call },
	{ "clone-flags", 1, clone_flags },
	{ "clone3", 1, clone_structure },
	{ "mount-namespace", 1, mount_namespace },
	{ "user-namespace", 1, user_namespace },
	{ "user-namespace-capability", 0, user_namespace_capability },
#if defined(__x86_64__)
	{ "i386", 2, i386 },
	{ "i386-open", 1, i386_open },
	{ "far-code", 0, far_code },
#endif
	{ "ring", 1, ring },
	{ "own-filter", 1, own_filter },
	{ "rewritten", 0, rewritten },
	{ "key", 0, key },
	{ "bpf-map", 0, bpf_map },
	{ "perf", 1, perf },
	{ "handle", 2, handle },
	{ "terminal", 2, terminal },
	{ NULL, 0, NULL },
};
