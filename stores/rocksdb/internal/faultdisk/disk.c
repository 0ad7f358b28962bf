//go:build linux

// What RocksDB changes files with: each call asks first, then makes the system
// call itself.

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

#include "_cgo_export.h"

int faultdisk_active;

static int by_name(const char *path) {
	if (__atomic_load_n(&faultdisk_active, __ATOMIC_RELAXED) == 0 || path[0] != '/')
		return 0;
	errno = faultdiskChange((char *)path);
	return errno;
}

static int by_fd(int fd) {
	char link[64], path[PATH_MAX];
	if (__atomic_load_n(&faultdisk_active, __ATOMIC_RELAXED) == 0)
		return 0;
	snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
	ssize_t n = readlink(link, path, sizeof path - 1);
	if (n <= 0)
		return 0;
	path[n] = 0;
	return by_name(path);
}

ssize_t write(int fd, const void *b, size_t n) {
	return by_fd(fd) ? -1 : syscall(SYS_write, fd, b, n);
}

ssize_t pwrite(int fd, const void *b, size_t n, off_t at) {
	return by_fd(fd) ? -1 : syscall(SYS_pwrite64, fd, b, n, at);
}

int fsync(int fd) { return by_fd(fd) ? -1 : syscall(SYS_fsync, fd); }

int fdatasync(int fd) { return by_fd(fd) ? -1 : syscall(SYS_fdatasync, fd); }

int ftruncate(int fd, off_t n) { return by_fd(fd) ? -1 : syscall(SYS_ftruncate, fd, n); }

int fallocate(int fd, int mode, off_t at, off_t n) {
	return by_fd(fd) ? -1 : syscall(SYS_fallocate, fd, mode, at, n);
}

int rename(const char *from, const char *to) {
	return by_name(to) ? -1 : syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, 0);
}

int link(const char *from, const char *to) {
	return by_name(to) ? -1 : syscall(SYS_linkat, AT_FDCWD, from, AT_FDCWD, to, 0);
}

int unlink(const char *path) { return by_name(path) ? -1 : syscall(SYS_unlinkat, AT_FDCWD, path, 0); }

int mkdir(const char *path, mode_t mode) {
	return by_name(path) ? -1 : syscall(SYS_mkdirat, AT_FDCWD, path, mode);
}

int open(const char *path, int flags, ...) {
	mode_t mode = 0;
	if (flags & O_CREAT) {
		va_list args;
		va_start(args, flags);
		mode = va_arg(args, mode_t);
		va_end(args);
		if (by_name(path))
			return -1;
	}
	return syscall(SYS_openat, AT_FDCWD, path, flags, mode);
}
