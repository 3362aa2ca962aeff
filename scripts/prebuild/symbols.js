// Symbols that musl and macOS 10.15 have. Theirs carry no version, so a newer one would show
// only on an older system, as an addon that does not load there.
export const UNVERSIONED = new Set(
  `
abort aligned_alloc atoi bcmp bzero calloc ceilf free malloc posix_memalign
memchr memcmp memcpy memmove memset strcmp strerror_r strlen strnlen
strtod strtof strtol strtold strtoll strtoul strtoull
swprintf wcslen wcstod wcstof wcstol wcstold wcstoll wcstoul wcstoull wmemchr wmemcmp
fflush fprintf fputc fwrite snprintf stderr vfprintf __stderrp

close closedir dirfd fchmod fcntl flock fstat futimens lstat open opendir pipe2 pwrite read readdir
readlink readlinkat statfs tee inotify_add_watch inotify_init1 inotify_rm_watch kevent kqueue poll
clock_gettime nanosleep usleep __clock_gettime64 __nanosleep_time64
execvp geteuid getpid getppid getpwuid_r getrlimit kill prctl prlimit sched_yield setrlimit syscall sysconf
__fstat_time64 __futimens_time64 __lstat_time64

raise sigaction sigdelset sigemptyset sigfillset siglongjmp signal sigsetjmp
__libc_current_sigrtmax __libc_current_sigrtmin
pthread_attr_destroy pthread_attr_init pthread_attr_setdetachstate pthread_attr_setstacksize
pthread_cond_broadcast pthread_cond_destroy pthread_cond_signal pthread_cond_timedwait
pthread_cond_wait __pthread_cond_timedwait_time64 pthread_condattr_destroy
pthread_condattr_init pthread_condattr_setclock pthread_cond_init
pthread_create pthread_detach pthread_getspecific pthread_join pthread_key_create pthread_kill
pthread_mach_thread_np pthread_mutex_destroy pthread_mutex_init pthread_mutex_lock
pthread_mutex_trylock pthread_mutex_unlock pthread_mutexattr_destroy pthread_mutexattr_init
pthread_mutexattr_settype pthread_rwlock_rdlock pthread_rwlock_unlock pthread_rwlock_wrlock
pthread_self pthread_setspecific pthread_sigmask

dl_iterate_phdr dladdr dlopen dlsym dyld_stub_binder _tlv_bootstrap __errno_location __error
__tls_get_addr
_Unwind_DeleteException _Unwind_GetIP _Unwind_GetLanguageSpecificData _Unwind_GetRegionStart
_Unwind_RaiseException _Unwind_Resume _Unwind_SetGR _Unwind_SetIP

mach_timebase_info proc_listpidspath proc_pidfdinfo proc_pidinfo proc_pidpath sysctl
sysctlbyname fstat$INODE64 lstat$INODE64 statfs$INODE64 __bzero
`
    .trim()
    .split(/\s+/),
);
