#include "io/logits_examples.hpp"

#include <stdexcept>

#include "io/python.hpp"
#include "io/scratch_directory.hpp"

namespace klmesh::io {

std::filesystem::path logits_example(const std::string& name) {
  static const ScratchDirectory directory;
  static const std::string output =
      run_python(read_text(KLMESH_TEST_SOURCE_DIRECTORY "/logits_examples.py"), directory.path().string());
  if (output != "made\n") throw std::runtime_error("logits_examples.py: " + output);
  return directory / (name + ".h5");
}

}  // namespace klmesh::io
