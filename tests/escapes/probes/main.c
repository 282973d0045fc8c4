/* Run one probe by its name: probes NAME ARGUMENT... */
#include "probe.h"

#include <dirent.h>

_Noreturn void refused(const char *step)
{
	int error = errno;

	printf("refused %d %s\n", error, step);
	fflush(stdout);
	_exit(20);
}

_Noreturn void in_vain(const char *why)
{
	printf("in vain: %s\n", why);
	fflush(stdout);
	_exit(21);
}

_Noreturn void broken(const char *why)
{
	fprintf(stderr, "broken probe: %s: %s\n", why, strerror(errno));
	_exit(99);
}

long must(long result, const char *step)
{
	if (result < 0)
		refused(step);
	return result;
}

long sure(long result, const char *step)
{
	if (result < 0)
		broken(step);
	return result;
}

void read_secret(int descriptor)
{
	char text[64] = "";

	must(read(descriptor, text, sizeof text - 1), "read");
	if (strstr(text, SECRET) == NULL)
		in_vain("what was read is not the secret");
}

void read_secret_at(const char *path)
{
	int descriptor = must(open(path, O_RDONLY | O_CLOEXEC), "open");

	read_secret(descriptor);
	close(descriptor);
}

void list_directory(const char *path)
{
	DIR *directory = opendir(path);
	struct dirent *entry;

	if (directory == NULL)
		refused("opendir");
	errno = 0;
	while ((entry = readdir(directory)) != NULL)
		if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
			return;
	if (errno != 0)
		refused("readdir");
	in_vain("no entry");
}

static char state_of(pid_t pid)
{
	char path[64], text[512] = "";
	int descriptor;
	char *end;

	snprintf(path, sizeof path, "/proc/%d/stat", pid);
	descriptor = open(path, O_RDONLY);
	if (descriptor < 0 || read(descriptor, text, sizeof text - 1) <= 0)
		return 'X';
	close(descriptor);
	end = strrchr(text, ')');
	return end == NULL ? 'X' : end[2];
}

void await_end(pid_t victim, const char *patience)
{
	for (long left = number(patience); left > 0; left -= 5) {
		char state = state_of(victim);

		if (state == 'Z' || state == 'X')
			return;
		usleep(5000);
	}
	in_vain("it lives on");
}

long number(const char *text)
{
	char *end;
	long value = (long)strtoull(text, &end, 0);

	if (*text == '\0' || *end != '\0')
		broken(text);
	return value;
}

void run_probe(char **argument)
{
	const struct probe *const tables[] = { process_probes, memory_probes,	 file_probes,	   kernel_probes,
					       network_probes, execution_probes, surviving_probes };

	for (size_t table = 0; table < sizeof tables / sizeof *tables; table++)
		for (const struct probe *one = tables[table]; one->name != NULL; one++)
			if (argument[0] != NULL && strcmp(one->name, argument[0]) == 0) {
				int given = 0;

				while (argument[given + 1] != NULL)
					given++;
				if (given < one->least)
					broken("too few arguments");
				one->go(argument + 1);
				return;
			}
	broken(argument[0] == NULL ? "no probe was named" : argument[0]);
}

int main(int count, char **argument)
{
	(void)count;
	alarm(40);
	run_probe(argument + 1);
	return 0;
}
