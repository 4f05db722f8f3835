#include "imgtool/virt/source_check.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <filesystem>
#include <span>

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include "formats/images/block_formats.hpp"
#include "formats/images/facts.hpp"
#include "formats/images/probe.hpp"
#include "formats/images/reference.hpp"
#include "imgtool/terminal/escape.hpp"
#include "imgtool/terminal/shell_word.hpp"
#include "io/error.hpp"

namespace imgtool::virt {
namespace {

namespace fs = std::filesystem;
using formats::Format;

// --- names --------------------------------------------------------------------------------

std::size_t count_of(std::string_view needle, std::string_view text) {
  std::size_t count = 0;
  for (std::size_t at = text.find(needle); at != text.npos; at = text.find(needle, at + 1)) ++count;
  return count;
}

// What neither XML nor libvirt could carry.
void refuse_unwritable(const std::string& name) {
  for (const char c : name) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) {
      throw io::Error::refusal(name,
                               "has control characters in its name, which libvirt cannot take");
    }
  }
  if (count_of("\\x", terminal_text(name)) >
      count_of("\\x", name)) {  // bytes that had to be escaped
    throw io::Error::refusal(name, "has a name that is not UTF-8, which libvirt cannot take");
  }
}

// Absolute, without "." and ".." (which libvirt would keep); the last link stays a link.
std::string absolute_path(const std::string& name) {
  const fs::path path(name);
  const bool plain = path.is_absolute() && name.find("/./") == std::string::npos &&
                     name.find("/../") == std::string::npos && path.has_filename() &&
                     path.filename() != "." && path.filename() != "..";
  if (plain) return name;
  std::error_code failed;
  fs::path absolute = fs::absolute(path, failed);
  if (!absolute.has_filename() || absolute.filename() == "." || absolute.filename() == "..") {
    return fs::weakly_canonical(absolute, failed).string();
  }
  const fs::path folder = fs::canonical(absolute.parent_path(), failed);
  return failed ? absolute.string() : (folder / absolute.filename()).string();
}

bool has_pool_form(const std::string& name) {
  const std::size_t slash = name.find('/');
  return !name.starts_with('/') && !name.starts_with("./") && !name.starts_with("../") &&
         slash != std::string::npos && slash + 1 < name.size();
}

struct NamedVolume {
  Pool pool;
  Volume volume;
};

void refuse_file_and_volume(const Connection& connection, const Pool& pool,
                            const std::string& name) {
  if (connection.is_remote() || !io::exists(name)) return;
  throw io::Error::refusal(
      name, fmt::format("is a file here and a name in the pool {}: say ./{} for the file, or go "
                        "to another folder for the volume",
                        pool.name(), name));
}

// POOL/VOL; nothing when that is no pool.
std::optional<NamedVolume> find_named_volume(const Connection& connection,
                                             const std::string& name) {
  if (!has_pool_form(name)) return std::nullopt;
  const std::size_t slash = name.find('/');
  auto pool = connection.find_pool(name.substr(0, slash));
  if (!pool) return std::nullopt;
  refuse_file_and_volume(connection, *pool, name);
  if (!pool->is_active()) {
    throw io::Error::refusal(name,
                             fmt::format("the storage pool is not running: virsh pool-start {}",
                                         shell_word(pool->name())));
  }
  const std::string volume_name = name.substr(slash + 1);
  auto volume = pool->find_volume(volume_name);
  if (!volume) {
    pool->refresh();  // it may have come by another way
    volume = pool->find_volume(volume_name);
  }
  if (!volume) throw io::Error::refusal(name, "there is no such volume in that storage pool");
  return NamedVolume{std::move(*pool), std::move(*volume)};
}

// --- formats ------------------------------------------------------------------------------

void refuse_contradiction(const std::string& path, const SourceWishes& wishes,
                          const std::string& found) {
  if (wishes.format && *wishes.format != found) {
    throw io::Error::refusal(path,
                             fmt::format("is {} by its content, not {}: a guest that is shown "
                                         "it as {} would destroy it",
                                         found, *wishes.format, *wishes.format));
  }
}

// By which libvirt calls images that QEMU can also write to. It has no name for VHDX.
constexpr auto other_guest_formats =
    std::to_array<Format>({Format::vdi, Format::vpc, Format::vmdk, Format::qed, Format::qcow});

// `found` is the format by the content, `start` its first bytes. `is_file`: a disk's bytes are its
// content, whatever they look like.
std::string settled_format(const std::string& path, Format found, std::string_view start,
                           bool is_file, const SourceWishes& wishes) {
  if (found == Format::qcow2) {
    refuse_contradiction(path, wishes, "qcow2");
    return "qcow2";
  }
  const std::string foreign = is_file ? foreign_format(start) : "";
  const bool usable = std::find(other_guest_formats.begin(), other_guest_formats.end(), found) !=
                      other_guest_formats.end();
  if (is_file && usable && foreign.empty()) {
    refuse_contradiction(path, wishes, std::string(name_of(found)));
    return std::string(name_of(found));
  }
  if (!foreign.empty() || (is_file && found != Format::raw)) {
    const std::string name = foreign.empty() ? std::string(name_of(found)) : foreign;
    throw io::Error::refusal(
        path, fmt::format("is {} by its content, which no guest can use as its disk: {} makes one "
                          "of it",
                          name, foreign.empty() ? "imgtool convert" : "qemu-img convert"));
  }
  refuse_contradiction(path, wishes, "raw");
  return "raw";
}

// What makes a qcow2 image useless or dangerous for a guest.
void check_qcow2(CheckedSource& checked, const std::string& path, const SourceWishes& wishes) {
  const auto facts = formats::read_facts(path, Format::qcow2, wishes.follow_references);
  checked.size = facts.front().virtual_size;
  for (const formats::ImageFacts& image : facts) {
    if (!image.qcow2) continue;
    const formats::qcow2::Header& header = image.qcow2->header;
    const auto refuse = [&](std::string why) {
      throw io::Error::refusal(image.path, std::move(why));
    };
    if (header.encryption != formats::qcow2::Encryption::none) {
      refuse("is encrypted, and attach cannot give libvirt the secret");
    }
    if (header.external_data) refuse("keeps its data in another file, which libvirt cannot attach");
    if (header.corrupt) refuse("is marked as corrupt: imgtool check says what is wrong");
    if (!header.backing_file.empty() && !wishes.follow_references) {
      refuse(
          fmt::format("needs its backing file '{}', which the guest could then read: give "
                      "--follow-references if that is right",
                      header.backing_file));
    }
  }
  for (std::size_t index = 1; index < facts.size(); ++index) {
    checked.chain.push_back(absolute_path(facts[index].path));
  }
}

// The same of an image of another program.
void check_other(CheckedSource& checked, const io::File& file, Format format,
                 const SourceWishes& wishes) {
  const auto facts = formats::read_block_facts(file, format);
  checked.size = facts.virtual_size;
  const auto refuse = [&](std::string_view why) {
    throw io::Error::refusal(
        file.path(),
        fmt::format("{}: imgtool convert -O qcow2 makes a disk for a guest of it", why));
  };
  if (formats::parent_of(file, format)) refuse("lies over another image");
  if (facts.subformat == "streamOptimized" && !wishes.readonly) {
    refuse("is a VMDK stream, to which no guest can write (--readonly would do)");
  }
  if (!wishes.readonly) {
    checked.notes.push_back(
        fmt::format("QEMU writes to {} images, but only qcow2 and raw are meant for it: imgtool "
                    "convert -O qcow2",
                    name_of(format)));
  }
}

// --- kinds of sources ---------------------------------------------------------------------

std::string inactive_volume_advice(const std::string& path) {
  const fs::path folder = fs::path(path).parent_path();
  const bool mapper = folder == "/dev/mapper";
  const bool volume =
      folder.parent_path() == "/dev" && folder != "/dev/disk" && folder != "/dev/shm";
  if (!mapper && !volume) return "";
  const std::string name = mapper ? path : path.substr(5);
  return fmt::format("; if it is a logical volume, it is not active: lvchange -ay {}",
                     shell_word(name));
}

io::FileStatus status_or_refuse(const std::string& path) {
  try {
    return io::status_of(path);
  } catch (const io::Error& error) {
    if (error.error_number() != ENOENT && error.error_number() != ENOTDIR) throw;
    throw io::Error::refusal(path, "does not exist" + inactive_volume_advice(path));
  }
}

void look_into(CheckedSource& checked, const std::string& path, const SourceWishes& wishes) {
  const io::FileStatus status = status_or_refuse(path);
  checked.local_file = true;
  checked.local_block = status.kind == io::FileKind::block_device;
  if (status.kind != io::FileKind::regular && !checked.local_block) {
    throw io::Error::refusal(path, "is neither a disk nor a regular file");
  }
  io::File file(path, O_RDONLY);
  if (file.size() == 0) throw io::Error::refusal(path, "is empty");
  checked.size = file.size();
  std::array<std::byte, 512> start{};
  const std::size_t count = file.read_at(0, start);
  const std::string_view bytes(reinterpret_cast<const char*>(start.data()), count);
  const Format found = formats::probe(file);
  checked.format = settled_format(path, found, bytes, !checked.local_block, wishes);
  checked.format_reason = "its content";
  if (checked.format == "qcow2") check_qcow2(checked, path, wishes);
  if (checked.format != "qcow2" && checked.format != "raw") {
    check_other(checked, file, found, wishes);
  }
  checked.direct = file.try_direct();
  if (!wishes.readonly && ::access(path.c_str(), W_OK) != 0 && errno == EROFS) {
    throw io::Error::refusal(path,
                             "lies on a file system that is mounted read-only: give --readonly");
  }
}

CheckedSource check_path(const HostStorage& host, const std::string& name,
                         const SourceWishes& wishes) {
  CheckedSource checked;
  const std::string path = absolute_path(name);
  refuse_unwritable(path);
  look_into(checked, path, wishes);
  checked.source.type = checked.local_block ? SourceType::block : SourceType::file;
  checked.source.path = path;
  checked.identity = host.identity(path);
  if (checked.local_block) {
    const LastingName lasting = host.lasting_name(path);
    checked.source.path = lasting.path;
    if (!lasting.lasts) {
      checked.notes.push_back(fmt::format(
          "{} has no name that lasts: it may be another device after the host's next start",
          lasting.path));
    }
  }
  return checked;
}

CheckedSource check_network(const DiskSource& source, const HostStorage& host,
                            const SourceWishes& wishes) {
  CheckedSource checked;
  checked.source = source;
  checked.identity = host.identity(source);
  checked.format = wishes.format.value_or("raw");
  checked.format_reason =
      wishes.format ? "--format" : "network disks are raw unless --format says so";
  checked.notes.push_back(
      fmt::format("not checked: whether {} exists, what it holds, and who uses it by another name",
                  source.label()));
  if (!source.snapshot.empty() && !wishes.readonly) {
    throw io::Error::refusal(source.label(),
                             "is a snapshot, which cannot be written to: give --readonly");
  }
  return checked;
}

// Format and content as far as the connection shows them.
void ask_volume(CheckedSource& checked, const Volume& volume, const SourceWishes& wishes) {
  checked.format = wishes.format.value_or("raw");
  checked.format_reason = "--format";
  const auto start = volume.start(512);
  if (start) {
    const auto bytes = std::as_bytes(std::span<const char>(*start));
    const Format found =
        formats::probe(bytes.first(std::min<std::size_t>(bytes.size(), formats::probe_bytes)));
    checked.format = settled_format(volume.path(), found, *start, volume.is_file(), wishes);
    checked.format_reason = "its content, read through libvirt";
  } else if (!wishes.format) {
    throw io::Error::refusal(volume.path(),
                             "cannot be read through libvirt, so its format is not "
                             "known: give --format");
  }
  if (checked.format == "qcow2") {
    checked.notes.push_back(fmt::format("not checked: the backing files of {}", volume.path()));
  }
}

CheckedSource check_volume(const Connection& connection, const HostStorage& host,
                           const NamedVolume& named, const SourceWishes& wishes) {
  const Volume& volume = named.volume;
  CheckedSource checked;
  const bool has_path = volume.is_file() || volume.is_block();
  if (!connection.is_remote() && has_path) {
    look_into(checked, volume.path(), wishes);
  } else {
    ask_volume(checked, volume, wishes);
    checked.size = volume.capacity();
    checked.direct = !volume.is_file();
    if (connection.is_remote()) {
      checked.notes.push_back(
          fmt::format("not checked: what else on that host uses {}", volume.path()));
    }
  }
  checked.source.type = SourceType::volume;
  checked.source.pool = named.pool.name();
  checked.source.volume = volume.name();
  checked.identity = host.identity(checked.source);
  return checked;
}

CheckedSource check_remote_path(const Connection& connection, const HostStorage& host,
                                const std::string& path, const SourceWishes& wishes) {
  if (!path.starts_with('/')) {
    throw io::Error::refusal(path, "is no absolute path, and means nothing on another host");
  }
  refuse_unwritable(path);
  CheckedSource checked;
  checked.source.path = path;
  checked.identity = host.identity(path);
  if (const auto volume = connection.volume_at(path)) {
    checked.source.type = volume->is_block() ? SourceType::block : SourceType::file;
    ask_volume(checked, *volume, wishes);
    checked.size = volume->capacity();
  } else {
    const bool device = path.starts_with("/dev/") && !path.starts_with("/dev/shm/");
    checked.source.type = device ? SourceType::block : SourceType::file;
    if (!wishes.format) {
      throw io::Error::refusal(path,
                               "is on another host and in none of its storage pools, so its "
                               "format is not known: give --format");
    }
    checked.format = *wishes.format;
    checked.format_reason = "--format";
    checked.notes.push_back(
        fmt::format("not checked, since it is on another host: whether {} "
                    "exists, and its format",
                    path));
  }
  checked.direct = checked.source.type == SourceType::block;
  checked.notes.push_back(
      fmt::format("not checked, since it is on another host: what else uses {}, "
                  "maybe under another name",
                  path));
  return checked;
}

}  // namespace

std::string foreign_format(std::string_view start) {
  struct Magic {
    std::size_t offset;
    std::string_view bytes;
    std::string_view name;
  };
  static constexpr std::array<Magic, 2> known = {
      {{0, "COWD", "vmdk"}, {0, "# Disk DescriptorFile", "vmdk"}}};
  for (const Magic& magic : known) {
    if (start.size() >= magic.offset + magic.bytes.size() &&
        start.substr(magic.offset, magic.bytes.size()) == magic.bytes) {
      return std::string(magic.name);
    }
  }
  return "";
}

CheckedSource check_source(const Connection& connection, const HostStorage& host,
                           const std::string& name, const SourceWishes& wishes) {
  if (const auto network = parse_network_source(name)) {
    refuse_unwritable(name);
    return check_network(*network, host, wishes);
  }
  if (const auto volume = find_named_volume(connection, name)) {
    return check_volume(connection, host, *volume, wishes);
  }
  if (connection.is_remote()) return check_remote_path(connection, host, name, wishes);
  return check_path(host, name, wishes);
}

Identity identity_of_name(const Connection& connection, const HostStorage& host,
                          const std::string& name) {
  if (const auto network = parse_network_source(name)) return host.identity(*network);
  if (has_pool_form(name)) {
    const std::size_t slash = name.find('/');
    if (const auto pool = connection.find_pool(name.substr(0, slash))) {
      refuse_file_and_volume(connection, *pool, name);
      DiskSource volume{SourceType::volume};  // which need not be there any more
      volume.pool = pool->name();
      volume.volume = name.substr(slash + 1);
      return host.identity(volume);
    }
  }
  return host.identity(connection.is_remote() ? name : absolute_path(name));
}

}  // namespace imgtool::virt
