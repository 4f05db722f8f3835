// The LUKS header inside an encrypted qcow2 image: what `info` says about it. Nothing is ever
// decrypted here.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>

#include "formats/images/qcow2/header.hpp"
#include "formats/images/qcow2/tables.hpp"

namespace formats::qcow2 {

struct LuksKeySlot {
  bool active = false;
  std::uint32_t iterations = 0;
  std::uint32_t stripes = 0;
  std::uint64_t key_offset = 0;  // bytes, from the start of the LUKS header
};

struct LuksHeader {
  // Names are untrusted bytes.
  std::string cipher;   // with the key's length in bits: "aes-256"
  std::string mode;     // "xts"
  std::string iv;       // "plain64"
  std::string iv_hash;  // of "essiv:sha256"; empty when there is none
  std::string hash;     // "sha256"
  std::string uuid;
  std::uint64_t payload_offset = 0;  // bytes, likewise
  std::uint32_t master_key_iterations = 0;
  std::array<LuksKeySlot, 8> slots;
};

// Nothing when the image is not encrypted with LUKS. Throws Error.
std::optional<LuksHeader> read_luks(const TableReader& tables, const Header& header);

}  // namespace formats::qcow2
