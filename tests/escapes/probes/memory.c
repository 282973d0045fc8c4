/* Other processes' memory, descriptors and entries in /proc; and the victim that has all that. */
#include "probe.h"

#include <mqueue.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/msg.h>
#include <sys/prctl.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <sys/uio.h>

static char secret[] = SECRET;

struct message {
	long type;
	char text[32];
};

/* victim FILE: be a process that has secrets; say where they are, in words for the table. */
static void victim(char **argument)
{
	int shared = sure(shmget(IPC_PRIVATE, 4096, 0600), "shmget");
	char *attached = shmat(shared, NULL, 0);
	int queue = sure(msgget(IPC_PRIVATE, 0600), "msgget");
	int semaphore = sure(semget(IPC_PRIVATE, 1, 0600), "semget");
	struct message message = { 1, SECRET };
	int descriptor = sure(open(argument[0], O_RDONLY), argument[0]);

	alarm(0);
	if (attached == (void *)-1)
		broken("shmat");
	strcpy(attached, SECRET);
	/* It can still be attached, and goes with its last user. */
	sure(shmctl(shared, IPC_RMID, NULL), "IPC_RMID");
	sure(msgsnd(queue, &message, sizeof message.text, 0), "msgsnd");
	/* Where Yama lets only parents trace, outside everything that is here is to work. */
	prctl(PR_SET_PTRACER, PR_SET_PTRACER_ANY, 0, 0, 0);
	printf("victim=%d address=%#lx shared=%d queue=%d semaphore=%d descriptor=%d\n", getpid(),
	       (unsigned long)secret, shared, queue, semaphore, descriptor);
	fflush(stdout);
	/* Until whoever started it closes the other end. */
	while (read(0, &message, 1) > 0)
		;
	msgctl(queue, IPC_RMID, NULL);
	semctl(semaphore, 0, IPC_RMID);
}

/* read-memory PID ADDRESS */
static void read_memory(char **argument)
{
	char text[sizeof secret];
	struct iovec local = { text, sizeof text }, remote = { (void *)number(argument[1]), sizeof text };

	must(process_vm_readv(number(argument[0]), &local, 1, &remote, 1, 0), "process_vm_readv");
	if (strcmp(text, SECRET) != 0)
		in_vain("what was read is not the secret");
}

/* write-memory PID ADDRESS */
static void write_memory(char **argument)
{
	char text[sizeof secret] = "changed";
	struct iovec local = { text, sizeof text }, remote = { (void *)number(argument[1]), sizeof text };

	must(process_vm_writev(number(argument[0]), &local, 1, &remote, 1, 0), "process_vm_writev");
}

/* proc-memory PID ADDRESS MODE */
static void proc_memory(char **argument)
{
	char path[64], text[sizeof secret] = "changed";
	int descriptor;

	snprintf(path, sizeof path, "/proc/%s/mem", argument[0]);
	if (argument[2][0] == 'w') {
		descriptor = must(open(path, O_WRONLY), "open");
		must(pwrite(descriptor, text, sizeof text, number(argument[1])), "pwrite");
		return;
	}
	descriptor = must(open(path, O_RDONLY), "open");
	must(pread(descriptor, text, sizeof text, number(argument[1])), "pread");
	if (strcmp(text, SECRET) != 0)
		in_vain("what was read is not the secret");
}

/* advise PID ADDRESS */
static void advise(char **argument)
{
	int descriptor = sure(syscall(SYS_pidfd_open, (pid_t)number(argument[0]), 0), "pidfd_open");
	struct iovec remote = { (void *)(number(argument[1]) & ~4095L), 4096 };

	must(syscall(SYS_process_madvise, descriptor, &remote, 1, 20 /* MADV_COLD */, 0), "process_madvise");
}

/* reap PID */
static void reap(char **argument)
{
	int descriptor = sure(syscall(SYS_pidfd_open, (pid_t)number(argument[0]), 0), "pidfd_open");

	must(syscall(SYS_process_mrelease, descriptor, 0), "process_mrelease");
}

/* take-descriptor PID DESCRIPTOR */
static void take_descriptor(char **argument)
{
	int process = sure(syscall(SYS_pidfd_open, (pid_t)number(argument[0]), 0), "pidfd_open");

	read_secret(must(syscall(SYS_pidfd_getfd, process, (int)number(argument[1]), 0), "pidfd_getfd"));
}

/* compare PID */
static void compare(char **argument)
{
	must(syscall(SYS_kcmp, getpid(), (pid_t)number(argument[0]), 1 /* KCMP_VM */, 0, 0), "kcmp");
}

/* robust-list PID */
static void robust_list(char **argument)
{
	void *head;
	size_t size;

	must(syscall(SYS_get_robust_list, (pid_t)number(argument[0]), &head, &size), "get_robust_list");
}

/* move-pages PID */
static void move_pages(char **argument)
{
	void *page = NULL;
	int status;

	must(syscall(SYS_move_pages, (pid_t)number(argument[0]), 1, &page, NULL, &status, 0), "move_pages");
}

/* migrate-pages PID */
static void migrate_pages(char **argument)
{
	unsigned long nodes = 1;

	must(syscall(SYS_migrate_pages, (pid_t)number(argument[0]), 64, &nodes, &nodes), "migrate_pages");
}

/* proc HOW PATH */
static void proc(char **argument)
{
	const char *how = argument[0], *path = argument[1];
	char text[256];

	if (strcmp(how, "read") == 0)
		must(read(must(open(path, O_RDONLY), "open"), text, sizeof text), "read");
	else if (strcmp(how, "write") == 0)
		must(open(path, O_WRONLY), "open");
	else if (strcmp(how, "link") == 0)
		must(readlink(path, text, sizeof text), "readlink");
	else if (strcmp(how, "list") == 0)
		list_directory(path);
	else if (strcmp(how, "secret") == 0)
		read_secret_at(path);
	else
		broken(how);
}

/* enter PID TYPE: a namespace of its */
static void enter(char **argument)
{
	int process = sure(syscall(SYS_pidfd_open, (pid_t)number(argument[0]), 0), "pidfd_open");

	must(syscall(SYS_setns, process, (int)number(argument[1])), "setns");
}

/* namespace-of PID REQUEST: a descriptor of a namespace of its, by its pidfd. */
static void namespace_of(char **argument)
{
	int process = sure(syscall(SYS_pidfd_open, (pid_t)number(argument[0]), 0), "pidfd_open");

	must(syscall(SYS_ioctl, process, number(argument[1]), 0L), "ioctl");
}

/* share-core PID: have it run beside oneself on a core, by prctl. */
static void share_core(char **argument)
{
	must(prctl(62 /* PR_SCHED_CORE */, 1 /* CREATE */, 0, 0, 0), "PR_SCHED_CORE_CREATE");
	must(prctl(62, 2 /* SHARE_TO */, number(argument[0]), 0, 0), "PR_SCHED_CORE_SHARE_TO");
}

/* shared-memory ID */
static void shared_memory(char **argument)
{
	char *attached = shmat(number(argument[0]), NULL, 0);

	if (attached == (void *)-1)
		refused("shmat");
	if (strcmp(attached, SECRET) != 0)
		in_vain("what was read is not the secret");
}

/* message-queue ID */
static void message_queue(char **argument)
{
	struct message message;

	must(msgrcv(number(argument[0]), &message, sizeof message.text, 0, IPC_NOWAIT), "msgrcv");
}

/* semaphore ID */
static void semaphore(char **argument)
{
	struct sembuf up = { 0, 1, IPC_NOWAIT };

	must(semop(number(argument[0]), &up, 1), "semop");
}

/* list-ipc: all of the user's segments, by the kernel's own index */
static void list_ipc(char **argument)
{
	struct shmid_ds one;

	(void)argument;
	must(shmctl(0, SHM_INFO, &one), "SHM_INFO");
}

/* posix-queue */
static void posix_queue(char **argument)
{
	char name[64];

	(void)argument;
	snprintf(name, sizeof name, "/nono-escape-%d", getpid());
	must(mq_open(name, O_CREAT | O_RDWR, 0600, NULL), "mq_open");
	must(mq_unlink(name), "mq_unlink");
}

const struct probe memory_probes[] = {
	{ "victim", 1, victim },
	{ "read-memory", 2, read_memory },
	{ "write-memory", 2, write_memory },
	{ "proc-memory", 3, proc_memory },
	{ "advise", 2, advise },
	{ "reap", 1, reap },
	{ "take-descriptor", 2, take_descriptor },
	{ "compare", 1, compare },
	{ "robust-list", 1, robust_list },
	{ "move-pages", 1, move_pages },
	{ "migrate-pages", 1, migrate_pages },
	{ "proc", 2, proc },
	{ "enter", 2, enter },
	{ "namespace-of", 2, namespace_of },
	{ "share-core", 1, share_core },
	{ "shared-memory", 1, shared_memory },
	{ "message-queue", 1, message_queue },
	{ "semaphore", 1, semaphore },
	{ "list-ipc", 0, list_ipc },
	{ "posix-queue", 0, posix_queue },
	{ NULL, 0, NULL },
};
