// What every call of libvirt's C API needs: its error as an exception, its handles owned. Only for
// the files behind libvirt.hpp.
#pragma once

#include <cstdlib>
#include <string>

#include <libvirt/libvirt.h>
#include <libvirt/virterror.h>

#include "imgtool/virt/libvirt.hpp"

namespace imgtool::virt::calls {

// The error of the call that just failed in this thread; later calls overwrite it.
[[noreturn]] inline void throw_last_error() {
  const virErrorPtr error = virGetLastError();
  if (error == nullptr) {
    throw LibvirtError(VIR_ERR_INTERNAL_ERROR, 0, "failed without saying why");
  }
  throw LibvirtError(error->code, error->domain,
                     error->message == nullptr ? "failed" : error->message);
}

template <typename Handle>
Handle* checked(Handle* handle) {
  if (handle == nullptr) throw_last_error();
  return handle;
}

inline int checked(int result) {
  if (result < 0) throw_last_error();
  return result;
}

// Nothing for `absent`, which is an answer; any other error is thrown.
template <typename Handle>
bool exists_or_throw(Handle* handle, int absent) {
  if (handle != nullptr) return true;
  const virErrorPtr error = virGetLastError();
  if (error != nullptr && error->code == absent) return false;
  throw_last_error();
}

inline std::string taken(char* text) {
  checked(text);
  std::string result = text;
  std::free(text);  // NOLINT(*): libvirt's strings are malloc's
  return result;
}

inline void close_connection(virConnectPtr connection) { virConnectClose(connection); }
inline void free_domain(virDomainPtr domain) { virDomainFree(domain); }
inline void free_pool(virStoragePoolPtr pool) { virStoragePoolFree(pool); }
inline void free_volume(virStorageVolPtr volume) { virStorageVolFree(volume); }
inline void free_stream(virStreamPtr stream) { virStreamFree(stream); }

inline Owned<_virDomain> owned(virDomainPtr domain) { return {domain, free_domain}; }
inline Owned<_virStorageVol> owned(virStorageVolPtr volume) { return {volume, free_volume}; }
inline Owned<_virStoragePool> owned(virStoragePoolPtr pool) { return {pool, free_pool}; }

// Starts the thread that delivers events, and answers keepalives while no call is under way.
void run_event_loop();

}  // namespace imgtool::virt::calls
