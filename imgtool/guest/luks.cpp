// LUKS, of which a key is given: what lies in it is made smaller, and it follows.
#include <vector>

#include <fmt/format.h>

#include "imgtool/cli/option_value.hpp"
#include "imgtool/guest/appliance.hpp"
#include "imgtool/guest/content.hpp"
#include "imgtool/guest/secret_scratch.hpp"
#include "imgtool/guest/trouble.hpp"

namespace imgtool::guest {
namespace {

// Those that may fit, its own first.
std::vector<const KeyFile*> keys_for(const ShrinkOptions& options, const VolumePlan& volume) {
  std::vector<const KeyFile*> own, any;
  for (const KeyFile& key : options.keys) {
    if (key.partition == volume.partition) own.push_back(&key);
    if (!key.partition) any.push_back(&key);
  }
  own.insert(own.end(), any.begin(), any.end());
  return own;
}

std::string unlocked_name(const VolumePlan& volume) {
  return fmt::format("unlocked{}", volume.partition);
}

void open_luks(ApplianceContext& context, const VolumePlan& volume) {
  std::vector<std::string> tried;
  for (const KeyFile* key : keys_for(context.options, volume)) {
    if (context.appliance->unlock(volume.device, key->key, unlocked_name(volume))) return;
    tried.push_back(key->path);
  }
  throw refusal_of(volume,
                   tried.size() == 1 ? fmt::format("the key in {} does not fit", tried.front())
                                     : "none of its keys fits: " + join(tried, ", "),
                   fmt::format("name its own with --key {}:FILE", volume.partition));
}

// Its header tells a size, or that it is as long as its partition: only then it can be shortened.
bool has_fixed_size(Shell& shell, const VolumePlan& volume) {
  const std::string text = shell.must("reading the header of " + title(volume),
                                      "cryptsetup luksDump " + shell_word(volume.device));
  const bool version_1 = text.find("Payload offset:") != std::string::npos;
  return !version_1 && (text.find("length: (whole device)") == std::string::npos ||
                        text.find("integrity:") != std::string::npos);
}

void measure_luks(ApplianceContext& context, VolumePlan& volume) {
  if (keys_for(context.options, volume).empty()) {
    volume.keep("is encrypted", fmt::format("--key {}:FILE opens it", volume.partition));
    return;
  }
  if (context.options.change_sizes && has_fixed_size(context.shell, volume)) {
    volume.keep("its LUKS header gives it a size of its own", "sparsify drops what is free in it");
    return;
  }
  open_luks(context, volume);
  VolumePlan inner;
  inner.name = "inside " + volume.name;
  inner.partition = volume.partition;
  inner.device = "/dev/mapper/" + unlocked_name(volume);
  inner.size = inner.new_size = sizes_of_devices(context.shell, {inner.device}).front();
  inner.trim = true;
  identify(context.shell, inner);
  volume.head = volume.size - inner.size;
  volume.inside = {std::move(inner)};
  measure(context, volume.inside.front());
  if (volume.inside.front().new_size < volume.inside.front().size) {
    volume.action = Action::shrink;
    volume.new_size = volume.head + volume.inside.front().new_size;
  } else if (context.options.change_sizes) {
    volume.keep("what is in it keeps its size");
  }
}

void change_luks(ApplianceContext& context, VolumePlan& volume) {
  VolumePlan& inner = volume.inside.front();
  const SecretScratch scratch(context);
  change(context, inner);
  volume.new_size = volume.head + inner.new_size;
  if (inner.new_size == inner.size) volume.keep(inner.kept_because, inner.remedy);
}

}  // namespace

const Content luks_content = {" crypto_LUKS ", measure_luks, change_luks,
                              nullptr,         nullptr,      open_luks};

}  // namespace imgtool::guest
