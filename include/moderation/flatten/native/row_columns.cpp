// The compiled twin of moderation/flatten/python/row_columns.py, the definition: the columns of the image and label tables
// that differ from row to row. What each holds says column_requests.py; here stands only how.
//
// Thread safe: no state outlives a call. Row numbers and codes are those of `Answers` and are trusted.
#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <limits>
#include <memory>
#include <new>
#include <vector>

#include "columns.hpp"

namespace {

using columns::View;

constexpr int32_t kNone = -1;
constexpr int64_t kLevels = 3, kContentTypes = 4, kGroups = kLevels * kContentTypes;

// An Arrow column that is read; `validity` is null when no row is.
struct Column {
  const void* values;
  const uint8_t* validity;
  int64_t offset;

  bool valid(int64_t row) const {
    const int64_t bit = offset + row;
    return validity == nullptr || (validity[bit >> 3] >> (bit & 7) & 1) != 0;
  }
  template <class T>
  T at(int64_t row) const {
    return static_cast<const T*>(values)[offset + row];
  }
  int32_t code(int64_t row) const { return valid(row) ? at<int32_t>(row) : kNone; }
};

// Columns that are written; they own their memory.
class Output {
 public:
  const View* views() const { return views_.data(); }

  // `value(row)` gives the value; `valid(row)` whether there is one.
  template <class T, class Value, class Valid>
  void fixed(int64_t rows, Value value, Valid valid) {
    T* values = memory<T>(rows);
    for (int64_t row = 0; row < rows; ++row) values[row] = value(row);
    View view = view_of(rows, values, rows * static_cast<int64_t>(sizeof(T)));
    add_validity(view, valid);
    views_.push_back(view);
  }
  template <class T, class Value>
  void fixed(int64_t rows, Value value) {
    T* values = memory<T>(rows);
    for (int64_t row = 0; row < rows; ++row) values[row] = value(row);
    views_.push_back(view_of(rows, values, rows * static_cast<int64_t>(sizeof(T))));
  }
  // Numbers of texts, `kNone` for null.
  template <class Value>
  void codes(int64_t rows, Value value) {
    int32_t* values = memory<int32_t>(rows);
    bool any_null = false;
    for (int64_t row = 0; row < rows; ++row) {
      values[row] = value(row);
      any_null |= values[row] == kNone;
    }
    View view = view_of(rows, values, rows * static_cast<int64_t>(sizeof(int32_t)));
    if (any_null) add_validity(view, [values](int64_t row) { return values[row] != kNone; });
    views_.push_back(view);
  }
  template <class Value, class Valid>
  void bits(int64_t rows, Value value, Valid valid) {
    View view = view_of(rows, packed(rows, value), packed_bytes(rows));
    add_validity(view, valid);
    views_.push_back(view);
  }
  template <class Value>
  void bits(int64_t rows, Value value) {
    views_.push_back(view_of(rows, packed(rows, value), packed_bytes(rows)));
  }
  // `begin(row)` and `end(row)` are places in `text`. False when it is more than 32-bit offsets can count.
  template <class Begin, class End>
  bool strings(int64_t rows, const char* text, Begin begin, End end) {
    int64_t total = 0;
    for (int64_t row = 0; row < rows; ++row) total += end(row) - begin(row);
    if (total > std::numeric_limits<int32_t>::max()) return false;
    auto* offsets = memory<int32_t>(rows + 1);
    char* out = memory<char>(total);
    int32_t size = 0;
    offsets[0] = 0;
    for (int64_t row = 0; row < rows; ++row) {
      const int32_t from = begin(row), length = end(row) - from;
      std::memcpy(out + size, text + from, static_cast<size_t>(length));
      offsets[row + 1] = size += length;
    }
    View view = view_of(rows, offsets, (rows + 1) * static_cast<int64_t>(sizeof(int32_t)));
    view.text = out;
    view.text_bytes = total;
    views_.push_back(view);
    return true;
  }

 private:
  std::vector<std::unique_ptr<uint8_t[]>> owned_;
  std::vector<View> views_;

  template <class T>
  T* memory(int64_t count) {
    owned_.emplace_back(new uint8_t[static_cast<size_t>(count) * sizeof(T) + 1]);
    return reinterpret_cast<T*>(owned_.back().get());
  }
  static View view_of(int64_t rows, const void* values, int64_t bytes) {
    View view;
    view.length = rows;
    view.values = values;
    view.values_bytes = bytes;
    return view;
  }
  static int64_t packed_bytes(int64_t rows) { return (rows + 7) / 8; }

  template <class Value>
  uint8_t* packed(int64_t rows, Value value) {
    uint8_t* out = memory<uint8_t>(packed_bytes(rows));
    for (int64_t byte = 0; byte * 8 < rows; ++byte) {
      const int64_t count = std::min<int64_t>(8, rows - byte * 8);
      unsigned bits = 0;
      for (int64_t bit = 0; bit < count; ++bit) bits |= static_cast<unsigned>(value(byte * 8 + bit)) << bit;
      out[byte] = static_cast<uint8_t>(bits);
    }
    return out;
  }
  template <class Valid>
  void add_validity(View& view, Valid valid) {
    uint8_t* bits = packed(view.length, valid);
    int64_t set = 0;
    for (int64_t byte = 0; byte < packed_bytes(view.length); ++byte) set += __builtin_popcount(bits[byte]);
    view.null_count = view.length - set;
    view.validity = bits;
    view.validity_bytes = packed_bytes(view.length);
  }
};

// Lines of a results file and their labels, as `moderation.flatten.read_answers.Answers` has them.
struct Answers {
  Column illustrated, animated, content_types, other_content_types, label_count, top_label;
  Column model_version, adapter;
  const int64_t* label_start;
  const int32_t* place;
  const uint8_t* ambiguous;
  const double* confidence;

  int32_t content_type(int64_t line) const { return illustrated.valid(line) + 2 * animated.valid(line); }
};

struct Images {
  int64_t rows;
  const int64_t* answer;  // the line of each image, -1 without one
  const uint8_t* failed;
  const int32_t* l1;        // of each place, as a code
  const uint8_t* unknown;   // of each place: the taxonomy does not know the label
  int32_t instead_of_version, instead_of_adapter;
  int64_t moderated_at;
  int8_t has_moderated_at, any_unknown;
};

struct Labels {
  int64_t images;
  const int64_t* image;  // the images that get rows
  const int64_t* line;   // the line of each
  const int32_t* ref_offsets;  // of all images
  const char* refs;
  const int64_t* line_number;
  const int8_t* level;   // of each place
  int64_t places, texts, flags;
  const int32_t* text_codes;  // texts × places
  const uint8_t* flag_values;  // flags × places
  int32_t instead_of_version;
};

void add_images(const Answers& from, const Images& to, Output& out) {
  const int64_t rows = to.rows;
  const int64_t* line = to.answer;
  const auto moderated = [&](int64_t row) { return line[row] >= 0; };
  const auto top = [&](int64_t row) {
    return moderated(row) && from.top_label.valid(line[row]) ? from.top_label.at<int64_t>(line[row]) : kNone;
  };
  const auto confidence_of = [&](const Column& type) {
    out.fixed<double>(
        rows, [&](int64_t row) { return moderated(row) ? type.at<double>(line[row]) : 0; },
        [&](int64_t row) { return moderated(row) && type.valid(line[row]); });
  };
  out.codes(rows, [&](int64_t row) { return moderated(row) ? 0 : to.failed[row] ? 1 : 2; });
  out.codes(rows, [&](int64_t row) { return moderated(row) ? from.content_type(line[row]) : kNone; });
  confidence_of(from.illustrated);
  confidence_of(from.animated);
  out.fixed<int32_t>(
      rows, [&](int64_t row) { return moderated(row) ? from.label_count.at<int32_t>(line[row]) : 0; });
  out.codes(rows, [&](int64_t row) { return top(row) < 0 ? kNone : to.l1[from.place[top(row)]]; });
  out.fixed<double>(
      rows, [&](int64_t row) { return top(row) < 0 ? 0 : from.confidence[top(row)]; },
      [&](int64_t row) { return top(row) >= 0; });
  out.codes(rows, [&](int64_t row) {
    const int32_t answered = moderated(row) ? from.model_version.code(line[row]) : kNone;
    return answered == kNone ? to.instead_of_version : answered;
  });
  out.codes(rows, [&](int64_t row) {
    return moderated(row) ? from.adapter.code(line[row]) : to.instead_of_adapter;
  });
  out.fixed<int64_t>(
      rows, [&](int64_t) { return to.moderated_at; },
      [&](int64_t row) { return to.has_moderated_at && (moderated(row) || to.failed[row]); });
  out.bits(
      rows, [&](int64_t row) { return moderated(row) && from.content_types.valid(line[row]); }, moderated);
  out.fixed<int32_t>(
      rows, [&](int64_t row) { return moderated(row) ? from.other_content_types.at<int32_t>(line[row]) : 0; },
      moderated);
  out.fixed<int32_t>(rows, [&](int64_t row) {
    if (!to.any_unknown || !moderated(row)) return 0;
    int32_t count = 0;
    for (int64_t label = from.label_start[line[row]]; label < from.label_start[line[row] + 1]; ++label) {
      count += to.unknown[from.place[label]];
    }
    return count;
  });
}

// A label that gets a row.
struct Chosen {
  int64_t label, image;
  int32_t version, content_type, place;
};

// Labels by level and content type, otherwise in their order; `bounds` are where each such group starts.
std::vector<Chosen> choose(const Answers& from, const Labels& to, std::array<int64_t, kGroups + 1>& bounds) {
  std::array<int64_t, kGroups> counts{};
  const auto each = [&](auto visit) {
    for (int64_t at = 0; at < to.images; ++at) {
      const int64_t line = to.line[at], end = from.label_start[line + 1];
      if (from.label_start[line] == end) continue;
      const int32_t content_type = from.content_type(line);
      for (int64_t label = from.label_start[line]; label < end; ++label) {
        const auto group = (to.level[from.place[label]] - 1) * kContentTypes + content_type;
        visit(at, line, label, content_type, static_cast<size_t>(group));
      }
    }
  };
  each([&](int64_t, int64_t, int64_t, int32_t, size_t group) { ++counts[group]; });
  bounds[0] = 0;
  for (size_t group = 0; group < kGroups; ++group) bounds[group + 1] = bounds[group] + counts[group];
  std::vector<Chosen> chosen(static_cast<size_t>(bounds[kGroups]));
  std::array<int64_t, kGroups> next;
  std::copy_n(bounds.begin(), kGroups, next.begin());
  each([&](int64_t at, int64_t line, int64_t label, int32_t content_type, size_t group) {
    const int32_t answered = from.model_version.code(line);
    chosen[static_cast<size_t>(next[group]++)] = {
        label, to.image[at], answered == kNone ? to.instead_of_version : answered, content_type,
        from.place[label]};
  });
  return chosen;
}

bool add_labels(const Answers& from, const Labels& to, Output& out) {
  std::array<int64_t, kGroups + 1> bounds;
  const std::vector<Chosen> chosen = choose(from, to, bounds);
  const auto rows = static_cast<int64_t>(chosen.size());
  const Chosen* label = chosen.data();
  out.fixed<int64_t>(kGroups + 1, [&](int64_t group) { return bounds[static_cast<size_t>(group)]; });
  out.codes(rows, [&](int64_t row) { return label[row].content_type; });
  if (!out.strings(
          rows, to.refs, [&](int64_t row) { return to.ref_offsets[label[row].image]; },
          [&](int64_t row) { return to.ref_offsets[label[row].image + 1]; })) {
    return false;
  }
  out.fixed<int64_t>(rows, [&](int64_t row) { return to.line_number[label[row].image]; });
  out.fixed<double>(rows, [&](int64_t row) { return from.confidence[label[row].label]; });
  out.bits(rows, [&](int64_t row) { return from.ambiguous[label[row].label] != 0; });
  out.codes(rows, [&](int64_t row) { return label[row].version; });
  for (int64_t text = 0; text < to.texts; ++text) {
    const int32_t* codes = to.text_codes + text * to.places;
    out.codes(rows, [&](int64_t row) { return codes[label[row].place]; });
  }
  for (int64_t flag = 0; flag < to.flags; ++flag) {
    const uint8_t* values = to.flag_values + flag * to.places;
    out.bits(rows, [&](int64_t row) { return values[label[row].place] != 0; });
  }
  return true;
}

}  // namespace

extern "C" {

// Columns to be given back to `moderation_free_rows`; null when memory ran out.
Output* moderation_image_columns(const Answers* from, const Images* to) {
  try {
    auto out = std::make_unique<Output>();
    add_images(*from, *to, *out);
    return out.release();
  } catch (const std::exception&) {
    return nullptr;
  }
}

// The same of labels; null too when their text is more than 2 GiB.
Output* moderation_label_columns(const Answers* from, const Labels* to) {
  try {
    auto out = std::make_unique<Output>();
    return add_labels(*from, *to, *out) ? out.release() : nullptr;
  } catch (const std::exception&) {
    return nullptr;
  }
}

const View* moderation_row_views(const Output* rows) { return rows->views(); }

void moderation_free_rows(Output* rows) { delete rows; }
}
