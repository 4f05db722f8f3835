#include "imgtool/virt/disk_xml.hpp"

#include <sstream>
#include <string_view>

#include <fmt/format.h>
#include <pugixml.hpp>

#include "io/error.hpp"

namespace imgtool::virt {
namespace {

// Blanks, comments and all: a redefinition must not change what it does not mean to.
constexpr unsigned keep_everything = pugi::parse_full | pugi::parse_ws_pcdata;

std::string text_of(const pugi::xml_document& document, unsigned format) {
  std::ostringstream text;
  document.save(text, "  ", format | pugi::format_no_declaration, pugi::encoding_utf8);
  return text.str();
}

void parse(pugi::xml_document& document, const std::string& xml, unsigned options) {
  const pugi::xml_parse_result parsed = document.load_buffer(xml.data(), xml.size(), options);
  if (!parsed) {
    throw io::Error(io::ErrorKind::format, "",
                    fmt::format("what libvirt said is no XML: {}", parsed.description()));
  }
}

pugi::xml_node devices_of(const pugi::xml_document& document) {
  const pugi::xml_node devices = document.child("domain").child("devices");
  if (!devices) {
    throw io::Error(io::ErrorKind::format, "", "the domain's XML has no <devices>");
  }
  return devices;
}

}  // namespace

std::string disk_xml(const DiskPlan& plan) {
  pugi::xml_document document;
  pugi::xml_node disk = document.append_child("disk");
  write_source(plan.source, disk);
  disk.append_attribute("device") = "disk";
  const auto child = [&](const char* name) { return disk.append_child(name); };
  pugi::xml_node driver = disk.insert_child_before("driver", disk.child("source"));
  driver.append_attribute("name") = "qemu";
  const auto set = [&](const char* key, const std::string& value) {
    if (!value.empty()) driver.append_attribute(key) = value.c_str();
  };
  set("type", plan.format);
  set("cache", plan.cache);
  set("io", plan.io);
  set("discard", plan.discard);
  set("detect_zeroes", plan.detect_zeroes);
  pugi::xml_node target = child("target");
  target.append_attribute("dev") = plan.target.c_str();
  target.append_attribute("bus") = plan.bus.c_str();
  if (plan.readonly) child("readonly");
  if (plan.shareable) child("shareable");
  if (!plan.serial.empty()) child("serial").text() = plan.serial.c_str();
  return text_of(document, pugi::format_indent);
}

std::string for_other_half(const std::string& disk_xml) {
  pugi::xml_document document;
  parse(document, disk_xml, pugi::parse_default);
  pugi::xml_node disk = document.child("disk");
  for (const char* own : {"alias", "address", "backingStore", "mirror", "privateData"}) {
    while (disk.remove_child(own)) {
    }
  }
  disk.child("source").remove_attribute("index");
  disk.child("source").remove_child("privateData");
  return text_of(document, pugi::format_indent);
}

std::string with_disk(const std::string& domain_xml, const std::string& disk_xml) {
  pugi::xml_document domain;
  pugi::xml_document disk;
  parse(domain, domain_xml, keep_everything);
  parse(disk, disk_xml, pugi::parse_default);
  pugi::xml_node devices = devices_of(domain);
  pugi::xml_node last;
  for (const pugi::xml_node& other : devices.children("disk")) last = other;
  if (last) {
    devices.insert_copy_after(disk.child("disk"), last);
  } else {
    devices.append_copy(disk.child("disk"));
  }
  return text_of(domain, pugi::format_raw);
}

std::string without_disk(const std::string& domain_xml, const std::string& target) {
  pugi::xml_document domain;
  parse(domain, domain_xml, keep_everything);
  pugi::xml_node devices = devices_of(domain);
  for (const pugi::xml_node& disk : devices.children("disk")) {
    if (disk.child("target").attribute("dev").value() == target) {
      devices.remove_child(disk);
      return text_of(domain, pugi::format_raw);
    }
  }
  throw io::Error(io::ErrorKind::format, "", fmt::format("the domain has no disk {}", target));
}

}  // namespace imgtool::virt
