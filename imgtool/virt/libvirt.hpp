// libvirt's C API as values that clean up after themselves; the only user of its headers.
//
// A Connection is used by one thread. Another one runs libvirt's event loop where that is needed:
// it delivers events, and answers keepalives between the calls of a long job.
// Everything throws LibvirtError with what libvirt said. libvirt itself prints nothing.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

struct _virConnect;
struct _virDomain;
struct _virStoragePool;
struct _virStorageVol;
struct _virStream;

namespace imgtool::virt {

// what() is one line: "libvirt: TEXT (code 55)" and, where there is one, "; HINT".
class LibvirtError : public std::runtime_error {
 public:
  LibvirtError(int code, int domain, const std::string& text, const std::string& hint = "");

  [[nodiscard]] int code() const noexcept { return code_; }      // virErrorNumber
  [[nodiscard]] int domain() const noexcept { return domain_; }  // virErrorDomain
  [[nodiscard]] const std::string& text() const noexcept { return text_; }
  [[nodiscard]] const std::string& hint() const noexcept { return hint_; }
  // The same, with the way on.
  [[nodiscard]] LibvirtError with_hint(const std::string& hint) const {
    return {code_, domain_, text_, hint};
  }

 private:
  int code_;
  int domain_;
  std::string text_;
  std::string hint_;
};

namespace error_code {  // of virErrorNumber, those that decide something here
inline constexpr int no_support = 3;
inline constexpr int system_error = 38;
inline constexpr int no_domain = 42;
inline constexpr int operation_invalid = 55;
}  // namespace error_code

template <typename Handle>
using Owned = std::unique_ptr<Handle, void (*)(Handle*)>;

enum class DomainState : std::uint8_t {
  none,
  running,
  blocked,
  paused,
  shutting_down,
  shut_off,
  crashed,
  suspended,  // to RAM, by the guest
};
std::string_view to_string(DomainState state);

// The two halves of a domain that a change may concern.
struct Halves {
  bool live = false;
  bool config = false;
  friend bool operator==(const Halves&, const Halves&) = default;
};

class Domain {
 public:
  struct Listed {
    bool active = false;
    bool persistent = false;
    bool saved = false;
  };
  // `listed_as`: what it was a moment ago; saves asking.
  explicit Domain(Owned<_virDomain> handle, std::optional<Listed> listed_as = std::nullopt);

  [[nodiscard]] const std::string& name() const noexcept { return name_; }
  [[nodiscard]] const std::string& uuid() const noexcept { return uuid_; }
  [[nodiscard]] _virDomain* get() const noexcept { return handle_.get(); }

  [[nodiscard]] DomainState state() const;
  [[nodiscard]] bool is_active() const;
  [[nodiscard]] bool is_persistent() const;

  [[nodiscard]] std::string live_xml() const;
  // What the next start will use. `with_secrets`: with passwords, which a redefinition must not
  // lose; needs a connection that may write.
  [[nodiscard]] std::string inactive_xml(bool with_secrets) const;

  // What `virsh managedsave` kept, from which the next start goes on; nothing where nothing was.
  // Where libvirt cannot show it, the configuration, which comes closest.
  [[nodiscard]] std::optional<std::string> saved_xml() const;

  // One call, all or nothing. `disk_xml` is one <disk> element.
  void attach(const std::string& disk_xml, Halves halves) const;
  // For those of a running guest see below.
  void detach(const std::string& disk_xml, Halves halves) const;
  // Asks the running guest for a disk, and does not wait for it; see RemovalWatch.
  void ask_to_let_go(const std::string& alias, const std::string& disk_xml) const;
  void start() const;

  // Bytes that the guest sees, and bytes that are stored; nothing where libvirt cannot tell.
  struct BlockSize {
    std::uint64_t capacity;
    std::uint64_t allocation;
  };
  [[nodiscard]] std::optional<BlockSize> block_size(const std::string& disk) const;

 private:
  Owned<_virDomain> handle_;
  std::optional<Listed> listed_as_;
  std::string name_;
  std::string uuid_;
};

class Stream;

class Volume {
 public:
  Volume(_virConnect* connection, Owned<_virStorageVol> handle);

  [[nodiscard]] const std::string& name() const noexcept { return name_; }
  [[nodiscard]] const std::string& path() const noexcept { return path_; }
  [[nodiscard]] bool is_file() const;  // not a device, and not on the network
  [[nodiscard]] bool is_block() const;
  [[nodiscard]] std::uint64_t capacity() const;
  [[nodiscard]] std::string xml() const;
  // The first bytes, at most `limit`; nothing where the pool cannot read volumes.
  [[nodiscard]] std::optional<std::string> start(std::size_t limit) const;

  // From the volume's first byte on, `length` bytes. `sparse`: holes may be sent as holes.
  [[nodiscard]] Stream upload(std::uint64_t length, bool sparse) const;
  // Makes it longer; of files only.
  void grow(std::uint64_t capacity) const;
  // Makes all of it zeros, on its host; a file that has holes gets more of them. False: this kind
  // of pool cannot.
  [[nodiscard]] bool wipe() const;
  void remove() const;

 private:
  _virConnect* connection_;
  Owned<_virStorageVol> handle_;
  std::string name_;
  std::string path_;
};

// An upload. Unless finish() returned it is broken off, and it is unknown how much arrived.
class Stream {
 public:
  explicit Stream(Owned<_virStream> handle) : handle_(std::move(handle)) {}
  Stream(Stream&&) = default;
  Stream(const Stream&) = delete;
  ~Stream();

  void send(std::span<const std::byte> bytes);
  void send_hole(std::uint64_t length);
  void finish();

 private:
  Owned<_virStream> handle_;
  bool finished_ = false;
};

class Pool {
 public:
  Pool(_virConnect* connection, Owned<_virStoragePool> handle);

  [[nodiscard]] const std::string& name() const noexcept { return name_; }
  [[nodiscard]] bool is_active() const;
  [[nodiscard]] std::string xml() const;
  void refresh() const;
  [[nodiscard]] std::optional<Volume> find_volume(const std::string& name) const;
  [[nodiscard]] Volume create_volume(const std::string& xml) const;

 private:
  _virConnect* connection_;
  Owned<_virStoragePool> handle_;
  std::string name_;
};

enum class Access : std::uint8_t { read_only, read_write };

class Connection {
 public:
  // Without `uri` libvirt decides: LIBVIRT_DEFAULT_URI, its configuration, what is there.
  Connection(const std::optional<std::string>& uri, Access access);

  [[nodiscard]] const std::string& uri() const noexcept { return uri_; }
  // Paths mean files of another host.
  [[nodiscard]] bool is_remote() const noexcept { return remote_; }
  // Whether that host is this one, by its name.
  [[nodiscard]] bool leads_here() const;
  [[nodiscard]] bool is_alive() const;
  // "QEMU", "TEST", "Xen" ...
  [[nodiscard]] std::string type() const;
  // As far as the versions of libvirt and QEMU tell.
  [[nodiscard]] bool has_io_uring() const;

  // All of them, running or not, by name.
  [[nodiscard]] std::vector<Domain> domains() const;
  // By name, else by UUID.
  [[nodiscard]] Domain domain(const std::string& name) const;
  // Replaces the configuration of the domain that the XML names.
  void define(const std::string& xml) const;

  [[nodiscard]] std::optional<Pool> find_pool(const std::string& name) const;
  // The volume at this path, of all active pools.
  [[nodiscard]] std::optional<Volume> volume_at(const std::string& path) const;

  [[nodiscard]] _virConnect* get() const noexcept { return handle_.get(); }

 private:
  Owned<_virConnect> handle_;
  std::string uri_;
  bool remote_ = false;
};

// Whether the URI names a host, be it this one.
bool names_host(std::string_view uri);
// Whether the connection may turn out to be this host's, as far as the URI or, without one, the
// environment tells.
bool may_be_this_host(const std::optional<std::string>& uri);

// What becomes of a disk that a running guest was asked to let go: make one, then ask, then wait.
class RemovalWatch {
 public:
  enum class Outcome : std::uint8_t { removed, refused, timeout, stopped };

  RemovalWatch(const Connection& connection, const Domain& domain, std::string alias);
  ~RemovalWatch();
  RemovalWatch(const RemovalWatch&) = delete;

  // `is_gone` is asked now and then, for drivers without events and for events that were lost;
  // `stop` ends the wait.
  [[nodiscard]] Outcome wait(std::chrono::milliseconds timeout,
                             const std::function<bool()>& is_gone,
                             const std::function<bool()>& stop);

 private:
  struct Shared;
  std::shared_ptr<Shared> shared_;
  _virConnect* connection_;
  std::vector<int> callbacks_;
};

}  // namespace imgtool::virt
