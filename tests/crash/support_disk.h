// What a program asks of the file system, written down; and the states that a disk may be in after a power
// cut at any point of it.
#pragma once

#include "support_crash.h"

#include <functional>
#include <memory>
#include <mutex>
#include <set>

namespace disk {

struct File {
    std::string content; // all that was written, also what comes later
};
using FileRef = std::shared_ptr<File>;

enum class Kind { folder, create, write, sync_file, sync_folder, rename, remove, saved };

struct Operation {
    Kind kind;
    std::string path, to; // `to` of rename
    FileRef file;         // create, write, sync_file, rename
    size_t end = 0;       // of a write: bytes of the file behind it
    int64_t step = 0;     // saved: the library said so of this step's checkpoint
};

// The operations below a folder, by any thread; or a kill at the n-th of them.
class Recorder {
  public:
    static Recorder &get() {
        static Recorder only;
        return only;
    }
    void begin(const std::string &root) {
        *this = Recorder();
        root_ = root;
    }
    std::vector<Operation> end() {
        root_.clear();
        return std::move(operations_);
    }
    void kill_at(long n) { kill_at_ = n; }

    // Before a call is made. Its effect, if it succeeds, is noted afterwards.
    void before() {
        const std::lock_guard<std::mutex> lock(mutex_);
        if (kill_at_ > 0 && ++calls_ == kill_at_) raise(SIGKILL);
    }
    void opened(int descriptor, const std::string &path, bool created) {
        const std::lock_guard<std::mutex> lock(mutex_);
        if (!watches(path)) return;
        FileRef file;
        if (created) {
            file = std::make_shared<File>();
            names_[normal(path)] = file;
            note({Kind::create, normal(path), "", file});
        }
        descriptors_[descriptor] = {normal(path), file};
    }
    void wrote(int descriptor, const void *data, size_t bytes) {
        const std::lock_guard<std::mutex> lock(mutex_);
        const auto at = descriptors_.find(descriptor);
        if (at == descriptors_.end() || !at->second.file) return;
        File &file = *at->second.file;
        file.content.append(static_cast<const char *>(data), bytes);
        note({Kind::write, at->second.path, "", at->second.file, file.content.size()});
    }
    void synced(int descriptor) {
        const std::lock_guard<std::mutex> lock(mutex_);
        const auto at = descriptors_.find(descriptor);
        if (at == descriptors_.end()) return;
        const bool is_file = at->second.file != nullptr;
        note({is_file ? Kind::sync_file : Kind::sync_folder, at->second.path, "", at->second.file});
    }
    void closed(int descriptor) {
        const std::lock_guard<std::mutex> lock(mutex_);
        descriptors_.erase(descriptor);
    }
    void renamed(const std::string &from, const std::string &to) {
        const std::lock_guard<std::mutex> lock(mutex_);
        if (!watches(from)) return;
        FileRef file = names_[normal(from)];
        names_.erase(normal(from));
        names_[normal(to)] = file;
        note({Kind::rename, normal(from), normal(to), file});
    }
    void removed(const std::string &path) {
        const std::lock_guard<std::mutex> lock(mutex_);
        if (!watches(path)) return;
        names_.erase(normal(path));
        note({Kind::remove, normal(path), "", nullptr});
    }
    void made_folder(const std::string &path) {
        const std::lock_guard<std::mutex> lock(mutex_);
        if (watches(path)) note({Kind::folder, normal(path), "", nullptr});
    }
    void said_saved(int64_t step) {
        const std::lock_guard<std::mutex> lock(mutex_);
        note({Kind::saved, "", "", nullptr, 0, step});
    }
    // A file that was there before.
    void found(const std::string &path, const FileRef &file) { names_[normal(path)] = file; }
    std::string path_of(int descriptor) {
        const std::lock_guard<std::mutex> lock(mutex_);
        const auto at = descriptors_.find(descriptor);
        return at == descriptors_.end() ? "" : at->second.path;
    }

    Recorder &operator=(Recorder &&other) {
        root_ = other.root_;
        kill_at_ = calls_ = 0;
        operations_.clear();
        descriptors_.clear();
        names_.clear();
        return *this;
    }
    Recorder() = default;
    Recorder(Recorder &&) = delete;

  private:
    struct Open {
        std::string path;
        FileRef file; // of those that were created
    };
    static std::string normal(const std::string &path) {
        std::string text = std::filesystem::path(path).lexically_normal().string();
        while (text.size() > 1 && text.back() == '/') text.pop_back();
        return text;
    }
    bool watches(const std::string &path) const {
        return !root_.empty() && normal(path).rfind(root_, 0) == 0;
    }
    void note(Operation operation) {
        if (!root_.empty()) operations_.push_back(std::move(operation));
    }

    std::mutex mutex_;
    std::string root_;
    long kill_at_ = 0, calls_ = 0;
    std::vector<Operation> operations_;
    std::map<int, Open> descriptors_;
    std::map<std::string, FileRef> names_;
};

// What lies on the disk after a cut: path → bytes.
using State = std::map<std::string, std::string>;

// A disk that keeps what was synced, and of the rest whatever it likes: of a folder's changes any subset,
// of a file's writes any part.
class Disk {
  public:
    explicit Disk(const std::string &root) { folders_.insert(root); }
    void add_folder(const std::string &path) { folders_.insert(path); }
    void add(const std::string &path, const FileRef &file) { names_[path] = file; }

    void apply(const Operation &operation) {
        const std::string folder = std::filesystem::path(operation.path).parent_path();
        switch (operation.kind) {
        case Kind::write:
            sizes_[operation.file].unsynced.push_back(operation.end);
            break;
        case Kind::sync_file: {
            Size &size = sizes_[operation.file];
            if (!size.unsynced.empty()) size.synced = size.unsynced.back();
            size.unsynced.clear();
            break;
        }
        case Kind::sync_folder:
            settle(operation.path);
            break;
        case Kind::saved:
            break;
        case Kind::create:
            sizes_[operation.file] = {};
            [[fallthrough]];
        default:
            pending_.push_back({folder, operation});
        }
    }

    // Calls `look` with each state that a cut may leave now.
    void each_state(const std::function<void(const State &)> &look) const {
        ASSERT_LE(pending_.size(), 12u);
        for (size_t kept = 0; kept < size_t(1) << pending_.size(); ++kept) {
            std::map<std::string, FileRef> names = names_;
            std::set<std::string> folders = folders_;
            for (size_t i = 0; i < pending_.size(); ++i)
                if (kept >> i & 1) change(pending_[i].operation, names, folders);
            each_content(names, folders, look);
        }
    }

  private:
    struct Size {
        size_t synced = 0;
        std::vector<size_t> unsynced; // ends of writes
    };
    struct Pending {
        std::string folder;
        Operation operation;
    };

    static void change(const Operation &operation, std::map<std::string, FileRef> &names,
                       std::set<std::string> &folders) {
        if (operation.kind == Kind::folder)
            folders.insert(operation.path);
        else if (operation.kind == Kind::create)
            names[operation.path] = operation.file;
        else
            names.erase(operation.path);
        if (operation.kind == Kind::rename) names[operation.to] = operation.file;
    }
    void settle(const std::string &folder) {
        std::vector<Pending> rest;
        for (Pending &pending : pending_) {
            if (pending.folder == folder)
                change(pending.operation, names_, folders_);
            else
                rest.push_back(std::move(pending));
        }
        pending_ = std::move(rest);
    }

    // The contents that a file may have: all of the writes, none, each first few, cut within one, one or two
    // of them missing, or nothing but zeros of the right length.
    std::vector<std::string> contents(const FileRef &file) const {
        const auto found = sizes_.find(file);
        if (found == sizes_.end()) return {file->content}; // it was there before
        const Size &size = found->second;
        const size_t count = size.unsynced.size();
        if (count == 0) return {file->content.substr(0, size.synced)};
        const std::string whole = file->content.substr(0, size.unsynced.back());
        auto begin = [&](size_t i) { return i == 0 ? size.synced : size.unsynced[i - 1]; };
        auto without = [&](size_t i, std::string text) {
            std::fill(text.begin() + long(begin(i)), text.begin() + long(size.unsynced[i]), '\0');
            return text;
        };
        std::vector<std::string> all = {whole, whole.substr(0, size.synced)};
        std::string zeros = whole;
        std::fill(zeros.begin() + long(size.synced), zeros.end(), '\0');
        all.push_back(zeros);
        for (size_t i = 0; i < count; ++i) {
            all.push_back(whole.substr(0, begin(i)));
            all.push_back(whole.substr(0, (begin(i) + size.unsynced[i]) / 2));
            all.push_back(without(i, whole));
            for (size_t j = 0; j < i; ++j) all.push_back(without(j, without(i, whole)));
        }
        return all;
    }

    // Files that can differ do so one after the other; those with a checkpoint's name matter.
    void each_content(const std::map<std::string, FileRef> &names,
                      const std::set<std::string> &folders,
                      const std::function<void(const State &)> &look) const {
        State state;
        std::vector<std::pair<std::string, std::vector<std::string>>> open;
        for (const auto &[name, file] : names) {
            if (!folders.count(std::filesystem::path(name).parent_path())) continue;
            std::vector<std::string> possible = contents(file);
            state[name] = possible[0];
            if (possible.size() > 1) open.emplace_back(name, std::move(possible));
        }
        look(state);
        for (const auto &[name, possible] : open) {
            for (const std::string &content : possible) {
                state[name] = content;
                look(state);
            }
            state[name] = possible[0];
        }
    }

    std::map<std::string, FileRef> names_; // on the disk for good
    std::set<std::string> folders_;
    std::map<FileRef, Size> sizes_;
    std::vector<Pending> pending_; // changes of folders that weren't synced since
};

} // namespace disk
