# cmake -D ROOT=... -D OUTPUT=... -P source_id.cmake: a header with a hash of all sources, so that ranks of different
# builds find out, whatever the version says.
file(GLOB_RECURSE sources RELATIVE ${ROOT} ${ROOT}/src/*.?pp ${ROOT}/src/*.h ${ROOT}/src/*.cu ${ROOT}/src/*.cuh
     ${ROOT}/include/*)
list(SORT sources)
set(hashes "")
foreach(source IN LISTS sources)
  file(SHA256 ${ROOT}/${source} hash)
  string(APPEND hashes "${source} ${hash}\n")
endforeach()
string(SHA256 id "${hashes}")
string(SUBSTRING ${id} 0 16 id)
file(WRITE ${OUTPUT} "#pragma once\n#define KLMESH_SOURCE_ID \"${id}\"\n")
