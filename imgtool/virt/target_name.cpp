#include "imgtool/virt/target_name.hpp"

#include <algorithm>

namespace imgtool::virt {

std::string_view target_prefix(std::string_view bus) {
  if (bus == "virtio") return "vd";
  if (bus == "ide") return "hd";
  return "sd";
}

std::string target_letters(unsigned index) {
  std::string letters(1, static_cast<char>('a' + index % 26));
  while (index >= 26) {
    index = index / 26 - 1;
    letters.insert(letters.begin(), static_cast<char>('a' + index % 26));
  }
  return letters;
}

std::optional<std::string> free_target(std::string_view bus, const DomainLayout* live,
                                       const DomainLayout* config) {
  const unsigned places = bus == "ide" ? 4 : 1024;  // two channels, two disks each
  for (unsigned index = 0; index < places; ++index) {
    std::string name = std::string(target_prefix(bus)) + target_letters(index);
    const auto has = [&](const DomainLayout* half) {
      return half != nullptr && half->find_target(name) != nullptr;
    };
    if (!has(live) && !has(config)) return name;
  }
  return std::nullopt;
}

bool suits_bus(std::string_view target, std::string_view bus) {
  const std::string_view prefix = target_prefix(bus);
  if (!target.starts_with(prefix) || target.size() == prefix.size()) return false;
  const std::string_view letters = target.substr(prefix.size());
  return letters.size() <= 3 &&
         std::all_of(letters.begin(), letters.end(), [](char c) { return c >= 'a' && c <= 'z'; });
}

}  // namespace imgtool::virt
