// Small data files for tests, in a folder that goes away with the test.
#ifndef DELTAK_TESTS_SUPPORT_DATA_H
#define DELTAK_TESTS_SUPPORT_DATA_H

#include <gtest/gtest.h>
#include <zlib.h>

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

namespace support {

class Folder {
  public:
    explicit Folder(const std::filesystem::path &within = std::filesystem::temp_directory_path()) {
        std::string name = (within / "deltak.XXXXXX").string();
        path_ = mkdtemp(name.data()) ? name : "";
        EXPECT_FALSE(path_.empty());
    }
    ~Folder() { std::filesystem::remove_all(path_); }
    Folder(const Folder &) = delete;
    Folder &operator=(const Folder &) = delete;

    std::string operator/(const std::string &name) const { return path_ + "/" + name; }
    const std::string &path() const { return path_; }

    std::string write(const std::string &name, const std::string &bytes) const {
        std::ofstream(*this / name, std::ios::binary) << bytes;
        return *this / name;
    }
    std::string write_gz(const std::string &name, const std::string &bytes) const {
        gzFile file = gzopen((*this / name).c_str(), "wb");
        EXPECT_EQ(gzwrite(file, bytes.data(), static_cast<unsigned>(bytes.size())),
                  static_cast<int>(bytes.size()));
        gzclose(file);
        return *this / name;
    }

  private:
    std::string path_;
};

template <class T> std::string bytes_of(const std::vector<T> &values) {
    return std::string(reinterpret_cast<const char *>(values.data()), values.size() * sizeof(T));
}

// An NPY file, version 1.0: descr such as "<f4", shape such as "(3, 2)".
inline std::string npy(const std::string &descr, bool fortran, const std::string &shape,
                       const std::string &data) {
    std::string header = "{'descr': '" + descr +
                         "', 'fortran_order': " + (fortran ? "True" : "False") +
                         ", 'shape': " + shape + ", }";
    while ((10 + header.size() + 1) % 64 != 0) header += ' ';
    header += '\n';
    std::string file = "\x93NUMPY";
    file += '\x01';
    file += '\0';
    file += static_cast<char>(header.size() & 0xff);
    file += static_cast<char>(header.size() >> 8);
    return file + header + data;
}

// An IDX file of unsigned bytes.
inline std::string idx(const std::vector<uint32_t> &sizes, const std::string &data) {
    std::string file(2, '\0');
    file += '\x08';
    file += static_cast<char>(sizes.size());
    for (uint32_t size : sizes)
        for (int shift = 24; shift >= 0; shift -= 8) file += static_cast<char>(size >> shift);
    return file + data;
}

} // namespace support

#endif
