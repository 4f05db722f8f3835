// LUKS, of which a key is given: what lies in it is made smaller, and it follows.
#include <fstream>
#include <iterator>

#include <fmt/format.h>

#include "imgtool/guest/appliance.hpp"
#include "imgtool/guest/content.hpp"
#include "imgtool/guest/trouble.hpp"

namespace imgtool::guest {
namespace {

// What programs like cryptsetup take for the passphrase when a person types it.
std::string read_key(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::string key{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  if (!key.empty() && key.back() == '\n') key.pop_back();
  if (key.empty()) throw io::Error::refusal(path, "there is no key in it, or it cannot be read");
  return key;
}

const KeyFile* key_for(const ShrinkOptions& options, const Volume& volume) {
  const KeyFile* any = nullptr;
  for (const KeyFile& key : options.keys) {
    if (key.partition == volume.partition) return &key;
    if (!key.partition) any = &key;
  }
  return any;
}

std::string unlocked_name(const Volume& volume) {
  return fmt::format("unlocked{}", volume.partition);
}

void open_luks(Workshop& shop, const Volume& volume) {
  const KeyFile* key = key_for(shop.options, volume);
  if (shop.appliance->unlock(volume.device, read_key(key->path), unlocked_name(volume))) return;
  throw io::Error::refusal(title(volume), fmt::format("the key in {} does not fit", key->path));
}

// Its header tells a size, or that it is as long as its partition: only then it can be shortened.
bool has_fixed_size(Shell& shell, const Volume& volume) {
  const std::string text = shell.must("reading the header of " + title(volume),
                                      "cryptsetup luksDump " + sh_word(volume.device));
  const bool version_1 = text.find("Payload offset:") != std::string::npos;
  return !version_1 && (text.find("length: (whole device)") == std::string::npos ||
                        text.find("integrity:") != std::string::npos);
}

void measure_luks(Workshop& shop, Volume& volume) {
  if (key_for(shop.options, volume) == nullptr) {
    volume.keep("is encrypted", fmt::format("--key {}:FILE opens it", volume.partition));
    return;
  }
  if (shop.options.change_sizes && has_fixed_size(shop.shell, volume)) {
    volume.keep("its LUKS header gives it a size of its own", "sparsify drops what is free in it");
    return;
  }
  open_luks(shop, volume);
  Volume inner;
  inner.name = "inside " + volume.name;
  inner.partition = volume.partition;
  inner.device = "/dev/mapper/" + unlocked_name(volume);
  inner.size = inner.new_size = sizes_of_devices(shop.shell, {inner.device}).front();
  inner.trim = true;
  identify(shop.shell, inner);
  volume.head = volume.size - inner.size;
  volume.inside = {std::move(inner)};
  measure(shop, volume.inside.front());
  if (volume.inside.front().new_size < volume.inside.front().size) {
    volume.action = Action::shrink;
    volume.new_size = volume.head + volume.inside.front().new_size;
  } else if (shop.options.change_sizes) {
    volume.keep("what is in it keeps its size");
  }
}

void change_luks(Workshop& shop, Volume& volume) {
  Volume& inner = volume.inside.front();
  change(shop, inner);
  volume.new_size = volume.head + inner.new_size;
  if (inner.new_size == inner.size) volume.keep(inner.why_kept);
}

}  // namespace

const Content luks_content = {" crypto_LUKS ", measure_luks, change_luks,
                              nullptr,         nullptr,      open_luks};

}  // namespace imgtool::guest
