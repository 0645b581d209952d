// An array in the memory of a back end.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "loop/tensor_ops.hpp"

namespace klmesh::loop {

/// Owns its memory. Copies are deep, as a vector's are. Elements are reached by operations, or by upload() and download();
/// by pointer only from code of the same back end, and in the host's memory.
template <class T>
class Buffer {
  static_assert(std::is_trivially_copyable_v<T>);

 public:
  Buffer() = default;
  /// All bytes are 0.
  /// @param ops  must outlive this; @param name a literal: what the bytes are counted under
  Buffer(TensorOps& ops, const char* name, std::int64_t size) : ops_(&ops), name_(name) { resize(size); }
  Buffer(TensorOps& ops, const char* name, std::span<const T> values, CopyReason reason)
      : Buffer(ops, name, static_cast<std::int64_t>(values.size())) {
    upload(reason, values);
  }
  Buffer(const Buffer& other) : Buffer() {  // delegates, so that what throws below frees
    if (other.ops_ == nullptr) return;
    ops_ = other.ops_;
    name_ = other.name_;
    resize(other.size());
    ops_->copy(other.bytes(), bytes());
  }
  Buffer(Buffer&& other) noexcept
      : ops_(other.ops_),
        name_(other.name_),
        data_(std::exchange(other.data_, nullptr)),
        size_(std::exchange(other.size_, 0)),
        capacity_(std::exchange(other.capacity_, 0)) {}
  Buffer& operator=(Buffer other) noexcept {
    std::swap(ops_, other.ops_);
    std::swap(name_, other.name_);
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
    std::swap(capacity_, other.capacity_);
    return *this;
  }
  ~Buffer() { free(); }

  /// Allocates only if it was never as large; then all is 0, and else contents are whatever they were. What grows waits
  /// for all that was enqueued: freeing would too, but for ever if a peer is lost. @throws as TensorOps::wait()
  void resize(std::int64_t size) {
    if (size > capacity_) {
      if (data_ != nullptr) ops_->wait();
      free();
      data_ = reinterpret_cast<T*>(ops_->allocate(name_, static_cast<std::size_t>(size) * sizeof(T)));
      capacity_ = size;
    }
    size_ = size;
  }

  std::int64_t size() const noexcept { return size_; }
  std::span<T> span() noexcept { return {data_, static_cast<std::size_t>(size_)}; }
  std::span<const T> span() const noexcept { return {data_, static_cast<std::size_t>(size_)}; }

  void clear() {
    if (size_ > 0) ops_->clear(bytes());
  }
  /// T is one that TensorOps::fill() takes.
  void fill(T value) {
    if (size_ > 0) ops_->fill(span(), value);
  }
  /// values.size() must be size().
  void upload(CopyReason reason, std::span<const T> values) { ops_->upload(reason, std::as_bytes(values), bytes()); }
  /// Blocks.
  std::vector<T> download(CopyReason reason) const {
    std::vector<T> values(static_cast<std::size_t>(size_));
    ops_->download(reason, bytes(), std::as_writable_bytes(std::span(values)));
    return values;
  }

 private:
  std::span<std::byte> bytes() noexcept { return std::as_writable_bytes(span()); }
  std::span<const std::byte> bytes() const noexcept { return std::as_bytes(span()); }
  void free() noexcept {
    if (data_ != nullptr) ops_->release(name_, reinterpret_cast<std::byte*>(data_), capacity_ * sizeof(T));
    data_ = nullptr;
    size_ = capacity_ = 0;
  }

  TensorOps* ops_ = nullptr;
  const char* name_ = "";
  T* data_ = nullptr;
  std::int64_t size_ = 0, capacity_ = 0;
};

}  // namespace klmesh::loop
