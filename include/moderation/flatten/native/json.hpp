// Strict JSON over one line of bytes: what orjson accepts and refuses, to the same doubles.
//
// Nothing here allocates except `Text::decoded`. Every read is bounded by `Cursor::end`; the input needs no
// terminator and no padding.
#pragma once

#include <cfloat>
#include <charconv>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <string>
#include <string_view>

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

namespace json {

constexpr int kMaxDepth = 1024;  // containers open at once; orjson's limit

struct Cursor {
  const char* p;
  const char* end;

  void skip_space() {
    while (p != end && (*p == ' ' || *p == '\t' || *p == '\r' || *p == '\n')) ++p;
  }
  bool take(char c) {
    if (p == end || *p != c) return false;
    ++p;
    return true;
  }
};

inline bool read_hex4(const char* p, const char* end, uint32_t& out) {
  if (end - p < 4) return false;
  out = 0;
  for (int i = 0; i < 4; ++i) {
    const char c = p[i];
    const char lower = static_cast<char>(c | 0x20);
    if (c >= '0' && c <= '9') {
      out = out * 16 + static_cast<uint32_t>(c - '0');
    } else if (lower >= 'a' && lower <= 'f') {
      out = out * 16 + static_cast<uint32_t>(lower - 'a' + 10);
    } else {
      return false;
    }
  }
  return true;
}

// Reads the escape that starts at the backslash `c.p`; surrogates must come as a pair.
inline bool read_escape(Cursor& c, uint32_t& code) {
  if (c.end - c.p < 2) return false;
  const char kind = c.p[1];
  c.p += 2;
  switch (kind) {
    case '"': case '\\': case '/': code = static_cast<uint32_t>(kind); return true;
    case 'b': code = '\b'; return true;
    case 'f': code = '\f'; return true;
    case 'n': code = '\n'; return true;
    case 'r': code = '\r'; return true;
    case 't': code = '\t'; return true;
    case 'u': break;
    default: return false;
  }
  if (!read_hex4(c.p, c.end, code)) return false;
  c.p += 4;
  if (code < 0xD800 || code > 0xDFFF) return true;
  uint32_t low = 0;
  if (code > 0xDBFF || c.end - c.p < 6 || c.p[0] != '\\' || c.p[1] != 'u') return false;
  if (!read_hex4(c.p + 2, c.end, low) || low < 0xDC00 || low > 0xDFFF) return false;
  c.p += 6;
  code = 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00);
  return true;
}

inline void append_utf8(std::string& out, uint32_t code) {
  if (code < 0x80) {
    out += static_cast<char>(code);
    return;
  }
  if (code < 0x800) {
    out += static_cast<char>(0xC0 | code >> 6);
  } else {
    if (code < 0x10000) {
      out += static_cast<char>(0xE0 | code >> 12);
    } else {
      out += static_cast<char>(0xF0 | code >> 18);
      out += static_cast<char>(0x80 | (code >> 12 & 0x3F));
    }
    out += static_cast<char>(0x80 | (code >> 6 & 0x3F));
  }
  out += static_cast<char>(0x80 | (code & 0x3F));
}

// What stands between the quotes of a valid JSON string.
struct Text {
  std::string_view raw;
  bool escaped = false;

  // Compares with a literal: its size is a constant, so the usual case costs one or two instructions.
  template <size_t N>
  bool is(const char (&literal)[N]) const {
    if (!escaped) return raw.size() == N - 1 && std::memcmp(raw.data(), literal, N - 1) == 0;
    std::string buffer;
    return decoded(buffer) == std::string_view(literal, N - 1);
  }

  // The string's value; `buffer` holds it when it differs from the bytes as written.
  std::string_view decoded(std::string& buffer) const {
    if (!escaped) return raw;
    buffer.clear();
    Cursor c{raw.data(), raw.data() + raw.size()};
    uint32_t code = 0;
    while (c.p != c.end) {
      if (*c.p != '\\') {
        buffer += *c.p++;
      } else if (read_escape(c, code)) {
        append_utf8(buffer, code);
      } else {
        break;  // not reached: the string was validated when it was read
      }
    }
    return buffer;
  }
};

inline bool is_special(char c) { return c == '"' || c == '\\' || static_cast<unsigned char>(c) < 0x20; }

// The first quote, backslash or control character; `end` if there is none.
inline const char* find_special(const char* p, const char* end) {
#if defined(__SSE2__)
  const __m128i quote = _mm_set1_epi8('"'), slash = _mm_set1_epi8('\\'), control = _mm_set1_epi8(0x1F);
  for (; end - p >= 16; p += 16) {
    const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
    const __m128i hit = _mm_or_si128(
        _mm_or_si128(_mm_cmpeq_epi8(bytes, quote), _mm_cmpeq_epi8(bytes, slash)),
        _mm_cmpeq_epi8(_mm_max_epu8(bytes, control), control));
    if (const int mask = _mm_movemask_epi8(hit)) return p + __builtin_ctz(static_cast<unsigned>(mask));
  }
#endif
  while (p != end && !is_special(*p)) ++p;
  return p;
}

// Reads a string whose opening quote was taken.
inline bool read_string(Cursor& c, Text& out) {
  const char* begin = c.p;
  out.escaped = false;
  uint32_t code = 0;
  for (;;) {
    c.p = find_special(c.p, c.end);
    if (c.p == c.end) return false;
    if (*c.p == '"') break;
    if (*c.p != '\\' || !read_escape(c, code)) return false;
    out.escaped = true;
  }
  out.raw = {begin, static_cast<size_t>(c.p - begin)};
  ++c.p;
  return true;
}

enum class Kind : uint8_t { missing, null, string, integer, real, boolean, container };

struct Value {
  Kind kind = Kind::missing;
  int8_t level = 0;  // the integer when it is 1 to 127; otherwise 0
  Text text;
  double number = 0;

  bool is_number() const { return kind == Kind::integer || kind == Kind::real; }
};

// The double nearest to a number whose syntax was checked; false when it is beyond float64. `magnitude` is
// the power of ten of its first digit.
inline bool to_double(const char* begin, const char* end, int magnitude, double& out) {
#if defined(__cpp_lib_to_chars)
  const auto result = std::from_chars(begin, end, out);
  if (result.ec == std::errc::result_out_of_range) {  // too large or too small: the same code for both
    for (const char* p = begin; *p == '-' || *p == '0' || *p == '.'; ++p) magnitude -= *p == '0';
    if (magnitude > 0) return false;
    out = *begin == '-' ? -0.0 : 0.0;
  }
#else
  // Exact too, but of the locale: a decimal comma makes it stop early, and then the line counts as broken.
  const std::string copy(begin, end);
  char* stop = nullptr;
  out = std::strtod(copy.c_str(), &stop);
  if (*stop != '\0') return false;
  (void)magnitude;
#endif
  return !std::isinf(out);
}

constexpr double kPowersOfTen[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8,  1e9,  1e10, 1e11,
                                   1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};

inline bool is_digit(const Cursor& c) { return c.p != c.end && *c.p >= '0' && *c.p <= '9'; }

// Takes digits into `mantissa`; it is meaningless after the 19th, which the caller counts.
inline int take_digits(Cursor& c, uint64_t& mantissa) {
  const char* begin = c.p;
  for (; is_digit(c); ++c.p) mantissa = mantissa * 10 + static_cast<uint64_t>(*c.p - '0');
  const auto count = c.p - begin;
  return count > 1 << 24 ? 1 << 24 : static_cast<int>(count);
}

inline bool take_exponent(Cursor& c, int& exponent) {
  if (c.p == c.end || (*c.p | 0x20) != 'e') return true;
  ++c.p;
  const bool negative = c.take('-');
  if (!negative) c.take('+');
  if (!is_digit(c)) return false;
  int value = 0;
  for (; is_digit(c); ++c.p) value = value > 1 << 26 ? value : value * 10 + (*c.p - '0');
  exponent += negative ? -value : value;
  return true;
}

// Python's int on the other side: what fits 64 bits (signed, or unsigned when positive).
inline bool fits_64_bits(const char* begin, const char* end) {
  int64_t with_sign = 0;
  uint64_t without = 0;
  return *begin == '-' ? std::from_chars(begin, end, with_sign).ec == std::errc()
                       : std::from_chars(begin, end, without).ec == std::errc();
}

// Reads a number. Exactly representable parts are combined by one rounding, the rest goes to from_chars.
inline bool read_number(Cursor& c, Value& out) {
  const char* begin = c.p;
  const bool negative = c.take('-');
  if (!is_digit(c)) return false;
  const bool zero = *c.p == '0';
  uint64_t mantissa = 0;
  const int whole = take_digits(c, mantissa);
  if (zero && whole > 1) return false;
  int digits = whole, exponent = 0;
  const char* whole_end = c.p;
  if (c.take('.')) {
    const int fraction = take_digits(c, mantissa);
    if (fraction == 0) return false;
    digits += fraction;
    exponent = -fraction;
  }
  if (!take_exponent(c, exponent)) return false;
  if (c.p == whole_end) {
    out.kind = digits < 19 || fits_64_bits(begin, c.p) ? Kind::integer : Kind::real;
    if (!negative && digits <= 3 && mantissa >= 1 && mantissa <= 127) out.level = static_cast<int8_t>(mantissa);
  } else {
    out.kind = Kind::real;
  }
  const bool exact = digits <= 19 && mantissa <= (uint64_t{1} << 53) && exponent >= -22 && exponent <= 22;
  if (exact && FLT_EVAL_METHOD == 0) {
    const double value = static_cast<double>(mantissa);
    const double scaled = exponent < 0 ? value / kPowersOfTen[-exponent] : value * kPowersOfTen[exponent];
    // -0 is an integer in JSON text, and an integer has no negative zero.
    out.number = negative && !(out.kind == Kind::integer && mantissa == 0) ? -scaled : scaled;
    return true;
  }
  return to_double(begin, c.p, digits + exponent, out.number);
}

inline bool take_word(Cursor& c, std::string_view word) {
  if (static_cast<size_t>(c.end - c.p) < word.size() || std::memcmp(c.p, word.data(), word.size()) != 0) {
    return false;
  }
  c.p += word.size();
  return true;
}

// Reads the value at `c.p`; of a container only says that it is one, and leaves `c` where it starts.
inline bool read_scalar(Cursor& c, Value& out) {
  if (c.p == c.end) return false;
  out.level = 0;
  switch (*c.p) {
    case '"':
      ++c.p;
      out.kind = Kind::string;
      return read_string(c, out.text);
    case '{': case '[': out.kind = Kind::container; return true;
    case 't': out.kind = Kind::boolean; return take_word(c, "true");
    case 'f': out.kind = Kind::boolean; return take_word(c, "false");
    case 'n': out.kind = Kind::null; return take_word(c, "null");
    default: return read_number(c, out);
  }
}

inline bool take_key(Cursor& c, Text& key) {
  c.skip_space();
  if (!c.take('"') || !read_string(c, key)) return false;
  c.skip_space();
  if (!c.take(':')) return false;
  c.skip_space();
  return true;
}

// Reads any value and keeps it when it is a scalar. `depth` containers are open around it. No recursion:
// hostile nesting must not reach the end of a small thread stack.
inline bool read_value(Cursor& c, int depth, Value& out) {
  if (!read_scalar(c, out)) return false;
  if (out.kind != Kind::container) return true;
  bool is_object[kMaxDepth + 1];
  const int base = depth;
  Value ignored;
  Text key;
  for (;;) {
    c.skip_space();
    if (!read_scalar(c, ignored)) return false;
    const bool opened = ignored.kind == Kind::container;
    if (opened) {
      if (depth == kMaxDepth) return false;
      is_object[++depth] = *c.p++ == '{';
    }
    for (bool first = opened;; first = false) {
      c.skip_space();
      if (c.p == c.end) return false;
      if (*c.p == (is_object[depth] ? '}' : ']')) {
        ++c.p;
        if (--depth == base) return true;
        continue;
      }
      if (!first && !c.take(',')) return false;
      if (is_object[depth] && !take_key(c, key)) return false;
      break;
    }
  }
}

// Walks an object or array whose opening bracket was taken; `visit` reads one value (or fails).
template <class Visit>
bool read_members(Cursor& c, Visit visit) {
  c.skip_space();
  if (c.take('}')) return true;
  Text key;
  for (;;) {
    if (!take_key(c, key) || !visit(key)) return false;
    c.skip_space();
    if (c.take('}')) return true;
    if (!c.take(',')) return false;
  }
}

template <class Visit>
bool read_items(Cursor& c, Visit visit) {
  c.skip_space();
  if (c.take(']')) return true;
  for (;;) {
    c.skip_space();
    if (!visit()) return false;
    c.skip_space();
    if (c.take(']')) return true;
    if (!c.take(',')) return false;
  }
}

}  // namespace json
