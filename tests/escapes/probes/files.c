/* Files outside of the grants: by other names, other calls, other descriptors, and by being quicker. */
#include "probe.h"

#include <pthread.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/xattr.h>

/* secret PATH: read it. */
static void secret(char **argument)
{
	read_secret_at(argument[0]);
}

/* open PATH FLAGS MODE */
static void open_with(char **argument)
{
	must(open(argument[0], (int)number(argument[1]), (mode_t)number(argument[2])), "open");
}

/* openat2 PATH FLAGS RESOLVE */
static void open_how(char **argument)
{
	struct {
		uint64_t flags, mode, resolve;
	} how = { number(argument[1]), 0, number(argument[2]) };

	read_secret(must(syscall(SYS_openat2, AT_FDCWD, argument[0], &how, sizeof how), "openat2"));
}

/* beneath DIRECTORY NAME: from a descriptor of a granted directory. */
static void beneath(char **argument)
{
	int directory = sure(open(argument[0], O_RDONLY | O_DIRECTORY), argument[0]);

	read_secret(must(openat(directory, argument[1], O_RDONLY), "openat"));
}

/* there DIRECTORY NAME: go there first. */
static void from_there(char **argument)
{
	must(chdir(argument[0]), "chdir");
	read_secret_at(argument[1]);
}

/* path-descriptor PATH HOW: a descriptor that was opened with O_PATH needs no right. */
static void path_descriptor(char **argument)
{
	char again[64];
	int descriptor = sure(open(argument[0], O_PATH), "O_PATH");

	snprintf(again, sizeof again, "/proc/self/fd/%d", descriptor);
	if (strcmp(argument[1], "read") == 0)
		read_secret_at(again);
	else if (strcmp(argument[1], "write") == 0)
		must(open(again, O_WRONLY), "open");
	else if (strcmp(argument[1], "truncate") == 0)
		must(truncate(again, 0), "truncate");
	else if (strcmp(argument[1], "list") == 0)
		list_directory(again);
	else if (strcmp(argument[1], "execute") == 0)
		must(execveat(descriptor, "", (char *[]){ "x", NULL }, (char *[]){ NULL }, AT_EMPTY_PATH), "execveat");
	else
		broken(argument[1]);
}

/* list PATH */
static void list(char **argument)
{
	list_directory(argument[0]);
}

/* truncate PATH */
static void cut(char **argument)
{
	must(truncate(argument[0], 0), "truncate");
}

/* make HOW PATH */
static void make(char **argument)
{
	const char *how = argument[0], *path = argument[1];

	if (strcmp(how, "file") == 0)
		must(open(path, O_CREAT | O_EXCL | O_WRONLY, 0600), how);
	else if (strcmp(how, "creat") == 0)
		must(creat(path, 0600), how);
	else if (strcmp(how, "directory") == 0)
		must(mkdir(path, 0700), how);
	else if (strcmp(how, "link") == 0)
		must(symlink("/", path), how);
	else if (strcmp(how, "fifo") == 0)
		must(mknod(path, S_IFIFO | 0600, 0), how);
	else if (strcmp(how, "socket") == 0)
		must(mknod(path, S_IFSOCK | 0600, 0), how);
	else if (strcmp(how, "regular") == 0)
		must(mknod(path, S_IFREG | 0600, 0), how);
	else if (strcmp(how, "unnamed") == 0)
		must(open(path, O_TMPFILE | O_WRONLY, 0600), how);
	else if (strcmp(how, "character") == 0)
		must(mknod(path, S_IFCHR | 0600, 0x103), how);
	else if (strcmp(how, "block") == 0)
		must(mknod(path, S_IFBLK | 0600, 0x700), how);
	else
		broken(how);
}

/* remove HOW PATH */
static void remove_it(char **argument)
{
	if (strcmp(argument[0], "file") == 0)
		must(unlink(argument[1]), "unlink");
	else
		must(rmdir(argument[1]), "rmdir");
}

/* link HOW FROM TO: another name for what is outside, in a grant; then read it there. */
static void hard_link(char **argument)
{
	const char *how = argument[0], *from = argument[1], *to = argument[2];
	char path[64];

	if (strcmp(how, "link") == 0)
		must(link(from, to), "link");
	else if (strcmp(how, "follow") == 0)
		must(linkat(AT_FDCWD, from, AT_FDCWD, to, AT_SYMLINK_FOLLOW), "linkat");
	else if (strcmp(how, "proc") == 0) {
		snprintf(path, sizeof path, "/proc/self/fd/%d", (int)sure(open(from, O_PATH), "O_PATH"));
		must(linkat(AT_FDCWD, path, AT_FDCWD, to, AT_SYMLINK_FOLLOW), "linkat");
	} else if (strcmp(how, "empty") == 0)
		must(linkat(sure(open(from, O_PATH), "O_PATH"), "", AT_FDCWD, to, AT_EMPTY_PATH), "linkat");
	else
		broken(how);
	read_secret_at(to);
	unlink(to);
}

/* rename FROM TO FLAGS */
static void move(char **argument)
{
	must(syscall(SYS_renameat2, AT_FDCWD, argument[0], AT_FDCWD, argument[1], (unsigned)number(argument[2])),
	     "rename");
}

/* rename-parent FROM TO FILE: move a directory into a grant, with all that is in it. */
static void move_parent(char **argument)
{
	must(rename(argument[0], argument[1]), "rename");
	read_secret_at(argument[2]);
}

/* symlink TARGET AT HOW: a link in a grant that leads out of it. */
static void follow(char **argument)
{
	const char *how = argument[2];

	unlink(argument[1]);
	sure(symlink(argument[0], argument[1]), "symlink");
	if (strcmp(how, "read") == 0)
		read_secret_at(argument[1]);
	else if (strcmp(how, "write") == 0)
		must(open(argument[1], O_WRONLY), "open");
	else if (strcmp(how, "make") == 0)
		must(open(argument[1], O_WRONLY | O_CREAT, 0600), "open");
	else
		broken(how);
}

struct swap {
	const char *here, *there, *at;
	volatile int stop;
};

static void *swap_links(void *given)
{
	struct swap *swap = given;
	char other[4096];

	snprintf(other, sizeof other, "%s-other", swap->at);
	while (!swap->stop) {
		unlink(other);
		if (symlink(swap->there, other) == 0)
			rename(other, swap->at);
		unlink(other);
		if (symlink(swap->here, other) == 0)
			rename(other, swap->at);
	}
	return NULL;
}

/* swap-links HERE THERE AT ROUNDS: exchange where a link leads while it is opened. */
static void swapped_link(char **argument)
{
	struct swap swap = { argument[0], argument[1], argument[2], 0 };
	long rounds = number(argument[3]);
	pthread_t thread;

	sure(symlink(swap.here, swap.at), "symlink");
	if (pthread_create(&thread, NULL, swap_links, &swap) != 0)
		broken("pthread_create");
	for (; rounds > 0; rounds--) {
		char text[64] = "";
		int descriptor = open(swap.at, O_RDONLY);

		if (descriptor < 0)
			continue;
		if (read(descriptor, text, sizeof text - 1) > 0 && strstr(text, SECRET) != NULL)
			return;
		close(descriptor);
	}
	in_vain("never read through the exchanged link");
}

/* move-directory FROM TO NAME: go up from a directory that was moved up meanwhile. */
static void moved_directory(char **argument)
{
	int directory = sure(open(argument[0], O_RDONLY | O_DIRECTORY), argument[0]);

	must(rename(argument[0], argument[1]), "rename");
	read_secret(must(openat(directory, argument[2], O_RDONLY), "openat"));
}

/* swap-fifo AT THERE PATIENCE: whoever opens the FIFO opens what takes its place. */
static void swapped_fifo(char **argument)
{
	sure(mkfifo(argument[0], 0600), "mkfifo");
	if (sure(fork(), "fork") == 0) {
		usleep(20000);
		unlink(argument[0]);
		if (symlink(argument[1], argument[0]) != 0)
			_exit(1);
		_exit(0);
	}
	for (long left = number(argument[2]); left > 0; left--) {
		int descriptor = open(argument[0], O_RDONLY | O_NONBLOCK);
		char text[64] = "";

		if (descriptor >= 0) {
			if (read(descriptor, text, sizeof text - 1) > 0 && strstr(text, SECRET) != NULL)
				return;
			close(descriptor);
		} else if (errno != ENOENT)
			refused("open");
		usleep(1000);
	}
	in_vain("never read what took its place");
}

/* standard-input HOW: it is a file outside that was opened for reading alone. */
static void standard_input(char **argument)
{
	const char *how = argument[0];

	if (strcmp(how, "reopen-for-writing") == 0)
		must(open("/proc/self/fd/0", O_WRONLY), "open");
	else if (strcmp(how, "reopen-truncating") == 0)
		must(open("/proc/self/fd/0", O_RDONLY | O_TRUNC), "open");
	else if (strcmp(how, "truncate") == 0)
		must(truncate("/proc/self/fd/0", 0), "truncate");
	else if (strcmp(how, "device") == 0)
		must(open("/dev/stdin", O_RDWR), "open");
	else if (strcmp(how, "beside") == 0)
		read_secret(must(openat(0, argument[1], O_RDONLY), "openat"));
	else
		broken(how);
}

/* descriptors FROM: find one that was inherited beside the standard streams, and read the secret by it. */
static void inherited(char **argument)
{
	errno = EBADF;
	for (int descriptor = (int)number(argument[0]); descriptor < 256; descriptor++) {
		char text[64] = "";

		if (pread(descriptor, text, sizeof text - 1, 0) > 0 && strstr(text, SECRET) != NULL)
			return;
	}
	errno = EBADF;
	refused("every descriptor");
}

/* attributes PATH: change the flags of an inode through a descriptor that was opened for reading. */
static void inode_flags(char **argument)
{
	int descriptor = sure(open(argument[1], O_RDONLY), "open");
	const char *how = argument[0];
	int flags = 0;
	struct {
		uint32_t flags, extent, extents, project, cow;
		unsigned char padding[8];
	} extended;

	if (strcmp(how, "flags") == 0) {
		sure(ioctl(descriptor, 0x80086601 /* FS_IOC_GETFLAGS */, &flags), "FS_IOC_GETFLAGS");
		flags ^= 0x40; /* FS_NODUMP_FL */
		must(ioctl(descriptor, 0x40086602 /* FS_IOC_SETFLAGS */, &flags), "FS_IOC_SETFLAGS");
	} else if (strcmp(how, "extended") == 0) {
		sure(ioctl(descriptor, 0x801c581f /* FS_IOC_FSGETXATTR */, &extended), "FS_IOC_FSGETXATTR");
		extended.flags ^= 0x80; /* FS_XFLAG_NODUMP */
		must(ioctl(descriptor, 0x401c5820 /* FS_IOC_FSSETXATTR */, &extended), "FS_IOC_FSSETXATTR");
	} else if (strcmp(how, "dos") == 0) {
		flags = 0x20; /* ATTR_ARCH */
		must(ioctl(descriptor, 0x40047211 /* FAT_IOCTL_SET_ATTRIBUTES */, &flags), "FAT_IOCTL_SET_ATTRIBUTES");
	} else
		broken(how);
}

/* ioctl PATH REQUEST: the kernel's own answer, with no address behind it. */
static void any_ioctl(char **argument)
{
	int descriptor = sure(open(argument[0], O_RDONLY), "open");

	must(syscall(SYS_ioctl, descriptor, number(argument[1]), 1L), "ioctl");
}

static void ioctl_of_standard_input(char **argument)
{
	must(syscall(SYS_ioctl, 0L, number(argument[0]), 1L), "ioctl");
}

/* lock HOW PATH: hold up whoever else locks a file that can only be read, or writes to it. */
static void lock(char **argument)
{
	int descriptor = sure(open(argument[1], O_RDONLY), "open");

	if (strcmp(argument[0], "advisory") == 0)
		must(flock(descriptor, LOCK_EX | LOCK_NB), "flock");
	else if (strcmp(argument[0], "lease") == 0)
		must(fcntl(descriptor, F_SETLEASE, F_RDLCK), "F_SETLEASE");
	else if (strcmp(argument[0], "write-lease") == 0)
		must(fcntl(descriptor, F_SETLEASE, F_WRLCK), "F_SETLEASE");
	else
		broken(argument[0]);
}

/* watch DIRECTORY: be told the names of what is made in it. */
static void watch(char **argument)
{
	int watching = sure(syscall(SYS_inotify_init1, 0), "inotify_init");

	must(syscall(SYS_inotify_add_watch, watching, argument[0], 0x100), "inotify_add_watch");
}

/* metadata HOW PATH */
static void metadata(char **argument)
{
	const char *how = argument[0], *path = argument[1];
	struct stat status;

	if (strcmp(how, "stat") == 0)
		must(stat(path, &status), how);
	else if (strcmp(how, "mode") == 0)
		must(chmod(path, 0640), how);
	else if (strcmp(how, "set-uid") == 0)
		must(chmod(path, 04755), how);
	else if (strcmp(how, "times") == 0)
		must(utimensat(AT_FDCWD, path, NULL, 0), how);
	else if (strcmp(how, "attribute") == 0)
		must(setxattr(path, "user.nono", "x", 1, 0), how);
	else
		broken(how);
}

/* map PATH: change what is executed, through a shared mapping. */
static void map_it(char **argument)
{
	int descriptor = must(open(argument[0], O_RDWR), "open");
	char *mapped = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0);

	if (mapped == MAP_FAILED)
		refused("mmap");
	mapped[0] = mapped[0];
}

const struct probe file_probes[] = {
	{ "secret", 1, secret },
	{ "open", 3, open_with },
	{ "openat2", 3, open_how },
	{ "beneath", 2, beneath },
	{ "from-there", 2, from_there },
	{ "path-descriptor", 2, path_descriptor },
	{ "list", 1, list },
	{ "truncate", 1, cut },
	{ "make", 2, make },
	{ "remove", 2, remove_it },
	{ "link", 3, hard_link },
	{ "rename", 3, move },
	{ "rename-parent", 3, move_parent },
	{ "symlink", 3, follow },
	{ "swap-links", 4, swapped_link },
	{ "move-directory", 3, moved_directory },
	{ "swap-fifo", 3, swapped_fifo },
	{ "standard-input", 1, standard_input },
	{ "inherited", 1, inherited },
	{ "inode-flags", 2, inode_flags },
	{ "ioctl", 2, any_ioctl },
	{ "ioctl-of-standard-input", 1, ioctl_of_standard_input },
	{ "lock", 2, lock },
	{ "watch", 1, watch },
	{ "metadata", 2, metadata },
	{ "map", 1, map_it },
	{ NULL, 0, NULL },
};
