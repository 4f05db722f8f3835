#include "formats/images/archives/tar/appliance.hpp"

#include <algorithm>

namespace formats::tar {
namespace {

std::string read_text(const io::File& file, const Member& member) {
  std::string text(std::min(member.data.length, ova::most_text_bytes), '\0');
  text.resize(file.read_at(member.data.offset, std::as_writable_bytes(std::span(text))));
  return text;
}

}  // namespace

Appliance read_appliance(const io::File& file, const std::vector<Member>& members) {
  Appliance appliance;
  bool is_appliance = false;
  for (const Member& member : members) {
    if (member.sparse) continue;
    if (!is_appliance && ova::is_descriptor(member.name)) {
      is_appliance = true;
      appliance.disks = ova::stored_disks(ova::parse_descriptor(read_text(file, member)));
    } else if (is_appliance && ova::is_manifest(member.name)) {
      appliance.manifest = ova::parse_manifest(read_text(file, member));
    }
  }
  return appliance;
}

std::size_t choose_disk(const archives::MemberList& list, const Appliance& appliance,
                        const std::string& wanted) {
  if (!wanted.empty() || appliance.disks.empty()) return archives::choose_member(list, wanted);
  if (appliance.disks.size() > 1) ova::refuse_several(list.path(), appliance.disks);
  return archives::choose_member(list, appliance.disks.front().file);
}

}  // namespace formats::tar
