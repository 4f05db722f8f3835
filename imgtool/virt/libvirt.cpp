#include "imgtool/virt/libvirt.hpp"

#include <algorithm>
#include <array>
#include <atomic>
#include <climits>
#include <cstdlib>
#include <set>
#include <sstream>
#include <thread>
#include <utility>

#include <fmt/format.h>
#include <unistd.h>

#include "imgtool/virt/libvirt_calls.hpp"

namespace imgtool::virt {

using calls::checked;
using calls::exists_or_throw;
using calls::owned;
using calls::taken;
using calls::throw_last_error;

namespace {

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

// QEMU's words come with line breaks.
std::string one_line(const std::string& text) {
  std::string line;
  std::istringstream lines(text);
  for (std::string part; std::getline(lines, part);) {
    if (!part.empty()) line += (line.empty() ? "" : "; ") + part;
  }
  return line;
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
// no thread delivers events and answers keepalives while no call is under way.
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

void calls::run_event_loop() { EventLoop::start(); }

LibvirtError::LibvirtError(int code, int domain, const std::string& text, const std::string& hint)
    : std::runtime_error(fmt::format("libvirt: {} (code {}){}{}", one_line(text), code,
                                     hint.empty() ? "" : "; ", hint)),
      code_(code),
      domain_(domain),
      text_(one_line(text)),
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

Domain::Domain(Owned<_virDomain> handle, std::optional<Listed> listed_as)
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
  return listed_as_ ? listed_as_->active : checked(virDomainIsActive(handle_.get())) == 1;
}

bool Domain::is_persistent() const {
  return listed_as_ ? listed_as_->persistent : checked(virDomainIsPersistent(handle_.get())) == 1;
}

std::string Domain::live_xml() const { return taken(virDomainGetXMLDesc(handle_.get(), 0)); }

std::string Domain::inactive_xml(bool with_secrets) const {
  const unsigned secrets = with_secrets ? unsigned{VIR_DOMAIN_XML_SECURE} : 0U;
  return taken(virDomainGetXMLDesc(handle_.get(), VIR_DOMAIN_XML_INACTIVE | secrets));
}

std::optional<std::string> Domain::saved_xml() const {
  if (listed_as_ && !listed_as_->saved) return std::nullopt;
  const int saved = virDomainHasManagedSaveImage(handle_.get(), 0);
  if (saved < 0 && virGetLastErrorCode() != VIR_ERR_NO_SUPPORT) throw_last_error();
  if (saved != 1) return std::nullopt;
  char* text = virDomainManagedSaveGetXMLDesc(handle_.get(), 0);
  return text != nullptr ? taken(text) : inactive_xml(false);
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

// --- the connection -----------------------------------------------------------------------

Connection::Connection(const std::optional<std::string>& uri, Access access)
    : handle_(nullptr, calls::close_connection) {
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

bool Connection::leads_here() const {
  std::array<char, HOST_NAME_MAX + 1> own{};
  if (::gethostname(own.data(), own.size()) != 0) return false;
  const std::string here = own.data();
  const std::string there = taken(virConnectGetHostname(handle_.get()));
  // libvirt adds the domain where it can find it out.
  return there == here || there.starts_with(here + ".");
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
// now; three more calls tell about all of them what would take three for each.
std::vector<Domain> Connection::domains() const {
  const std::set<std::string> active =
      uuids_of(list_domains(get(), VIR_CONNECT_LIST_DOMAINS_ACTIVE));
  const std::set<std::string> transient =
      uuids_of(list_domains(get(), VIR_CONNECT_LIST_DOMAINS_TRANSIENT));
  const std::set<std::string> saved =
      uuids_of(list_domains(get(), VIR_CONNECT_LIST_DOMAINS_MANAGEDSAVE));
  std::vector<Owned<_virDomain>> handles = list_domains(get(), 0);
  std::vector<Domain> domains;
  domains.reserve(handles.size());
  for (Owned<_virDomain>& handle : handles) {
    const std::string uuid = uuid_of(handle.get());
    const bool lasts = !transient.contains(uuid);
    const Domain::Listed listed_as{active.contains(uuid) || !lasts, lasts, saved.contains(uuid)};
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

}  // namespace imgtool::virt
