#include "io/devices/device_identity.hpp"

#include <sys/sysmacros.h>

#include <algorithm>
#include <map>

namespace io {
namespace {

// The value of a "\x20"-escaped udev property.
std::string decode_udev(std::string_view text) {
  std::string result;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const auto hex = [](char c) {
      return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
    };
    if (text.substr(i).starts_with("\\x") && i + 3 < text.size() && hex(text[i + 2]) >= 0 &&
        hex(text[i + 3]) >= 0) {
      result += static_cast<char>(hex(text[i + 2]) * 16 + hex(text[i + 3]));
      i += 3;
    } else {
      result += text[i];
    }
  }
  return result;
}

// The properties ("E:ID_MODEL=…") of udev's database; none where no udevd runs.
class UdevRecord {
 public:
  UdevRecord(const BlockDevice& device, const SystemRoots& roots) {
    text_ = read_bytes(roots.run + "/udev/data/b" + std::to_string(major(device.number)) + ":" +
                       std::to_string(minor(device.number)))
                .value_or("");
    for (const std::string_view line : split(text_, '\n')) {
      const std::size_t equals = line.find('=');
      if (line.starts_with("E:") && equals != std::string_view::npos) {
        properties_.emplace(line.substr(2, equals - 2), line.substr(equals + 1));
      }
    }
  }
  UdevRecord(const UdevRecord&) = delete;  // properties_ looks into text_
  UdevRecord& operator=(const UdevRecord&) = delete;

  [[nodiscard]] std::string get(std::string_view key) const {
    const auto found = properties_.find(key);
    return found == properties_.end() ? "" : std::string(found->second);
  }
  [[nodiscard]] std::string model() const {
    const std::string encoded = get("ID_MODEL_ENC");
    return trimmed(encoded.empty() ? get("ID_MODEL") : decode_udev(encoded));
  }

 private:
  std::string text_;
  std::map<std::string_view, std::string_view> properties_;
};

// A SCSI "unit serial number" page: a four-byte header, then text.
std::string vpd_serial(const std::string& path) {
  const auto page = read_bytes(path, 4096);
  if (!page || page->size() < 4 || static_cast<unsigned char>((*page)[1]) != 0x80) {
    return "";
  }
  const std::size_t length =
      static_cast<unsigned char>((*page)[2]) * 256u + static_cast<unsigned char>((*page)[3]);
  return trimmed(std::string_view(*page).substr(4, length));
}

// The folder of the USB device that a disk hangs on; "" when there is none.
std::string usb_device_folder(std::string folder, const SystemRoots& roots) {
  while (folder.size() > roots.sys.size() && folder.find("/usb") != std::string::npos) {
    if (exists(folder + "/idVendor")) {
      return folder;
    }
    folder.resize(folder.rfind('/'));
  }
  return "";
}

// "t10.ATA     MODEL(40)SERIAL(20)", as sysfs spells the designator of an ATA disk.
std::string serial_in_wwid(std::string_view wwid) {
  constexpr std::size_t serial_at = 4 + 8 + 40;
  return wwid.starts_with("t10.ATA ") && wwid.size() > serial_at ? trimmed(wwid.substr(serial_at))
                                                                 : "";
}

std::string wwn_in_wwid(std::string_view wwid) {
  if (wwid.starts_with("naa.")) {
    return "0x" + std::string(wwid.substr(4));
  }
  return wwid.starts_with("eui.") || wwid.starts_with("uuid.") ? std::string(wwid) : "";
}

std::string_view file_name(std::string_view path) { return path.substr(path.rfind('/') + 1); }

// From "usb-VENDOR_MODEL_SERIAL-0:0" and its like.
std::string serial_in_links(const std::vector<std::string>& links) {
  for (const std::string& link : links) {
    std::string_view name = file_name(link);
    if (name.starts_with("virtio-")) {
      return std::string(name.substr(7));
    }
    const bool tells = name.starts_with("ata-") || name.starts_with("usb-") ||
                       name.starts_with("mmc-") || name.starts_with("scsi-S") ||
                       (name.starts_with("nvme-") && !name.starts_with("nvme-eui.") &&
                        !name.starts_with("nvme-nvme.") && !name.starts_with("nvme-uuid."));
    const std::size_t underscore = name.rfind('_');
    if (tells && underscore != std::string_view::npos) {
      name.remove_prefix(underscore + 1);
      if (const std::size_t unit = name.rfind('-');
          unit != std::string_view::npos && name.find(':', unit) != name.npos) {
        name = name.substr(0, unit);
      }
      return std::string(name);
    }
  }
  return "";
}

std::string wwn_in_links(const std::vector<std::string>& links) {
  for (const std::string& link : links) {
    const std::string_view name = file_name(link);
    if (name.starts_with("wwn-")) {
      return std::string(name.substr(4));
    }
    if (name.starts_with("nvme-eui.")) {
      return std::string(name.substr(5));
    }
  }
  return "";
}

std::string scsi_model(const std::string& folder) {
  const std::string vendor = read_text(folder + "/device/vendor");
  const std::string model = read_text(folder + "/device/model");
  // "ATA" is the kernel's word for SATA disks, 0x1af4 a PCI number.
  const bool tells = !vendor.empty() && vendor != "ATA" && !vendor.starts_with("0x");
  return trimmed((tells ? vendor + " " : "") + model);
}

// libata and the inquiry cut the model at 16 characters; a by-id link has all of it.
std::string model_in_links(const BlockDevice& device) {
  for (const std::string& link : device.links) {
    const std::string_view name = file_name(link);
    const std::string ending = "_" + device.serial;
    if (name.starts_with("ata-") && name.ends_with(ending) && name.size() > 4 + ending.size()) {
      std::string model(name.substr(4, name.size() - 4 - ending.size()));
      std::replace(model.begin(), model.end(), '_', ' ');
      return model;
    }
  }
  return "";
}

std::string find_model(const BlockDevice& device, const UdevRecord& udev) {
  if (device.transport == "mmc") {
    return read_text(device.sysfs + "/device/name");
  }
  const std::string own = scsi_model(device.sysfs);
  const bool disk_behind_bridge = udev.get("ID_BUS") == "ata";
  if (device.transport == "sata" || disk_behind_bridge) {
    for (const std::string& model : {udev.model(), model_in_links(device)}) {
      if (!model.empty()) {
        return model;
      }
    }
  }
  return own.empty() ? udev.model() : own;
}

std::vector<std::string> find_serials(const BlockDevice& device, const UdevRecord& udev,
                                      const SystemRoots& roots) {
  const std::string& folder = device.sysfs;
  std::vector<std::string> found;
  const std::string udev_serial = udev.get("ID_SERIAL_SHORT");
  if (device.transport == "usb") {
    found.push_back(udev_serial);  // a disk in a dock, when udev could ask the disk
  }
  found.push_back(read_text(folder + "/device/serial"));
  found.push_back(read_text(folder + "/serial"));
  found.push_back(vpd_serial(folder + "/device/vpd_pg80"));
  found.push_back(serial_in_wwid(read_name(folder + "/device/wwid").value_or("")));
  found.push_back(udev.get("ID_SCSI_SERIAL"));
  found.push_back(udev_serial);
  if (device.transport == "usb") {
    const std::string usb = usb_device_folder(folder, roots);
    found.push_back(usb.empty() ? "" : read_text(usb + "/serial"));
  }
  found.push_back(serial_in_links(device.links));
  std::vector<std::string> serials;
  for (std::string& serial : found) {
    if (!serial.empty() && std::find(serials.begin(), serials.end(), serial) == serials.end()) {
      serials.push_back(std::move(serial));
    }
  }
  return serials;
}

std::string find_wwn(const BlockDevice& device, const UdevRecord& udev) {
  for (const char* place : {"/device/wwid", "/wwid"}) {
    std::string wwn = wwn_in_wwid(read_text(device.sysfs + place));
    if (!wwn.empty()) {
      return wwn;
    }
  }
  for (const char* key : {"ID_WWN_WITH_EXTENSION", "ID_WWN"}) {
    std::string wwn = udev.get(key);
    if (!wwn.empty()) {
      return wwn;
    }
  }
  return wwn_in_links(device.links);
}

int link_rank(std::string_view name) {
  static constexpr std::pair<std::string_view, int> ranks[] = {
      {"nvme-eui.", 3}, {"nvme-nvme.", 4}, {"nvme-uuid.", 4}, {"ata-", 0},
      {"nvme-", 0},     {"mmc-", 0},       {"usb-", 0},       {"virtio-", 0},
      {"scsi-S", 1},    {"wwn-", 2},       {"scsi-", 3},      {"dm-name-", 5},
      {"md-name-", 5},  {"dm-uuid-", 6},   {"md-uuid-", 6},   {"lvm-pv-uuid-", 7},
  };
  for (const auto& [prefix, rank] : ranks) {
    if (name.starts_with(prefix)) {
      return rank;
    }
  }
  return 4;
}

}  // namespace

std::string transport_of(const BlockDevice& device) {
  const std::string& name = device.name;
  const std::string& place = device.sysfs;
  const auto under = [&](std::string_view part) { return place.find(part) != std::string::npos; };
  if (name.starts_with("nvme")) {
    const std::string fabric = read_text(place + "/device/transport");
    return fabric.empty() || fabric == "pcie" ? "nvme" : "nvme-" + fabric;
  }
  if (device.kind != DeviceKind::disk && device.kind != DeviceKind::optical) {
    return device.kind == DeviceKind::loop ? "loop" : "";
  }
  static constexpr std::pair<std::string_view, const char*> families[] = {
      {"mmcblk", "mmc"}, {"vd", "virtio"}, {"xvd", "xen"}, {"hd", "ide"}, {"pmem", "nvdimm"}};
  for (const auto& [prefix, transport] : families) {
    if (name.starts_with(prefix)) {
      return transport;
    }
  }
  // The most telling part first: a USB dock may hold a SATA disk, a SAS port too.
  static constexpr std::pair<std::string_view, const char*> places[] = {
      {"/usb", "usb"},     {"/session", "iscsi"},   {"/rport-", "fc"},
      {"/fw", "firewire"}, {"/end_device-", "sas"}, {"/ata", "sata"}};
  for (const auto& [part, transport] : places) {
    if (under(part)) {
      return transport;
    }
  }
  return name.starts_with("sd") || name.starts_with("sr") ? "scsi" : "";
}

void identify(BlockDevice& device, const SystemRoots& roots) {
  const UdevRecord udev(device, roots);
  device.other_serials = find_serials(device, udev, roots);
  if (!device.other_serials.empty()) {
    device.serial = device.other_serials.front();
    device.other_serials.erase(device.other_serials.begin());
  }
  device.wwn = find_wwn(device, udev);
  device.model = find_model(device, udev);
  const std::string usb = usb_device_folder(device.sysfs, roots);
  if (device.port.empty() && !usb.empty()) {
    device.port = "usb-" + usb.substr(usb.rfind('/') + 1);
  }
}

bool better_link(std::string_view a, std::string_view b) {
  const auto key = [](std::string_view name) {
    return std::tuple(link_rank(name), name.size(), name);
  };
  return key(a) < key(b);
}

}  // namespace io
