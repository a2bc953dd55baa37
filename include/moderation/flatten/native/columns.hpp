// Growing columns in Arrow's memory layout, and the dictionary that gives each distinct string a number.
#pragma once

#include <array>
#include <cstdint>
#include <cstring>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace columns {

// One finished column: what pyarrow.Array.from_buffers needs. The layout is known to native/__init__.py.
struct View {
  int64_t length = 0, null_count = 0;
  const void* validity = nullptr;
  const void* values = nullptr;  // the offsets of a string column
  const void* text = nullptr;
  int64_t validity_bytes = 0, values_bytes = 0, text_bytes = 0;
};

class Bits {
 public:
  void push(bool bit) {
    word_ |= static_cast<uint64_t>(bit) << (size_ % 64);
    if (++size_ % 64 == 0) flush();
  }
  // Appends set bits, cheaply.
  void push_set(size_t count) {
    for (; count > 0 && size_ % 64 != 0; --count) push(true);
    words_.resize(words_.size() + count / 64, ~uint64_t{0});
    size_ += count / 64 * 64;
    for (count %= 64; count > 0; --count) push(true);
  }
  // To be called once, after the last bit.
  void finish() {
    if (size_ % 64 != 0) flush();
  }
  const void* data() const { return words_.data(); }
  int64_t bytes() const { return static_cast<int64_t>(words_.size() * sizeof(uint64_t)); }
  size_t size() const { return size_; }

 private:
  std::vector<uint64_t> words_;
  uint64_t word_ = 0;
  size_t size_ = 0;

  void flush() {
    words_.push_back(word_);
    word_ = 0;
  }
};

// Which rows are null; costs nothing before the first one is.
class Validity {
 public:
  void push_null(size_t row) {
    bits_.push_set(row - bits_.size());
    bits_.push(false);
    ++nulls_;
  }
  void finish(size_t rows, View& view) {
    view.null_count = nulls_;
    if (nulls_ == 0) return;
    bits_.push_set(rows - bits_.size());
    bits_.finish();
    view.validity = bits_.data();
    view.validity_bytes = bits_.bytes();
  }

 private:
  Bits bits_;
  int64_t nulls_ = 0;
};

template <class T>
class Fixed {
 public:
  void push(T value) { values_.push_back(value); }
  void push_null() {
    valid_.push_null(values_.size());
    values_.push_back(0);
  }
  void push_or_null(T value) { value < 0 ? push_null() : push(value); }
  size_t size() const { return values_.size(); }
  void reserve(size_t rows) { values_.reserve(rows); }
  View finish() {
    View view;
    view.length = static_cast<int64_t>(values_.size());
    view.values = values_.data();
    view.values_bytes = static_cast<int64_t>(values_.size() * sizeof(T));
    valid_.finish(values_.size(), view);
    return view;
  }

 private:
  std::vector<T> values_;
  Validity valid_;
};

class Bools {
 public:
  void push(bool value) { bits_.push(value); }
  View finish() {
    bits_.finish();
    View view;
    view.length = static_cast<int64_t>(bits_.size());
    view.values = bits_.data();
    view.values_bytes = bits_.bytes();
    return view;
  }

 private:
  Bits bits_;
};

class Strings {
 public:
  Strings() : offsets_(1, 0) {}
  void push(std::string_view value) {
    text_.insert(text_.end(), value.begin(), value.end());
    offsets_.push_back(static_cast<int32_t>(text_.size()));
  }
  void push_null() {
    valid_.push_null(offsets_.size() - 1);
    offsets_.push_back(offsets_.back());
  }
  // An empty string stands for null where a column has no empty strings.
  void push_or_null(std::string_view value) { value.empty() ? push_null() : push(value); }
  void reserve(size_t rows, size_t bytes) {
    offsets_.reserve(rows + 1);
    text_.reserve(bytes);
  }
  View finish() {
    View view;
    view.length = static_cast<int64_t>(offsets_.size()) - 1;
    view.values = offsets_.data();
    view.values_bytes = static_cast<int64_t>(offsets_.size() * sizeof(int32_t));
    view.text = text_.data();
    view.text_bytes = static_cast<int64_t>(text_.size());
    valid_.finish(offsets_.size() - 1, view);
    return view;
  }

 private:
  std::vector<int32_t> offsets_;
  std::vector<char> text_;
  Validity valid_;
};

// All columns of a parsed block; the comments of the two schemas in parsed_block.py say what they hold.
struct Block {
  Fixed<int64_t> line_number;
  Fixed<int8_t> outcome;
  Strings source_ref;
  Fixed<int32_t> model_version, adapter, content_types;
  Fixed<double> illustrated, animated;
  Fixed<int32_t> other_content_types, label_count, top_label;
  Strings raw;

  Fixed<int32_t> label_line, name, parent_name;
  Fixed<int8_t> level;
  Fixed<double> confidence;
  Fixed<int32_t> parent;
  Bools ambiguous;
  Fixed<int32_t> chain;

  Strings strings;

  View views[21];

  // Room for the lines of a block of so many bytes, if they are of the usual kind: an estimate, for memory
  // that is not used costs nothing and counting lines does.
  void reserve(size_t bytes) {
    const size_t lines = bytes / 200 + 1;
    line_number.reserve(lines);
    outcome.reserve(lines);
    source_ref.reserve(lines, bytes / 3);
    model_version.reserve(lines);
    adapter.reserve(lines);
    content_types.reserve(lines);
    illustrated.reserve(lines);
    animated.reserve(lines);
    other_content_types.reserve(lines);
    label_count.reserve(lines);
    top_label.reserve(lines);
    raw.reserve(lines, 0);
  }
  // To be called once all rows are in; moving the block afterwards keeps the views valid, copying would not.
  void finish() {
    View* next = views;
    for (const View& view :
         {line_number.finish(), outcome.finish(), source_ref.finish(), model_version.finish(), adapter.finish(),
          content_types.finish(), illustrated.finish(), animated.finish(), other_content_types.finish(),
          label_count.finish(), top_label.finish(), raw.finish(), label_line.finish(), name.finish(),
          parent_name.finish(), level.finish(), confidence.finish(), parent.finish(), ambiguous.finish(),
          chain.finish(), strings.finish()}) {
      *next++ = view;
    }
  }
};

inline uint64_t mix(uint64_t value) {
  value *= 0x9E3779B97F4A7C15u;
  return value ^ value >> 32;
}

// Gives distinct keys of N integers the numbers 0, 1, 2 … in order of first appearance.
template <size_t N>
class Numbers {
 public:
  using Key = std::array<int32_t, N>;

  int32_t number_of(const Key& key) {
    uint64_t hash = 0;
    for (size_t i = 0; i < N; ++i) hash = mix(hash ^ static_cast<uint32_t>(key[i]));
    for (size_t slot = hash & (slots_.size() - 1);; slot = (slot + 1) & (slots_.size() - 1)) {
      const int32_t number = slots_[slot];
      if (number == kEmpty) return insert(slot, key, hash);
      if (keys_[static_cast<size_t>(number)] == key) return number;
    }
  }

 private:
  static constexpr int32_t kEmpty = -1;

  std::vector<int32_t> slots_ = std::vector<int32_t>(256, kEmpty);  // a power of two, at most half full
  std::vector<Key> keys_;
  std::vector<uint64_t> hashes_;

  int32_t insert(size_t slot, const Key& key, uint64_t hash) {
    slots_[slot] = static_cast<int32_t>(keys_.size());
    keys_.push_back(key);
    hashes_.push_back(hash);
    if (keys_.size() * 2 > slots_.size()) grow();
    return static_cast<int32_t>(keys_.size()) - 1;
  }
  void grow() {
    slots_.assign(slots_.size() * 4, kEmpty);
    for (size_t number = 0; number < keys_.size(); ++number) {
      size_t slot = hashes_[number] & (slots_.size() - 1);
      while (slots_[slot] != kEmpty) slot = (slot + 1) & (slots_.size() - 1);
      slots_[slot] = static_cast<int32_t>(number);
    }
  }
};

// Gives distinct strings the numbers 0, 1, 2 … in order of first appearance.
class Dictionary {
 public:
  Dictionary() : slots_(256, kEmpty) {}

  int32_t index_of(std::string_view string) {
    const uint64_t hash = hash_of(string);
    for (size_t slot = hash & (slots_.size() - 1);; slot = (slot + 1) & (slots_.size() - 1)) {
      const int32_t index = slots_[slot];
      if (index == kEmpty) return insert(slot, string, hash);
      const Entry& entry = entries_[static_cast<size_t>(index)];
      if (entry.hash == hash && entry.view() == string) return index;
    }
  }

 private:
  static constexpr int32_t kEmpty = -1;

  struct Entry {
    uint64_t hash;
    std::unique_ptr<char[]> text;
    size_t size;

    std::string_view view() const { return {text.get(), size}; }
  };

  std::vector<int32_t> slots_;  // a power of two, at most half full
  std::vector<Entry> entries_;

  static uint64_t hash_of(std::string_view string) {
    uint64_t hash = string.size();
    for (; string.size() >= 8; string.remove_prefix(8)) {
      uint64_t part = 0;
      std::memcpy(&part, string.data(), 8);
      hash = mix(hash ^ part);
    }
    uint64_t tail = 0;
    std::memcpy(&tail, string.data(), string.size());
    return mix(mix(hash ^ tail));
  }
  int32_t insert(size_t slot, std::string_view string, uint64_t hash) {
    const auto index = static_cast<int32_t>(entries_.size());
    auto text = std::make_unique<char[]>(string.size());
    std::memcpy(text.get(), string.data(), string.size());
    entries_.push_back({hash, std::move(text), string.size()});
    slots_[slot] = index;
    if (entries_.size() * 2 > slots_.size()) grow();
    return index;
  }
  void grow() {
    slots_.assign(slots_.size() * 4, kEmpty);
    for (size_t index = 0; index < entries_.size(); ++index) {
      size_t slot = entries_[index].hash & (slots_.size() - 1);
      while (slots_[slot] != kEmpty) slot = (slot + 1) & (slots_.size() - 1);
      slots_[slot] = static_cast<int32_t>(index);
    }
  }
};

}  // namespace columns
