#include "imgtool/virt/libvirt.hpp"

#include <algorithm>
#include <array>
#include <cctype>
#include <condition_variable>
#include <mutex>
#include <set>
#include <thread>
#include <utility>

#include <fmt/format.h>
#include <libvirt/libvirt.h>
#include <libvirt/virterror.h>

namespace imgtool::virt {
namespace {

// The error of the call that just failed in this thread; later calls overwrite it.
[[noreturn]] void throw_last_error() {
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

int checked(int result) {
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

std::string taken(char* text) {
  checked(text);
  std::string result = text;
  std::free(text);  // NOLINT(*): libvirt's strings are malloc's
  return result;
}

void close_connection(virConnectPtr connection) { virConnectClose(connection); }
void free_domain(virDomainPtr domain) { virDomainFree(domain); }
void free_pool(virStoragePoolPtr pool) { virStoragePoolFree(pool); }
void free_volume(virStorageVolPtr volume) { virStorageVolFree(volume); }
void free_stream(virStreamPtr stream) { virStreamFree(stream); }

Owned<_virDomain> owned(virDomainPtr domain) { return {domain, free_domain}; }
Owned<_virStorageVol> owned(virStorageVolPtr volume) { return {volume, free_volume}; }
Owned<_virStoragePool> owned(virStoragePoolPtr pool) { return {pool, free_pool}; }

unsigned flags_of(Halves halves) {
  return (halves.live ? unsigned{VIR_DOMAIN_AFFECT_LIVE} : 0U) |
         (halves.config ? unsigned{VIR_DOMAIN_AFFECT_CONFIG} : 0U);
}

std::string uuid_of(virDomainPtr domain) {
  std::array<char, VIR_UUID_STRING_BUFLEN> uuid{};
  checked(virDomainGetUUIDString(domain, uuid.data()));
  return uuid.data();
}

std::vector<Owned<_virDomain>> list_domains(virConnectPtr connection, unsigned flags) {
  virDomainPtr* list = nullptr;
  const int count = checked(virConnectListAllDomains(connection, &list, flags));
  std::vector<Owned<_virDomain>> handles;
  handles.reserve(static_cast<std::size_t>(count));
  for (int index = 0; index < count; ++index) handles.push_back(owned(list[index]));
  std::free(list);  // NOLINT(*): made by malloc
  return handles;
}

std::set<std::string> uuids_of(const std::vector<Owned<_virDomain>>& domains) {
  std::set<std::string> uuids;
  for (const auto& domain : domains) uuids.insert(uuid_of(domain.get()));
  return uuids;
}

// Before the first connection.
void prepare_libvirt() {
  static const bool once = [] {
    virSetErrorFunc(nullptr, [](void*, virErrorPtr) {});
    checked(virInitialize());
    checked(virEventRegisterDefaultImpl());
    return true;
  }();
  (void)once;
}

// Runs libvirt's default event loop until the process ends. Calls get on without, and faster, but
// nobody delivers events and answers keepalives while no call is under way.
class EventLoop {
 public:
  static void start() { static EventLoop loop; }

  EventLoop(const EventLoop&) = delete;

 private:
  EventLoop() {
    timer_ = checked(virEventAddTimeout(
        -1, [](int, void*) {}, nullptr, nullptr));
    thread_ = std::thread([this] {
      while (!stop_.load()) virEventRunDefaultImpl();
    });
  }
  ~EventLoop() {
    stop_.store(true);
    virEventUpdateTimeout(timer_, 0);  // wakes it
    thread_.join();
  }

  std::atomic<bool> stop_ = false;
  int timer_ = -1;
  std::thread thread_;
};

}  // namespace

LibvirtError::LibvirtError(int code, int domain, std::string text, const std::string& hint)
    : std::runtime_error(
          fmt::format("libvirt: {} (code {}){}{}", text, code, hint.empty() ? "" : "; ", hint)),
      code_(code),
      domain_(domain),
      text_(std::move(text)),
      hint_(hint) {}

std::string_view to_string(DomainState state) {
  constexpr std::array<std::string_view, 8> names = {"no state", "running",       "blocked",
                                                     "paused",   "shutting down", "shut off",
                                                     "crashed",  "suspended"};
  return names[static_cast<std::size_t>(state)];
}

bool names_host(std::string_view uri) {
  const std::size_t begin = uri.find("://");
  return begin != std::string_view::npos && begin + 3 < uri.size() && uri[begin + 3] != '/' &&
         uri[begin + 3] != '?';
}

bool may_be_this_host(const std::optional<std::string>& uri) {
  if (uri) return !names_host(*uri);
  const char* usual = std::getenv("LIBVIRT_DEFAULT_URI");
  return usual == nullptr || !names_host(usual);
}

// --- domains ------------------------------------------------------------------------------

Domain::Domain(Owned<_virDomain> handle, std::optional<Halves> listed_as)
    : handle_(std::move(handle)), listed_as_(listed_as) {
  name_ = checked(virDomainGetName(handle_.get()));
  uuid_ = uuid_of(handle_.get());
}

DomainState Domain::state() const {
  int state = 0;
  checked(virDomainGetState(handle_.get(), &state, nullptr, 0));
  const bool known = state >= 0 && state <= static_cast<int>(DomainState::suspended);
  return known ? static_cast<DomainState>(state) : DomainState::none;
}

bool Domain::is_active() const {
  return listed_as_ ? listed_as_->live : checked(virDomainIsActive(handle_.get())) == 1;
}

bool Domain::is_persistent() const {
  return listed_as_ ? listed_as_->config : checked(virDomainIsPersistent(handle_.get())) == 1;
}

std::string Domain::live_xml() const { return taken(virDomainGetXMLDesc(handle_.get(), 0)); }

std::string Domain::inactive_xml(bool with_secrets) const {
  const unsigned secrets = with_secrets ? unsigned{VIR_DOMAIN_XML_SECURE} : 0U;
  return taken(virDomainGetXMLDesc(handle_.get(), VIR_DOMAIN_XML_INACTIVE | secrets));
}

void Domain::attach(const std::string& disk_xml, Halves halves) const {
  checked(virDomainAttachDeviceFlags(handle_.get(), disk_xml.c_str(), flags_of(halves)));
}

void Domain::detach(const std::string& disk_xml, Halves halves) const {
  checked(virDomainDetachDeviceFlags(handle_.get(), disk_xml.c_str(), flags_of(halves)));
}

void Domain::ask_to_let_go(const std::string& alias, const std::string& disk_xml) const {
  if (alias.empty()) {
    detach(disk_xml, {.live = true});
  } else {
    checked(virDomainDetachDeviceAlias(handle_.get(), alias.c_str(), VIR_DOMAIN_AFFECT_LIVE));
  }
}

void Domain::start() const { checked(virDomainCreate(handle_.get())); }

std::optional<Domain::BlockSize> Domain::block_size(const std::string& disk) const {
  virDomainBlockInfo info{};
  if (virDomainGetBlockInfo(handle_.get(), disk.c_str(), &info, 0) != 0) return std::nullopt;
  return BlockSize{info.capacity, info.allocation};
}

// --- storage ------------------------------------------------------------------------------

Volume::Volume(_virConnect* connection, Owned<_virStorageVol> handle)
    : connection_(connection), handle_(std::move(handle)) {
  name_ = checked(virStorageVolGetName(handle_.get()));
  path_ = taken(virStorageVolGetPath(handle_.get()));
}

std::string Volume::pool_name() const {
  const Owned<_virStoragePool> pool = owned(checked(virStoragePoolLookupByVolume(handle_.get())));
  return checked(virStoragePoolGetName(pool.get()));
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
  const Owned<_virStream> stream(checked(virStreamNew(connection_, 0)), free_stream);
  if (virStorageVolDownload(handle_.get(), stream.get(), 0, limit, 0) != 0) return std::nullopt;
  std::string bytes(limit, '\0');
  std::size_t filled = 0;
  while (filled < limit) {
    const int count = virStreamRecv(stream.get(), bytes.data() + filled, limit - filled);
    if (count < 0) return std::nullopt;
    if (count == 0) break;
    filled += static_cast<std::size_t>(count);
  }
  virStreamFinish(stream.get());
  bytes.resize(filled);
  return bytes;
}

Stream Volume::upload(std::uint64_t length, bool sparse) const {
  EventLoop::start();
  Owned<_virStream> stream(checked(virStreamNew(connection_, 0)), free_stream);
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

// --- the connection -----------------------------------------------------------------------

Connection::Connection(const std::optional<std::string>& uri, Access access)
    : handle_(nullptr, close_connection) {
  prepare_libvirt();
  const char* name = uri ? uri->c_str() : nullptr;
  const unsigned flags = access == Access::read_only ? unsigned{VIR_CONNECT_RO} : 0U;
  handle_.reset(virConnectOpenAuth(name, virConnectAuthPtrDefault, flags));
  if (!handle_) throw_last_error();
  constexpr int interval_s = 5;
  constexpr unsigned most_missed = 5;
  virConnectSetKeepAlive(handle_.get(), interval_s, most_missed);  // where the driver has it
  uri_ = taken(virConnectGetURI(handle_.get()));
  remote_ = names_host(uri_);
}

bool Connection::is_alive() const { return virConnectIsAlive(handle_.get()) == 1; }
std::string Connection::type() const { return checked(virConnectGetType(handle_.get())); }

bool Connection::has_io_uring() const {
  constexpr unsigned long libvirt_6_3 = 6003000;
  constexpr unsigned long qemu_5_0 = 5000000;
  unsigned long library = 0;
  unsigned long hypervisor = 0;
  return virConnectGetLibVersion(handle_.get(), &library) == 0 && library >= libvirt_6_3 &&
         virConnectGetVersion(handle_.get(), &hypervisor) == 0 && hypervisor >= qemu_5_0;
}

// Which domains there are comes from one call, so that none is missed that starts or ends right
// now; two more calls tell about all of them what would take two for each.
std::vector<Domain> Connection::domains() const {
  const std::set<std::string> active =
      uuids_of(list_domains(get(), VIR_CONNECT_LIST_DOMAINS_ACTIVE));
  const std::set<std::string> transient =
      uuids_of(list_domains(get(), VIR_CONNECT_LIST_DOMAINS_TRANSIENT));
  std::vector<Owned<_virDomain>> handles = list_domains(get(), 0);
  std::vector<Domain> domains;
  domains.reserve(handles.size());
  for (Owned<_virDomain>& handle : handles) {
    const std::string uuid = uuid_of(handle.get());
    const Halves listed_as{active.contains(uuid), !transient.contains(uuid)};
    domains.emplace_back(std::move(handle), listed_as);
  }
  std::sort(domains.begin(), domains.end(),
            [](const Domain& a, const Domain& b) { return a.name() < b.name(); });
  return domains;
}

Domain Connection::domain(const std::string& name) const {
  virDomainPtr found = virDomainLookupByName(handle_.get(), name.c_str());
  if (found == nullptr && name.size() == VIR_UUID_STRING_BUFLEN - 1) {
    found = virDomainLookupByUUIDString(handle_.get(), name.c_str());
  }
  return Domain(owned(checked(found)));
}

void Connection::define(const std::string& xml) const {
  const Owned<_virDomain> defined =
      owned(checked(virDomainDefineXMLFlags(handle_.get(), xml.c_str(), 0)));
}

std::optional<Pool> Connection::find_pool(const std::string& name) const {
  const virStoragePoolPtr pool = virStoragePoolLookupByName(handle_.get(), name.c_str());
  if (pool == nullptr) {
    const virErrorPtr error = virGetLastError();
    // A driver without storage has no pools.
    if (error != nullptr && error->code == VIR_ERR_NO_SUPPORT) return std::nullopt;
  }
  if (!exists_or_throw(pool, VIR_ERR_NO_STORAGE_POOL)) return std::nullopt;
  return Pool(handle_.get(), owned(pool));
}

std::optional<Volume> Connection::volume_at(const std::string& path) const {
  const virStorageVolPtr volume = virStorageVolLookupByPath(handle_.get(), path.c_str());
  if (volume == nullptr) {
    const virErrorPtr error = virGetLastError();
    if (error != nullptr && error->code == VIR_ERR_NO_SUPPORT) return std::nullopt;
  }
  if (!exists_or_throw(volume, VIR_ERR_NO_STORAGE_VOL)) return std::nullopt;
  return Volume(handle_.get(), owned(volume));
}

// --- removal ------------------------------------------------------------------------------

// Events arrive on the event loop's thread, also while the watch ends.
struct RemovalWatch::Shared {
  std::string alias;
  std::mutex mutex;
  std::condition_variable changed;
  std::optional<Outcome> outcome;

  void note(const char* device, Outcome what) {
    if (device == nullptr || alias != device) return;
    const std::lock_guard lock(mutex);
    outcome = what;
    changed.notify_all();
  }
};

RemovalWatch::RemovalWatch(const Connection& connection, const Domain& domain, std::string alias)
    : shared_(std::make_shared<Shared>()), connection_(connection.get()) {
  EventLoop::start();
  shared_->alias = std::move(alias);
  using Holder = std::shared_ptr<Shared>;
  const auto removed = [](virConnectPtr, virDomainPtr, const char* device, void* holder) {
    (*static_cast<Holder*>(holder))->note(device, Outcome::removed);
  };
  const auto refused = [](virConnectPtr, virDomainPtr, const char* device, void* holder) {
    (*static_cast<Holder*>(holder))->note(device, Outcome::refused);
  };
  const auto listen = [&](int event, virConnectDomainEventGenericCallback callback) {
    auto* holder = new Holder(shared_);
    const int id =
        virConnectDomainEventRegisterAny(connection_, domain.get(), event, callback, holder,
                                         [](void* opaque) { delete static_cast<Holder*>(opaque); });
    if (id < 0) {
      delete holder;  // a driver without events: wait() polls
    } else {
      callbacks_.push_back(id);
    }
  };
  virConnectDomainEventDeviceRemovedCallback on_removed = removed;
  virConnectDomainEventDeviceRemovalFailedCallback on_refused = refused;
  listen(VIR_DOMAIN_EVENT_ID_DEVICE_REMOVED, VIR_DOMAIN_EVENT_CALLBACK(on_removed));
  listen(VIR_DOMAIN_EVENT_ID_DEVICE_REMOVAL_FAILED, VIR_DOMAIN_EVENT_CALLBACK(on_refused));
}

RemovalWatch::~RemovalWatch() {
  for (const int id : callbacks_) virConnectDomainEventDeregisterAny(connection_, id);
}

RemovalWatch::Outcome RemovalWatch::wait(std::chrono::milliseconds timeout,
                                         const std::function<bool()>& is_gone,
                                         const std::function<bool()>& stop) {
  using namespace std::chrono_literals;
  const auto end = std::chrono::steady_clock::now() + timeout;
  auto next_look = std::chrono::steady_clock::now();
  while (true) {
    {
      std::unique_lock lock(shared_->mutex);
      shared_->changed.wait_for(lock, 100ms, [&] { return shared_->outcome.has_value(); });
      if (shared_->outcome) return *shared_->outcome;
    }
    const auto now = std::chrono::steady_clock::now();
    if (now >= next_look) {
      if (is_gone()) return Outcome::removed;
      next_look = now + 1s;
    }
    if (stop()) return Outcome::stopped;
    if (now >= end) return Outcome::timeout;
  }
}

}  // namespace imgtool::virt
