/* What is called of the C library, and the structures of the kernel that it is called with.
   `make generated` makes libc.py of it, and cffi reads C declarations only: no preprocessor. */

struct capability_header { uint32_t version; int pid; };                               /* capget(2) */
struct capability_data { uint32_t effective, permitted, inheritable; };
struct open_how { uint64_t flags, mode, resolve; };                                    /* linux/openat2.h */
struct sock_fprog { unsigned short len; void *filter; };                               /* linux/filter.h */
struct landlock_ruleset_attr { uint64_t handled_access_fs, handled_access_net, scoped; }; /* linux/landlock.h */
struct landlock_net_port_attr { uint64_t allowed_access, port; };  /* the port in the host's byte order */
struct rlimit { uint64_t soft, hard; };                                                /* getrlimit(2) */
struct timeval { long seconds, microseconds; };
struct rusage { struct timeval user, system; long max_rss_kibibytes, others[13]; };    /* getrusage(2) */
/* Of a 64-bit machine: fifteen numbers as large as a long, of which the first says what it is (statfs(2)). */
struct statfs { long type; long others[31]; };
struct signal_set { unsigned long words[16]; };                                        /* 1,024 bits */

long syscall(long number, ...);

int prctl(int, unsigned long, unsigned long, unsigned long, unsigned long);
int capget(struct capability_header *, struct capability_data *);
int capset(struct capability_header *, const struct capability_data *);
int prlimit(int pid, int resource, const struct rlimit *, struct rlimit *);
long ptrace(long request, int pid, uintptr_t address, uintptr_t data);
int wait4(int pid, int *status, int options, struct rusage *);
intptr_t signal(int, intptr_t handler);
int pthread_sigmask(int how, const struct signal_set *, struct signal_set *);
int signalfd(int descriptor, const struct signal_set *, int flags);
int fstatfs(int descriptor, struct statfs *);
int utimensat(int directory, const char *path, const char *times, int flags);
int setns(int descriptor, int kind);
int socket(int family, int kind, int protocol);
int connect(int descriptor, const char *address, unsigned int size);
int bind(int descriptor, const char *address, unsigned int size);
int listen(int descriptor, int backlog);
int setsockopt(int descriptor, int level, int option, const void *value, unsigned int size);
