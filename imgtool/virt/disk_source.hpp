// What a disk of a domain is made from, as libvirt's <source> says it and as users name it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace pugi {
class xml_node;
}

namespace imgtool::virt {

enum class SourceType : std::uint8_t {
  none,  // an empty drive
  block,
  file,
  volume,
  network,
  other,  // libvirt knows more than we do: nvme, vhostuser, dir ...
};
std::string_view to_string(SourceType type);

struct DiskSource {
  SourceType type = SourceType::none;
  std::string path{};    // block and file
  std::string pool{};    // volume
  std::string volume{};  // volume
  // network: "nbd", "rbd" ...; `name` is the export or POOL/IMAGE, either a host or a socket.
  std::string protocol{};
  std::string name{};
  std::string snapshot{};  // of rbd
  std::string host{};
  std::string port{};
  std::string socket{};

  // How people write it: a path, POOL/VOL, nbd://HOST:PORT/NAME. Not escaped.
  [[nodiscard]] std::string label() const;
  // A network disk's: equal names are the same bytes. Else "".
  [[nodiscard]] std::string network_identity() const;
};

// Reads the <source> of a <disk>, a <mirror> or a <backingStore>; `type` is that element's.
DiskSource read_source(std::string_view type, const pugi::xml_node& source);
// Writes the <source> below `disk`, and the type attribute.
void write_source(const DiskSource& source, pugi::xml_node& disk);

// "nbd://HOST[:PORT]/EXPORT", "nbd+unix:///EXPORT?socket=PATH", "rbd:POOL/IMAGE[@SNAPSHOT]";
// nothing when it is none of these. Throws UsageError when it begins like one.
std::optional<DiskSource> parse_network_source(const std::string& text);

}  // namespace imgtool::virt
