#include "io/digest.hpp"

#include <algorithm>
#include <array>
#include <new>

#include <fmt/format.h>
#include <openssl/evp.h>

#include "io/byte_range.hpp"
#include "io/error.hpp"
#include "io/xxh3_engine.hpp"

namespace io {
namespace {

const Xxh3Engine& xxh3_engine() noexcept {
#if defined(__x86_64__)
  static const bool avx2 = [] {
    __builtin_cpu_init();
    return __builtin_cpu_supports("avx2") != 0;
  }();
  if (avx2) return xxh3_avx2;
#endif
  return xxh3_baseline;
}

struct NamedAlgorithm {
  std::string_view name;
  DigestAlgorithm algorithm;
  std::size_t hex_digits;
};
constexpr std::array<NamedAlgorithm, 7> algorithms = {{
    {"sha256", DigestAlgorithm::sha256, 64},
    {"xxh3", DigestAlgorithm::xxh3, 16},
    {"sha512", DigestAlgorithm::sha512, 128},
    {"sha384", DigestAlgorithm::sha384, 96},
    {"sha224", DigestAlgorithm::sha224, 56},
    {"sha1", DigestAlgorithm::sha1, 40},
    {"md5", DigestAlgorithm::md5, 32},
}};

const NamedAlgorithm& named(DigestAlgorithm algorithm) noexcept {
  return *std::ranges::find(algorithms, algorithm, &NamedAlgorithm::algorithm);
}

}  // namespace

std::uint64_t xxh3(std::span<const std::byte> bytes) noexcept {
  return xxh3_engine().hash(bytes.data(), bytes.size());
}

std::string_view digest_name(DigestAlgorithm algorithm) noexcept { return named(algorithm).name; }

std::optional<DigestAlgorithm> parse_digest_name(std::string_view name) noexcept {
  const auto* found = std::ranges::find(algorithms, name, &NamedAlgorithm::name);
  if (found == algorithms.end()) return std::nullopt;
  return found->algorithm;
}

std::size_t digest_hex_digits(DigestAlgorithm algorithm) noexcept {
  return named(algorithm).hex_digits;
}

class Digest::State {
 public:
  State() = default;
  virtual ~State() = default;
  State(const State&) = delete;
  State& operator=(const State&) = delete;

  virtual void update(std::span<const std::byte> bytes) = 0;
  [[nodiscard]] virtual std::string hex() const = 0;
};

// What OpenSSL computes.
class Digest::Crypto final : public State {
 public:
  explicit Crypto(const EVP_MD* algorithm) : context_(EVP_MD_CTX_new()) {
    check(context_ != nullptr && EVP_DigestInit_ex(context_.get(), algorithm, nullptr) == 1);
  }

  void update(std::span<const std::byte> bytes) override {
    check(EVP_DigestUpdate(context_.get(), bytes.data(), bytes.size()) == 1);
  }

  [[nodiscard]] std::string hex() const override {
    const Context copy(EVP_MD_CTX_new());
    std::array<unsigned char, EVP_MAX_MD_SIZE> value{};
    unsigned size = 0;
    check(copy != nullptr && EVP_MD_CTX_copy_ex(copy.get(), context_.get()) == 1 &&
          EVP_DigestFinal_ex(copy.get(), value.data(), &size) == 1);
    std::string text;
    for (unsigned i = 0; i < size; ++i) text += fmt::format("{:02x}", value[i]);
    return text;
  }

 private:
  struct Free {
    void operator()(EVP_MD_CTX* context) const noexcept { EVP_MD_CTX_free(context); }
  };
  using Context = std::unique_ptr<EVP_MD_CTX, Free>;

  static void check(bool ok) {
    if (!ok) throw Error(ErrorKind::unsupported, "", "OpenSSL cannot compute this digest here");
  }

  Context context_;
};

class Digest::Xxh3 final : public State {
 public:
  Xxh3() : state_(xxh3_engine().create()) {
    if (state_ == nullptr) throw std::bad_alloc();
  }

  void update(std::span<const std::byte> bytes) override {
    xxh3_engine().update(state_.get(), bytes.data(), bytes.size());
  }

  [[nodiscard]] std::string hex() const override {
    return fmt::format("{:016x}", xxh3_engine().digest(state_.get()));
  }

 private:
  struct Free {
    void operator()(void* state) const noexcept { xxh3_engine().destroy(state); }
  };
  std::unique_ptr<void, Free> state_;
};

Digest::Digest(DigestAlgorithm algorithm) {
  switch (algorithm) {
    case DigestAlgorithm::xxh3:
      state_ = std::make_unique<Xxh3>();
      break;
    case DigestAlgorithm::sha256:
      state_ = std::make_unique<Crypto>(EVP_sha256());
      break;
    case DigestAlgorithm::sha512:
      state_ = std::make_unique<Crypto>(EVP_sha512());
      break;
    case DigestAlgorithm::sha384:
      state_ = std::make_unique<Crypto>(EVP_sha384());
      break;
    case DigestAlgorithm::sha224:
      state_ = std::make_unique<Crypto>(EVP_sha224());
      break;
    case DigestAlgorithm::sha1:
      state_ = std::make_unique<Crypto>(EVP_sha1());
      break;
    case DigestAlgorithm::md5:
      state_ = std::make_unique<Crypto>(EVP_md5());
      break;
  }
}
Digest::~Digest() = default;
Digest::Digest(Digest&&) noexcept = default;
Digest& Digest::operator=(Digest&&) noexcept = default;

void Digest::update(std::span<const std::byte> bytes) { state_->update(bytes); }

void Digest::update_zeros(std::uint64_t count) {
  static constexpr std::array<std::byte, 64 * KiB> zeros{};
  while (count > 0) {
    const auto step = static_cast<std::size_t>(std::min<std::uint64_t>(count, zeros.size()));
    state_->update(std::span(zeros).first(step));
    count -= step;
  }
}

std::string Digest::hex() const { return state_->hex(); }

}  // namespace io
