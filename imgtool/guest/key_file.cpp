#include "imgtool/guest/key_file.hpp"

#include <cerrno>
#include <fstream>

#include <fmt/format.h>

#include "imgtool/cli/option_value.hpp"
#include "io/byte_range.hpp"
#include "io/error.hpp"

namespace imgtool::guest {
namespace {

constexpr std::uint64_t most_key = 8 * io::MiB;  // as cryptsetup has it

}  // namespace

KeyFile parse_key_file(const std::string& word) {
  const auto colon = word.find(':');
  const bool numbered =
      colon != std::string::npos && colon > 0 && word.find_first_not_of("0123456789") == colon;
  if (!numbered) return {std::nullopt, word, ""};
  return {static_cast<unsigned>(parse_count(word.substr(0, colon), 0, 1U << 20)),
          word.substr(colon + 1), ""};
}

void read_key(KeyFile& file) {
  std::ifstream stream(file.path, std::ios::binary);
  if (!stream) {
    throw io::Error::refusal(file.path, "this key cannot be read: " + io::errno_text(errno));
  }
  std::string key(most_key + 1, '\0');
  stream.read(key.data(), static_cast<std::streamsize>(key.size()));
  key.resize(static_cast<std::size_t>(stream.gcount()));
  if (key.size() > most_key) {
    throw io::Error::refusal(file.path, "is larger than 8 MiB, which no key of LUKS can be");
  }
  // What programs like cryptsetup take for the passphrase when a person types it.
  if (!key.empty() && key.back() == '\n') key.pop_back();
  if (key.empty()) throw io::Error::refusal(file.path, "there is no key in it");
  file.key = std::move(key);
}

}  // namespace imgtool::guest
