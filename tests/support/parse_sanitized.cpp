// Parses every block of a file under AddressSanitizer and UBSan: each block (8 bytes little-endian length, then
// its bytes) is copied into memory of exactly its size, so that one byte read too far is an error.
#include <cstdio>
#include <fstream>
#include <vector>

#include "../../include/moderation/flatten/native/parse.cpp"

int main(int, char** argv) {
  std::ifstream file(argv[1], std::ios::binary);
  uint64_t size = 0, lines = 0, blocks = 0;
  while (file.read(reinterpret_cast<char*>(&size), sizeof size)) {
    std::unique_ptr<char[]> data(new char[size]);
    if (!file.read(data.get(), static_cast<std::streamsize>(size))) return 2;
    columns::Block* block = moderation_parse(data.get(), size, 1);
    if (block == nullptr) return 3;
    lines += static_cast<uint64_t>(moderation_columns(block)->length);
    moderation_free(block);
    ++blocks;
  }
  std::printf("%llu blocks, %llu lines\n", static_cast<unsigned long long>(blocks),
              static_cast<unsigned long long>(lines));
}
