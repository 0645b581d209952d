// What the real program does with the hidden option of the probe.
#include <string_view>

#include "io/probe.hpp"

int main(int argc, char** argv) {
  if (argc != 3 || std::string_view(argv[1]) != klmesh::io::probe_option) return 64;
  return klmesh::io::probe_main(argv[2]);
}
