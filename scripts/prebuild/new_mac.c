/* operator new and delete, by their names in the object file. The C++ runtime
   that the compiler links statically has them as weak definitions that are
   exported, and dyld would then take some of them from the program and some
   from here, two allocators mixed. These are hidden. */
#include <stddef.h>
#include <stdlib.h>

static void* allocate(size_t size, size_t alignment) {
  void* memory = NULL;
  if (size == 0) size = 1;
  if (alignment < sizeof(void*)) alignment = sizeof(void*);
  /* Nothing here catches std::bad_alloc. */
  if (posix_memalign(&memory, alignment, size) != 0) abort();
  return memory;
}

#define NEW(name)          \
  void* name(size_t size); \
  void* name(size_t size) { return allocate(size, 16); }
NEW(_Znwm)
NEW(_Znam)

#define NEW_ALIGNED(name)                    \
  void* name(size_t size, size_t alignment); \
  void* name(size_t size, size_t alignment) { return allocate(size, alignment); }
NEW_ALIGNED(_ZnwmSt11align_val_t)
NEW_ALIGNED(_ZnamSt11align_val_t)

#define DELETE(name, ...) \
  void name(__VA_ARGS__); \
  void name(__VA_ARGS__) { free(memory); }
DELETE(_ZdlPv, void* memory)
DELETE(_ZdaPv, void* memory)
DELETE(_ZdlPvm, void* memory, size_t size)
DELETE(_ZdaPvm, void* memory, size_t size)
DELETE(_ZdlPvSt11align_val_t, void* memory, size_t alignment)
DELETE(_ZdaPvSt11align_val_t, void* memory, size_t alignment)
DELETE(_ZdlPvmSt11align_val_t, void* memory, size_t size, size_t alignment)
DELETE(_ZdaPvmSt11align_val_t, void* memory, size_t size, size_t alignment)
