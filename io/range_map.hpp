// A value for every byte of [0, size): the ordered whole, cut where the value changes.
//
//   RangeMap<ExtentKind> map(disk_size, ExtentKind::data);
//   map.set({4096, 8192}, ExtentKind::zero);
//   for (const auto& [range, kind] : map) ...
//
// The entries always cover [0, size) exactly, in order, and neighbours differ in value. Memory
// grows with the number of entries (about 64 bytes each), never with the size. Not thread-safe;
// any set() invalidates iterators.
#pragma once

#include <cassert>
#include <cstdint>
#include <iterator>
#include <map>

#include "io/byte_range.hpp"

namespace io {

template <class Value>
class RangeMap {
 public:
  struct Entry {
    ByteRange range;
    Value value;

    friend bool operator==(const Entry&, const Entry&) = default;
  };
  class Iterator;

  explicit RangeMap(std::uint64_t size = 0, Value value = Value{}) : size_(size) {
    if (size > 0) values_.emplace(0, value);
  }

  [[nodiscard]] std::uint64_t size() const noexcept { return size_; }
  [[nodiscard]] bool empty() const noexcept { return size_ == 0; }
  [[nodiscard]] std::size_t entry_count() const noexcept { return values_.size(); }

  // `range` lies within [0, size). O(log n) plus the entries it covers.
  void set(ByteRange range, Value value);

  // The size becomes size() + length. O(1) amortised.
  void append(std::uint64_t length, Value value);

  // The entry that holds the byte at `offset` < size. O(log n).
  [[nodiscard]] Entry at(std::uint64_t offset) const { return *find(offset); }
  // The same as an iterator, to go on from there; end() when offset == size.
  [[nodiscard]] Iterator find(std::uint64_t offset) const;

  // Bytes that have this value. O(n).
  [[nodiscard]] std::uint64_t total(Value value) const;

  [[nodiscard]] Iterator begin() const { return {*this, values_.begin()}; }
  [[nodiscard]] Iterator end() const { return {*this, values_.end()}; }

  friend bool operator==(const RangeMap&, const RangeMap&) = default;

 private:
  using Values = std::map<std::uint64_t, Value>;  // where an entry starts -> its value

  void cut(std::uint64_t offset);
  void merge_with_previous(typename Values::iterator it);

  std::uint64_t size_;
  Values values_;
};

template <class Value>
class RangeMap<Value>::Iterator {
 public:
  using iterator_category = std::input_iterator_tag;
  using iterator_concept = std::forward_iterator_tag;
  using value_type = Entry;
  using difference_type = std::ptrdiff_t;
  using reference = Entry;
  using pointer = void;

  Iterator() = default;

  [[nodiscard]] Entry operator*() const {
    const auto next = std::next(at_);
    const std::uint64_t end = next == map_->values_.end() ? map_->size_ : next->first;
    return {range_between(at_->first, end), at_->second};
  }
  Iterator& operator++() {
    ++at_;
    return *this;
  }
  Iterator operator++(int) {
    Iterator before = *this;
    ++at_;
    return before;
  }
  friend bool operator==(const Iterator&, const Iterator&) = default;

 private:
  friend class RangeMap;
  Iterator(const RangeMap& map, typename Values::const_iterator at) : map_(&map), at_(at) {}

  const RangeMap* map_ = nullptr;
  typename Values::const_iterator at_;
};

template <class Value>
void RangeMap<Value>::set(ByteRange range, Value value) {
  assert(range.offset <= size_);
  assert(range.length <= size_ - range.offset);
  if (range.empty()) return;
  cut(range.offset);
  cut(range.end());
  const auto first = values_.find(range.offset);
  const auto last = values_.lower_bound(range.end());
  first->second = value;
  values_.erase(std::next(first), last);
  if (last != values_.end()) merge_with_previous(last);
  merge_with_previous(first);
}

template <class Value>
void RangeMap<Value>::append(std::uint64_t length, Value value) {
  assert(length <= UINT64_MAX - size_);
  if (length == 0) return;
  if (values_.empty() || values_.rbegin()->second != value) {
    values_.emplace_hint(values_.end(), size_, value);
  }
  size_ += length;
}

template <class Value>
typename RangeMap<Value>::Iterator RangeMap<Value>::find(std::uint64_t offset) const {
  assert(offset <= size_);
  if (offset == size_) return end();
  return {*this, std::prev(values_.upper_bound(offset))};
}

template <class Value>
std::uint64_t RangeMap<Value>::total(Value value) const {
  std::uint64_t bytes = 0;
  for (const Entry& entry : *this) {
    if (entry.value == value) bytes += entry.range.length;
  }
  return bytes;
}

// Makes an entry start at `offset`, unless that is the end. Neighbours may be equal for a moment.
template <class Value>
void RangeMap<Value>::cut(std::uint64_t offset) {
  if (offset == size_) return;
  const auto next = values_.upper_bound(offset);
  const auto holder = std::prev(next);
  if (holder->first != offset) values_.emplace_hint(next, offset, holder->second);
}

template <class Value>
void RangeMap<Value>::merge_with_previous(typename Values::iterator it) {
  if (it != values_.begin() && std::prev(it)->second == it->second) values_.erase(it);
}

}  // namespace io
