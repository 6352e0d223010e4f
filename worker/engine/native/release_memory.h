// Memory that only the start has needed, given back: TensorFlow's libraries are read nearly whole while they are loaded
// (relocations, registrations of thousands of kernels), and what making a graph has freed stays with the allocator.
#pragma once
#include <node_api.h>
#ifdef __linux__
#include <link.h>
#include <malloc.h>
#include <sys/mman.h>
#include <unistd.h>
#include <cstdint>
#include <cstring>
#endif

namespace ringmaster {

#ifdef __linux__
// Unmaps the pages of a library's read-only segments: what is used again is found in the page cache. Segments that are
// written to, relocations included, are left alone.
inline int DropFilePages(dl_phdr_info *library, size_t, void *) {
  if (std::strstr(library->dlpi_name, "libtensorflow") == nullptr) return 0;
  const ElfW(Addr) page = sysconf(_SC_PAGESIZE);
  for (int k = 0; k < library->dlpi_phnum; ++k) {
    const ElfW(Phdr) &segment = library->dlpi_phdr[k];
    if (segment.p_type != PT_LOAD || (segment.p_flags & PF_W) != 0) continue;
    const ElfW(Addr) begin = (library->dlpi_addr + segment.p_vaddr + page - 1) / page * page;
    const ElfW(Addr) end = (library->dlpi_addr + segment.p_vaddr + segment.p_filesz) / page * page;
    if (end > begin) madvise(reinterpret_cast<void *>(begin), end - begin, MADV_DONTNEED);
  }
  return 0;
}
#endif

// releasePages(vector): gives back the pages that lie whole within a typed array. They hold zeros from then on, on Linux; elsewhere
// nothing happens.
inline napi_value ReleasePages(napi_env env, napi_callback_info info) {
#ifdef __linux__
  size_t count = 1;
  napi_value vector = nullptr;
  if (napi_get_cb_info(env, info, &count, &vector, nullptr, nullptr) != napi_ok || count < 1) return nullptr;
  napi_typedarray_type type;
  size_t length = 0;
  void *data = nullptr;
  if (napi_get_typedarray_info(env, vector, &type, &length, &data, nullptr, nullptr) != napi_ok ||
      type != napi_uint8_array) {
    napi_throw_type_error(env, nullptr, "Cannot release the pages of what is no Uint8Array");
    return nullptr;
  }
  const uintptr_t page = sysconf(_SC_PAGESIZE);
  const uintptr_t begin = (reinterpret_cast<uintptr_t>(data) + page - 1) / page * page;
  const uintptr_t end = (reinterpret_cast<uintptr_t>(data) + length) / page * page;
  if (end <= begin) return nullptr;
  void *pages = reinterpret_cast<void *>(begin);
  // Of a file in memory the pages are the file's: only there the first one does anything, and the second would not free them.
  if (madvise(pages, end - begin, MADV_REMOVE) != 0) madvise(pages, end - begin, MADV_DONTNEED);
#endif
  return nullptr;
}

// releaseMemory(): gives back what is not needed any more, on Linux; nothing changes but how much is resident.
inline napi_value ReleaseMemory(napi_env, napi_callback_info) {
#ifdef __linux__
  dl_iterate_phdr(DropFilePages, nullptr);
#ifdef __GLIBC__
  malloc_trim(0);
#endif
#endif
  return nullptr;
}

}  // namespace ringmaster
