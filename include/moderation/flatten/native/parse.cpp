// The compiled twin of moderation/flatten/python/parse.py, the definition: identical values in every column. What a line
// means and what each column holds says parsed_block.py; here stands only how.
//
// Thread safe (no state outlives a call), memory safe on any bytes, needs C++17 and nothing else.
#include "json.hpp"

#include <algorithm>
#include <limits>
#include <new>
#include <vector>

#include "columns.hpp"
#include "text.hpp"

namespace {

using json::Cursor;
using json::Kind;
using json::Text;
using json::Value;

constexpr size_t kMaxLineBytes = 4 * 1024 * 1024;
constexpr size_t kMaxRawChars = 2000;
constexpr size_t kMaxLabels = 1000;
constexpr int32_t kNone = -1;

enum Outcome : int8_t { kAnswered, kNoAnswer, kNotJson, kNotAnObject, kNoSourceRef, kBadAnswer };

struct Label {
  Value name, parent_name, level, confidence;

  bool is_bad() const {
    return name.kind != Kind::string || name.text.raw.empty() || !confidence.is_number() ||
           (parent_name.kind > Kind::string) || (level.kind > Kind::null && level.kind != Kind::integer);
  }
};

// Highest confidence of one content type.
struct Highest {
  bool found = false;
  double confidence = 0;

  void add(double value) {
    if (!found || !(confidence > value)) confidence = value;
    found = true;
  }
};

struct ContentTypes {
  Kind kind = Kind::missing;  // container: a list
  bool is_list = false;
  int32_t count = 0, other = 0;
  Highest illustrated, animated;
};

struct Answer {
  Kind kind = Kind::missing;
  bool is_object = false, has_labels = false, has_bad_label = false;
  Value model_version, adapter;
  ContentTypes content_types;
  std::vector<Label> labels;

  void clear() {
    kind = Kind::missing;
    is_object = false;
    model_version.kind = adapter.kind = Kind::missing;
    content_types = {};
    forget_labels();
  }
  void forget_labels() {
    has_labels = has_bad_label = false;
    labels.clear();
  }
  bool is_bad() const {
    const bool content_types_bad = content_types.kind > Kind::null && !content_types.is_list;
    return !is_object || !has_labels || has_bad_label || labels.size() > kMaxLabels || content_types_bad;
  }
};

// Reads lines; keeps what the last one held.
class LineReader {
 public:
  Value source_ref;
  Answer answer;

  // False when the line is no valid JSON; `is_object` otherwise says whether it is an object.
  bool read(Cursor c, bool& is_object) {
    source_ref.kind = Kind::missing;
    answer.clear();
    is_object = c.take('{');
    Value other;
    const bool valid = is_object ? json::read_members(c, [&](const Text& key) { return read_entry(c, key); })
                                 : json::read_value(c, 0, other);
    return valid && c.p == c.end;
  }

 private:
  Value ignored_;

  bool read_entry(Cursor& c, const Text& key) {
    if (key.is("source-ref")) return json::read_value(c, 1, source_ref);
    if (!key.is("detect-moderation-labels")) return json::read_value(c, 1, ignored_);
    answer.clear();
    if (!c.take('{')) {
      if (!json::read_value(c, 1, ignored_)) return false;
      answer.kind = ignored_.kind;
      return true;
    }
    answer.kind = Kind::container;
    answer.is_object = true;
    return json::read_members(c, [&](const Text& inner) { return read_answer(c, inner); });
  }

  bool read_answer(Cursor& c, const Text& key) {
    if (key.is("ModerationLabels")) {
      answer.forget_labels();
      if (!c.take('[')) return json::read_value(c, 2, ignored_);
      answer.has_labels = true;
      return json::read_items(c, [&] { return read_label(c); });
    }
    if (key.is("ContentTypes")) return read_content_types(c);
    if (key.is("ModerationModelVersion")) return json::read_value(c, 2, answer.model_version);
    if (key.is("ProjectVersion")) return json::read_value(c, 2, answer.adapter);
    return json::read_value(c, 2, ignored_);
  }

  bool read_label(Cursor& c) {
    if (!c.take('{')) {
      answer.has_bad_label = true;
      return json::read_value(c, 3, ignored_);
    }
    Label& label = answer.labels.emplace_back();
    const bool valid = json::read_members(c, [&](const Text& key) {
      if (key.is("Name")) return json::read_value(c, 4, label.name);
      if (key.is("ParentName")) return json::read_value(c, 4, label.parent_name);
      if (key.is("Confidence")) return json::read_value(c, 4, label.confidence);
      if (key.is("TaxonomyLevel")) return json::read_value(c, 4, label.level);
      return json::read_value(c, 4, ignored_);
    });
    answer.has_bad_label |= label.is_bad();
    return valid;
  }

  bool read_content_types(Cursor& c) {
    ContentTypes& found = answer.content_types = {};
    if (!c.take('[')) {
      if (!json::read_value(c, 2, ignored_)) return false;
      found.kind = ignored_.kind;
      return true;
    }
    found.kind = Kind::container;
    found.is_list = true;
    return json::read_items(c, [&] { return read_content_type(c, found); });
  }

  bool read_content_type(Cursor& c, ContentTypes& found) {
    ++found.count;
    Value name, confidence;
    if (!c.take('{')) {
      ++found.other;
      return json::read_value(c, 3, ignored_);
    }
    const bool valid = json::read_members(c, [&](const Text& key) {
      if (key.is("Name")) return json::read_value(c, 4, name);
      if (key.is("Confidence")) return json::read_value(c, 4, confidence);
      return json::read_value(c, 4, ignored_);
    });
    std::string buffer;
    const std::string_view kind = name.kind == Kind::string ? name.text.decoded(buffer) : "";
    if (confidence.is_number() && text::equals_folded(kind, "illustrated")) {
      found.illustrated.add(confidence.number);
    } else if (confidence.is_number() && text::equals_folded(kind, "animated")) {
      found.animated.add(confidence.number);
    } else {
      ++found.other;
    }
    return valid;
  }
};

// A label as the search for parents sees it: ids of its names in lower case, `kNone` for no parent.
struct Node {
  int32_t name, parent_name;
  int8_t level;
};

struct Parent {
  int32_t position = kNone;
  bool ambiguous = false;
};

Parent find_parent(const std::vector<Node>& nodes, int32_t position) {
  const Node child = nodes[static_cast<size_t>(position)];
  int32_t first = kNone, after = kNone, nearest = 0;
  bool differ = false;
  if (child.parent_name == kNone) return {};
  for (int32_t i = 0; i < static_cast<int32_t>(nodes.size()); ++i) {
    const Node& node = nodes[static_cast<size_t>(i)];
    if (node.name != child.parent_name || i == position) continue;
    const int32_t near = child.level && node.level ? node.level : child.level - 1;
    if (near > child.level - 1 || (first != kNone && near < nearest)) continue;
    if (first != kNone && near > nearest) first = after = kNone, differ = false;
    nearest = near;
    if (first == kNone) first = i;
    if (after == kNone && i > position) after = i;
    differ |= node.parent_name != nodes[static_cast<size_t>(first)].parent_name;
  }
  return {after == kNone ? first : after, differ};
}

// The model version, a label's name, its parent's name, its level (0 for none) and the chain of its parent.
constexpr size_t kChainKey = 5;
using ChainKey = columns::Numbers<kChainKey>::Key;

// Collects the rows of one block column by column.
class Builder {
 public:
  columns::Block block;

  void add(const char* begin, const char* end, int64_t line_number) {
    const size_t size = static_cast<size_t>(end - begin);
    bool is_object = false;
    block.line_number.push(line_number);
    if (size > kMaxLineBytes || !text::is_utf8(begin, end) || !reader_.read({begin, end}, is_object)) {
      return add_unanswered(kNotJson, begin, end);
    }
    const Value& ref = reader_.source_ref;
    if (!is_object) return add_unanswered(kNotAnObject, begin, end);
    if (ref.kind != Kind::string || ref.text.raw.empty()) return add_unanswered(kNoSourceRef, begin, end);
    if (reader_.answer.kind <= Kind::null) return add_unanswered(kNoAnswer, begin, end);
    if (reader_.answer.is_bad()) return add_unanswered(kBadAnswer, begin, end);
    add_answer();
  }

 private:
  LineReader reader_;
  columns::Dictionary names_, folded_;
  std::vector<int32_t> folded_of_;  // id in `folded_` of each string
  std::vector<Node> nodes_;
  std::vector<ChainKey> keys_;
  std::vector<int32_t> parents_, walks_, lineage_, chain_of_;
  columns::Numbers<kChainKey> chains_;
  std::string buffer_;

  void add_unanswered(Outcome outcome, const char* begin, const char* end) {
    block.outcome.push(outcome);
    if (outcome == kNotJson) {
      block.source_ref.push_or_null(text::salvage_source_ref(begin, end, buffer_));
    } else if (outcome == kNoAnswer || outcome == kBadAnswer) {
      block.source_ref.push(reader_.source_ref.text.decoded(buffer_));
    } else {
      block.source_ref.push_null();
    }
    block.model_version.push_null();
    block.adapter.push_null();
    block.content_types.push_null();
    block.illustrated.push_null();
    block.animated.push_null();
    block.other_content_types.push(0);
    block.label_count.push(0);
    block.top_label.push_null();
    block.raw.push(text::replace_invalid(begin, end, kMaxRawChars, buffer_));
  }

  void add_answer() {
    const Answer& answer = reader_.answer;
    const ContentTypes& types = answer.content_types;
    block.outcome.push(kAnswered);
    block.source_ref.push(reader_.source_ref.text.decoded(buffer_));
    const int32_t model_version = index_of(answer.model_version);
    block.model_version.push_or_null(model_version);
    block.adapter.push_or_null(index_of(answer.adapter));
    types.is_list ? block.content_types.push(types.count) : block.content_types.push_null();
    push_highest(block.illustrated, types.illustrated);
    push_highest(block.animated, types.animated);
    block.other_content_types.push(types.other);
    block.label_count.push(static_cast<int32_t>(answer.labels.size()));
    add_labels(answer.labels, model_version);
    block.raw.push_null();
  }

  static void push_highest(columns::Fixed<double>& column, const Highest& highest) {
    highest.found ? column.push(highest.confidence) : column.push_null();
  }

  void add_labels(const std::vector<Label>& labels, int32_t model_version) {
    if (labels.empty()) return block.top_label.push_null();
    const auto line = static_cast<int32_t>(block.label_count.size() - 1);
    const auto base = static_cast<int32_t>(block.label_line.size());
    size_t top = 0;
    nodes_.clear();
    keys_.clear();
    for (const Label& label : labels) {
      const int32_t name = index_of(label.name), parent_name = index_of(label.parent_name);
      nodes_.push_back({fold(name), fold(parent_name), label.level.level});
      keys_.push_back({model_version, name, parent_name, label.level.level, kNone});
      block.label_line.push(line);
      block.name.push(name);
      block.parent_name.push_or_null(parent_name);
      label.level.level ? block.level.push(label.level.level) : block.level.push_null();
      block.confidence.push(label.confidence.number);
      if (label.confidence.number > labels[top].confidence.number) top = nodes_.size() - 1;
    }
    parents_.clear();
    for (size_t position = 0; position < labels.size(); ++position) {
      const Parent parent = find_parent(nodes_, static_cast<int32_t>(position));
      parents_.push_back(parent.position);
      block.ambiguous.push(parent.ambiguous);
    }
    open_circles();
    for (const int32_t parent : parents_) block.parent.push_or_null(parent == kNone ? kNone : base + parent);
    number_chains();
    for (const int32_t chain : chain_of_) block.chain.push(chain);
    block.top_label.push(base + static_cast<int32_t>(top));
  }

  int32_t& at(std::vector<int32_t>& values, int32_t position) { return values[static_cast<size_t>(position)]; }

  // Takes the parent from the first listed label of each circle.
  void open_circles() {
    const auto size = static_cast<int32_t>(parents_.size());
    walks_.assign(parents_.size(), kNone);
    for (int32_t start = 0; start < size; ++start) {
      int32_t position = start;
      while (position != kNone && at(walks_, position) == kNone) {
        at(walks_, position) = start;
        position = at(parents_, position);
      }
      if (position == kNone || at(walks_, position) != start) continue;
      int32_t first = position;
      for (int32_t next = at(parents_, position); next != position; next = at(parents_, next)) {
        first = std::min(first, next);
      }
      at(parents_, first) = kNone;
    }
  }

  void number_chains() {
    chain_of_.assign(parents_.size(), kNone);
    for (int32_t start = 0; start < static_cast<int32_t>(parents_.size()); ++start) {
      lineage_.clear();
      int32_t position = start;
      for (; position != kNone && at(chain_of_, position) == kNone; position = at(parents_, position)) {
        lineage_.push_back(position);
      }
      int32_t above = position == kNone ? kNone : at(chain_of_, position);
      while (!lineage_.empty()) {
        ChainKey& key = keys_[static_cast<size_t>(lineage_.back())];
        key.back() = above;
        above = at(chain_of_, lineage_.back()) = chains_.number_of(key);
        lineage_.pop_back();
      }
    }
  }

  int32_t index_of(const Value& value) {
    if (value.kind != Kind::string || value.text.raw.empty()) return kNone;
    const std::string_view string = value.text.decoded(buffer_);
    const int32_t index = names_.index_of(string);
    if (static_cast<size_t>(index) == folded_of_.size()) {
      block.strings.push(string);
      folded_of_.push_back(folded_.index_of(text::folded(string)));
    }
    return index;
  }

  int32_t fold(int32_t name) const { return name == kNone ? kNone : folded_of_[static_cast<size_t>(name)]; }
};

columns::Block* parse(const char* data, size_t size, int64_t first_line) {
  auto builder = std::make_unique<Builder>();
  const char* const end = data + size;
  builder->block.reserve(size);
  int64_t number = first_line;
  for (const char* begin = data; begin != end; ++number) {
    const auto* stop = static_cast<const char*>(std::memchr(begin, '\n', static_cast<size_t>(end - begin)));
    const char* const next = stop ? stop + 1 : end;
    const char* line_end = stop ? stop : end;
    while (begin != line_end && text::is_space(*begin)) ++begin;
    while (begin != line_end && text::is_space(line_end[-1])) --line_end;
    if (begin != line_end) builder->add(begin, line_end, number);
    begin = next;
  }
  builder->block.finish();
  return new columns::Block(std::move(builder->block));
}

}  // namespace

extern "C" {

// A parsed block to be given back to `moderation_free`, or null when memory ran out.
columns::Block* moderation_parse(const char* data, size_t size, int64_t first_line) {
  try {
    return parse(data, size, first_line);
  } catch (const std::exception&) {
    return nullptr;
  }
}

// Where the columns of a block are, in the order of LINES_SCHEMA, LABELS_SCHEMA, then `strings`.
const columns::View* moderation_columns(const columns::Block* block) { return block->views; }

void moderation_free(columns::Block* block) { delete block; }
}
