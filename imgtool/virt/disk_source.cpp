#include "imgtool/virt/disk_source.hpp"

#include <algorithm>
#include <array>
#include <cctype>

#include <fmt/format.h>
#include <pugixml.hpp>

#include "imgtool/terminal/usage_error.hpp"

namespace imgtool::virt {
namespace {

constexpr std::string_view nbd_port = "10809";

std::string lower_case(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return text;
}

[[noreturn]] void refuse_name(const std::string& text, std::string_view why) {
  throw UsageError(fmt::format("'{}' {}", text, why));
}

DiskSource parse_nbd_socket(const std::string& text, std::string_view rest) {
  DiskSource source{SourceType::network};
  source.protocol = "nbd";
  constexpr std::string_view key = "?socket=";
  const std::size_t query = rest.find(key);
  if (!rest.starts_with('/') || query == std::string_view::npos ||
      query + key.size() == rest.size()) {
    refuse_name(text, "is not nbd+unix:///EXPORT?socket=PATH");
  }
  source.name = rest.substr(1, query - 1);
  source.socket = rest.substr(query + key.size());
  if (source.socket.find('&') != std::string::npos || !source.socket.starts_with('/')) {
    refuse_name(text, "has to end in the absolute path of a socket");
  }
  return source;
}

DiskSource parse_nbd(const std::string& text, std::string_view rest) {
  DiskSource source{SourceType::network};
  source.protocol = "nbd";
  const std::size_t slash = rest.find('/');
  std::string_view place = rest.substr(0, slash);
  if (slash != std::string_view::npos) source.name = rest.substr(slash + 1);
  if (source.name.find('?') != std::string::npos) {
    refuse_name(text, "has options behind a '?', which are not known here");
  }
  // "[::1]:10809": the colons in brackets are the address's.
  const std::size_t bracket = place.starts_with('[') ? place.find(']') : std::string_view::npos;
  const std::size_t colon = place.find(':', bracket == std::string_view::npos ? 0 : bracket);
  source.port = colon == std::string_view::npos ? nbd_port : place.substr(colon + 1);
  place = place.substr(0, colon);
  source.host = bracket == std::string_view::npos
                    ? place
                    : place.substr(1, place.size() < 2 ? 0 : bracket - 1);
  const bool digits = std::all_of(source.port.begin(), source.port.end(),
                                  [](unsigned char c) { return std::isdigit(c) != 0; });
  if (source.host.empty() || source.port.empty() || source.port.size() > 5 || !digits) {
    refuse_name(text, "is not nbd://HOST[:PORT]/EXPORT");
  }
  return source;
}

DiskSource parse_rbd(const std::string& text, std::string_view rest) {
  DiskSource source{SourceType::network};
  source.protocol = "rbd";
  if (rest.find(':') != std::string_view::npos) {
    refuse_name(text, "has options, which belong into the host's ceph.conf");
  }
  const std::size_t at = rest.find('@');
  source.name = rest.substr(0, at);
  if (at != std::string_view::npos) source.snapshot = rest.substr(at + 1);
  const std::size_t slash = source.name.find('/');
  if (slash == 0 || slash == std::string::npos || slash + 1 == source.name.size()) {
    refuse_name(text, "is not rbd:POOL/IMAGE[@SNAPSHOT]");
  }
  return source;
}

}  // namespace

std::string_view to_string(SourceType type) {
  constexpr std::array<std::string_view, 6> names = {"none",   "block",   "file",
                                                     "volume", "network", "other"};
  return names[static_cast<std::size_t>(type)];
}

std::string DiskSource::label() const {
  switch (type) {
    case SourceType::volume:
      return pool + "/" + volume;
    case SourceType::network:
      return network_identity();
    case SourceType::none:
    case SourceType::block:
    case SourceType::file:
    case SourceType::other:
      break;
  }
  return path;
}

std::string DiskSource::network_identity() const {
  if (type != SourceType::network) return "";
  if (protocol == "rbd") {  // wherever the monitors are, it is the same cluster's image
    return fmt::format("rbd:{}{}{}", name, snapshot.empty() ? "" : "@", snapshot);
  }
  if (!socket.empty()) return fmt::format("{}+unix:///{}?socket={}", protocol, name, socket);
  const std::string shown =
      host.find(':') == std::string::npos ? lower_case(host) : fmt::format("[{}]", host);
  const std::string at = port.empty() && protocol == "nbd" ? std::string(nbd_port) : port;
  return fmt::format("{}://{}{}{}/{}", protocol, shown, at.empty() ? "" : ":", at, name);
}

DiskSource read_source(std::string_view type, const pugi::xml_node& source) {
  DiskSource result;
  if (type == "block" && source.attribute("dev")) {
    result.type = SourceType::block;
    result.path = source.attribute("dev").value();
  } else if (type == "file" && source.attribute("file")) {
    result.type = SourceType::file;
    result.path = source.attribute("file").value();
  } else if (type == "volume" && source.attribute("volume")) {
    result.type = SourceType::volume;
    result.pool = source.attribute("pool").value();
    result.volume = source.attribute("volume").value();
  } else if (type == "network" && source.attribute("protocol")) {
    const pugi::xml_node host = source.child("host");
    result.type = SourceType::network;
    result.protocol = source.attribute("protocol").value();
    result.name = source.attribute("name").value();
    result.snapshot = source.child("snapshot").attribute("name").value();
    result.host = host.attribute("name").value();
    result.port = host.attribute("port").value();
    result.socket = host.attribute("socket").value();
  } else if (source) {
    result.type = SourceType::other;
    result.path = fmt::format("a source of type '{}'", type);
  }
  return result;
}

void write_source(const DiskSource& source, pugi::xml_node& disk) {
  disk.append_attribute("type") = std::string(to_string(source.type)).c_str();
  pugi::xml_node node = disk.append_child("source");
  const auto set = [&](const char* key, const std::string& value) {
    node.append_attribute(key) = value.c_str();
  };
  if (source.type == SourceType::block) {
    set("dev", source.path);
  } else if (source.type == SourceType::file) {
    set("file", source.path);
  } else if (source.type == SourceType::volume) {
    set("pool", source.pool);
    set("volume", source.volume);
  } else {
    set("protocol", source.protocol);
    set("name", source.name);
    pugi::xml_node host;
    if (!source.host.empty() || !source.socket.empty()) host = node.append_child("host");
    if (!source.socket.empty()) {
      host.append_attribute("transport") = "unix";
      host.append_attribute("socket") = source.socket.c_str();
    } else if (!source.host.empty()) {
      host.append_attribute("name") = source.host.c_str();
      if (!source.port.empty()) host.append_attribute("port") = source.port.c_str();
    }
    if (!source.snapshot.empty()) {
      node.append_child("snapshot").append_attribute("name") = source.snapshot.c_str();
    }
  }
}

std::optional<DiskSource> parse_network_source(const std::string& text) {
  const auto behind = [&](std::string_view prefix) {
    return std::string_view(text).substr(prefix.size());
  };
  if (text.starts_with("nbd+unix://")) return parse_nbd_socket(text, behind("nbd+unix://"));
  if (text.starts_with("nbd://")) return parse_nbd(text, behind("nbd://"));
  if (text.starts_with("rbd:")) return parse_rbd(text, behind("rbd:"));
  const std::size_t scheme = text.find("://");
  if (scheme != std::string::npos && text.find('/') > scheme) {
    refuse_name(text, "is a kind of network disk that is not known here (nbd and rbd are)");
  }
  return std::nullopt;
}

}  // namespace imgtool::virt
