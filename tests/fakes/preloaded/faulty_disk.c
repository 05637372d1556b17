/* Fails what a process does to files of a database, as a dying disk does.
 *
 * Loaded in front of the C library (LD_PRELOAD). TOLD, given when this is
 * compiled, names a file; while that exists and holds the word "flush", flushes
 * fail, while it holds "write", writes do, both with EIO and without touching
 * the disk. Files count whose names hold ".db": the database, its log, its lock.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static ssize_t (*real_write)(int, const void *, size_t);
static ssize_t (*real_pwrite)(int, const void *, size_t, off_t);
static ssize_t (*real_pwrite64)(int, const void *, size_t, off64_t);
static int (*real_fsync)(int);
static int (*real_fdatasync)(int);

__attribute__((constructor)) static void find_real_ones(void)
{
    real_write = dlsym(RTLD_NEXT, "write");
    real_pwrite = dlsym(RTLD_NEXT, "pwrite");
    real_pwrite64 = dlsym(RTLD_NEXT, "pwrite64");
    real_fsync = dlsym(RTLD_NEXT, "fsync");
    real_fdatasync = dlsym(RTLD_NEXT, "fdatasync");
}

static int is_told(const char *word)
{
    char told[64];
    int file = open(TOLD, O_RDONLY | O_CLOEXEC);
    if (file < 0)
        return 0;
    ssize_t length = read(file, told, sizeof told - 1);
    close(file);
    told[length < 0 ? 0 : length] = '\0';
    return strstr(told, word) != NULL;
}

static int fails(int file, const char *word)
{
    char link[32], name[PATH_MAX];
    if (!is_told(word))
        return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    ssize_t length = readlink(link, name, sizeof name - 1);
    name[length < 0 ? 0 : length] = '\0';
    if (strstr(name, ".db") == NULL)
        return 0;
    errno = EIO;
    return 1;
}

ssize_t write(int file, const void *bytes, size_t count)
{
    return fails(file, "write") ? -1 : real_write(file, bytes, count);
}

ssize_t pwrite(int file, const void *bytes, size_t count, off_t offset)
{
    return fails(file, "write") ? -1 : real_pwrite(file, bytes, count, offset);
}

ssize_t pwrite64(int file, const void *bytes, size_t count, off64_t offset)
{
    return fails(file, "write") ? -1 : real_pwrite64(file, bytes, count, offset);
}

int fsync(int file)
{
    return fails(file, "flush") ? -1 : real_fsync(file);
}

int fdatasync(int file)
{
    return fails(file, "flush") ? -1 : real_fdatasync(file);
}
