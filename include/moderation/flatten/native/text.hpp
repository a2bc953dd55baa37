// UTF-8 and the little text work that python/parse.py leaves to Python's own functions.
#pragma once

#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

#include "json.hpp"

namespace text {

inline bool is_space(char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\n'; }

inline char fold(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; }

// Lower case of ASCII letters only.
inline std::string folded(std::string_view string) {
  std::string result(string);
  for (char& c : result) c = fold(c);
  return result;
}

inline bool equals_folded(std::string_view string, std::string_view lower) {
  if (string.size() != lower.size()) return false;
  for (size_t i = 0; i < string.size(); ++i) {
    if (fold(string[i]) != lower[i]) return false;
  }
  return true;
}

// Bytes of the code point at `p`, which is not ASCII; when it is invalid, minus the number of bytes that
// Unicode calls its "maximal subpart" (what one U+FFFD stands for).
inline int code_point_size(const char* p, const char* end) {
  const auto lead = static_cast<unsigned char>(*p);
  unsigned char low = 0x80, high = 0xBF;
  int size = 0;
  if (lead >= 0xC2 && lead <= 0xDF) {
    size = 2;
  } else if (lead >= 0xE0 && lead <= 0xEF) {
    size = 3;
    if (lead == 0xE0) low = 0xA0;
    if (lead == 0xED) high = 0x9F;
  } else if (lead >= 0xF0 && lead <= 0xF4) {
    size = 4;
    if (lead == 0xF0) low = 0x90;
    if (lead == 0xF4) high = 0x8F;
  } else {
    return -1;
  }
  for (int i = 1; i < size; ++i) {
    if (end - p <= i) return -i;
    const auto byte = static_cast<unsigned char>(p[i]);
    if (byte < low || byte > high) return -i;
    low = 0x80;
    high = 0xBF;
  }
  return size;
}

inline const char* skip_ascii(const char* p, const char* end) {
  for (; end - p >= 32; p += 32) {
    uint64_t parts[4];
    std::memcpy(parts, p, sizeof parts);
    if ((parts[0] | parts[1] | parts[2] | parts[3]) & 0x8080808080808080u) break;
  }
  while (p != end && static_cast<signed char>(*p) >= 0) ++p;
  return p;
}

inline bool is_utf8(const char* p, const char* end) {
  for (p = skip_ascii(p, end); p != end; p = skip_ascii(p, end)) {
    const int size = code_point_size(p, end);
    if (size < 0) return false;
    p += size;
  }
  return true;
}

// The first `max_chars` code points, invalid bytes as U+FFFD: Python's decode("utf-8", "replace").
inline std::string_view replace_invalid(const char* p, const char* end, size_t max_chars, std::string& out) {
  out.clear();
  for (size_t chars = 0; p != end && chars < max_chars; ++chars) {
    const int size = static_cast<signed char>(*p) >= 0 ? 1 : code_point_size(p, end);
    if (size > 0) {
      out.append(p, static_cast<size_t>(size));
      p += size;
    } else {
      out += "\xEF\xBF\xBD";
      p -= size;
    }
  }
  return out;
}

// What the first `"source-ref": "…"` of a broken line holds, "" when that is no valid string. The same as
// python/parse.py's regular expression finds: there the string may hold anything up to its closing quote.
inline std::string_view salvage_source_ref(const char* begin, const char* end, std::string& out) {
  constexpr std::string_view kKey = "\"source-ref\"";
  const std::string_view line(begin, static_cast<size_t>(end - begin));
  for (size_t at = line.find(kKey); at != line.npos; at = line.find(kKey, at + 1)) {
    const char* p = begin + at + kKey.size();
    while (p != end && (*p == ' ' || *p == '\t')) ++p;
    if (p == end || *p++ != ':') continue;
    while (p != end && (*p == ' ' || *p == '\t')) ++p;
    if (p == end || *p++ != '"') continue;
    const char* stop = p;
    while (stop != end && *stop != '"') stop += *stop == '\\' && end - stop > 1 ? 2 : 1;
    if (stop == end) continue;
    json::Cursor c{p, end};
    json::Text text;
    if (!is_utf8(p, stop) || !json::read_string(c, text)) return {};
    return text.decoded(out);
  }
  return {};
}

}  // namespace text
