// Storage pools, volumes and their streams: the part of libvirt.hpp that upload uses most.
#include <algorithm>
#include <cstdint>

#include "imgtool/virt/libvirt_calls.hpp"

namespace imgtool::virt {

using calls::checked;
using calls::exists_or_throw;
using calls::owned;
using calls::taken;
using calls::throw_last_error;

Volume::Volume(_virConnect* connection, Owned<_virStorageVol> handle)
    : connection_(connection), handle_(std::move(handle)) {
  name_ = checked(virStorageVolGetName(handle_.get()));
  path_ = taken(virStorageVolGetPath(handle_.get()));
}

bool Volume::is_file() const {
  virStorageVolInfo info{};
  checked(virStorageVolGetInfo(handle_.get(), &info));
  return info.type == VIR_STORAGE_VOL_FILE;
}

bool Volume::is_block() const {
  virStorageVolInfo info{};
  checked(virStorageVolGetInfo(handle_.get(), &info));
  return info.type == VIR_STORAGE_VOL_BLOCK;
}

std::uint64_t Volume::capacity() const {
  virStorageVolInfo info{};
  checked(virStorageVolGetInfo(handle_.get(), &info));
  return info.capacity;
}

std::string Volume::xml() const { return taken(virStorageVolGetXMLDesc(handle_.get(), 0)); }

std::optional<std::string> Volume::start(std::size_t limit) const {
  const Owned<_virStream> stream(checked(virStreamNew(connection_, 0)), calls::free_stream);
  if (virStorageVolDownload(handle_.get(), stream.get(), 0, limit, 0) != 0) return std::nullopt;
  std::string bytes(limit, '\0');
  std::size_t filled = 0;
  while (filled < limit) {
    const int count = virStreamRecv(stream.get(), bytes.data() + filled, limit - filled);
    if (count < 0) {
      virStreamAbort(stream.get());
      return std::nullopt;
    }
    if (count == 0) break;
    filled += static_cast<std::size_t>(count);
  }
  virStreamFinish(stream.get());
  bytes.resize(filled);
  return bytes;
}

Stream Volume::upload(std::uint64_t length, bool sparse) const {
  calls::run_event_loop();
  Owned<_virStream> stream(checked(virStreamNew(connection_, 0)), calls::free_stream);
  const unsigned flags = sparse ? unsigned{VIR_STORAGE_VOL_UPLOAD_SPARSE_STREAM} : 0U;
  checked(virStorageVolUpload(handle_.get(), stream.get(), 0, length, flags));
  return Stream(std::move(stream));
}

void Volume::grow(std::uint64_t capacity) const {
  checked(virStorageVolResize(handle_.get(), capacity, 0));
}

bool Volume::wipe() const {
  if (virStorageVolWipe(handle_.get(), 0) == 0) return true;
  const virErrorPtr error = virGetLastError();
  if (error != nullptr && error->code == VIR_ERR_NO_SUPPORT) return false;
  throw_last_error();
}

void Volume::remove() const { checked(virStorageVolDelete(handle_.get(), 0)); }

Stream::~Stream() {
  if (handle_ && !finished_) virStreamAbort(handle_.get());
}

void Stream::send(std::span<const std::byte> bytes) {
  constexpr std::size_t longest_message = 262120;  // that every libvirtd takes
  while (!bytes.empty()) {
    const std::size_t length = std::min(bytes.size(), longest_message);
    const int count =
        checked(virStreamSend(handle_.get(), reinterpret_cast<const char*>(bytes.data()), length));
    bytes = bytes.subspan(static_cast<std::size_t>(count));
  }
}

void Stream::send_hole(std::uint64_t length) {
  checked(virStreamSendHole(handle_.get(), static_cast<long long>(length), 0));
}

void Stream::finish() {
  finished_ = true;  // aborting after a failed finish would be too late
  checked(virStreamFinish(handle_.get()));
}

Pool::Pool(_virConnect* connection, Owned<_virStoragePool> handle)
    : connection_(connection), handle_(std::move(handle)) {
  name_ = checked(virStoragePoolGetName(handle_.get()));
}

bool Pool::is_active() const { return checked(virStoragePoolIsActive(handle_.get())) == 1; }
std::string Pool::xml() const { return taken(virStoragePoolGetXMLDesc(handle_.get(), 0)); }
void Pool::refresh() const { checked(virStoragePoolRefresh(handle_.get(), 0)); }

std::optional<Volume> Pool::find_volume(const std::string& name) const {
  const virStorageVolPtr volume = virStorageVolLookupByName(handle_.get(), name.c_str());
  if (!exists_or_throw(volume, VIR_ERR_NO_STORAGE_VOL)) return std::nullopt;
  return Volume(connection_, owned(volume));
}

Volume Pool::create_volume(const std::string& xml) const {
  return {connection_, owned(checked(virStorageVolCreateXML(handle_.get(), xml.c_str(), 0)))};
}

}  // namespace imgtool::virt
