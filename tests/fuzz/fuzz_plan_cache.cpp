// The file that remembers which algorithms were the fastest: it is believed only as a whole, and what
// it says is exactly what stands in it.
#include "files.h"
#include "fuzz.h"

extern "C" {
#include "backend/cuda/plan_cache.h"
}

#include <filesystem>
#include <vector>

namespace fs = std::filesystem;

namespace {

// A cache whose only file is one in memory.
struct Cache {
    dki_plan_cache cache{};
    dki_logger log{};
    dki_plan_key key{};
    std::vector<uint8_t> good; // a file that is believed
    fuzz::File file;
    std::string root = (fs::temp_directory_path() / "deltak-fuzz-XXXXXX").string();

    Cache() {
        fuzz::expect(mkdtemp(root.data()), "there is a folder");
        pthread_mutex_init(&log.lock, nullptr);
        log.level = DK_LOG_ERROR;
        dki_gpu_facts facts{};
        std::strcpy(facts.name, "GPU");
        dki_plan_cache_open(&cache, &log, &facts);
        std::strcpy(cache.folder, root.c_str());
        key.product.m = key.product.n = key.product.k = 64;
        dki_plan_entry entry{};
        entry.answer = 1;
        dki_plan_cache_store(&cache, &key, &entry);
        const fs::path path = *fs::directory_iterator(root);
        good.resize(fs::file_size(path));
        FILE *stored = fopen(path.c_str(), "rb");
        fuzz::expect(stored && fread(good.data(), good.size(), 1, stored) == 1, "it was stored");
        fclose(stored);
        fs::remove(path);
        fs::create_symlink(file.path(), path);
        // Others may not write what is believed.
        fs::permissions(path, fs::perms::owner_read | fs::perms::owner_write);
    }
    ~Cache() {
        std::error_code ignored;
        fs::remove_all(root, ignored);
    }
};

// The entry is the last but the checksum, which covers all before it.
constexpr size_t sum_bytes = sizeof(uint64_t);

void set_checksum(std::vector<uint8_t> *file) {
    const uint64_t sum = dki_hash(DKI_HASH_START, file->data(), file->size() - sum_bytes);
    std::memcpy(&(*file)[file->size() - sum_bytes], &sum, sizeof sum);
}

} // namespace

// The first byte: whether the input is the whole file, or changes a good one from a place on; and
// whether its checksum is made right.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes) {
    static Cache cache;
    fuzz::Run run(bytes, 0, 0);
    fuzz::Input input(data, bytes);
    const uint8_t choice = input.byte();
    std::vector<uint8_t> file = cache.good;
    if (choice & 1) {
        const size_t at = size_t{2} * input.byte() % file.size();
        for (size_t i = at; i < file.size() && input.size(); ++i) file[i] ^= input.byte();
    } else {
        file.assign(input.data(), input.data() + input.size());
    }
    if (choice & 2 && file.size() >= sum_bytes) set_checksum(&file);
    cache.file.fill(file.data(), file.size());

    dki_plan_entry entry, untouched;
    std::memset(&entry, 0x5a, sizeof entry);
    untouched = entry;
    const size_t entry_at = cache.good.size() - sum_bytes - sizeof entry;
    std::vector<uint8_t> expected = cache.good;
    const bool as_long = file.size() == expected.size();
    if (as_long) std::memcpy(&expected[entry_at], &file[entry_at], sizeof entry);
    set_checksum(&expected);
    const bool believed = dki_plan_cache_load(&cache.cache, &cache.key, &entry);
    fuzz::expect(believed == (file == expected), "it is believed as a whole or not at all");
    fuzz::expect(std::memcmp(&entry,
                             believed ? &file[entry_at] : reinterpret_cast<uint8_t *>(&untouched),
                             sizeof entry) == 0,
                 "the answer is the file's");
    return 0;
}
