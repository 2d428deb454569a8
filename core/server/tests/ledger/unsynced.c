/* Opens files without O_DSYNC, whatever the program asks for. Preloaded into the server, so that the power ledger can show that it notices a
 * server whose acknowledged messages are not synced to the disk. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdarg.h>

/* O_SYNC is O_DSYNC and a bit of its own. */
#define WITHOUT_SYNC(flags) ((flags) & ~O_SYNC)

int open64(const char *path, int flags, ...)
{
	va_list more;
	va_start(more, flags);
	/* Passed on as it came; the call that takes no mode does not look at it. */
	mode_t mode = va_arg(more, mode_t);
	va_end(more);
	int (*next)(const char *, int, ...) = (int (*)(const char *, int, ...))dlsym(RTLD_NEXT, "open64");
	return next(path, WITHOUT_SYNC(flags), mode);
}
