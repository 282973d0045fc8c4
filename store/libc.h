/* What is called of the C library, and the structures that it is called with.
   `make generated` makes libc.py of it; cffi reads C declarations only: no preprocessor. */

struct rlimit { uint64_t soft, hard; };  /* getrlimit(2) */

struct statx {  /* statx(2); 256 bytes */
    uint32_t mask, block_size;
    uint64_t attributes;
    uint32_t links, user, group;
    uint16_t mode, spare;
    uint64_t inode, size, blocks, attributes_mask;
    struct { int64_t seconds; uint32_t nanoseconds, spare; } accessed, born, changed, modified;
    uint32_t special_major, special_minor, device_major, device_minor;
    uint64_t others[14];
};

long syscall(long number, ...);

int fallocate(int descriptor, int mode, int64_t offset, int64_t size);
int getrlimit(int resource, struct rlimit *);
