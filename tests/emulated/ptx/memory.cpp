#include "memory.h"

#include "lanes.h"
#include "scan.h"
#include "spaces.h"

#include <cstring>

namespace ptx {

namespace {

template <class Space> void find_addresses(Warp &warp, const Op &op, Addresses &addresses) {
    const auto *const base = warp.lanes<typename Space::Address>(op.from[0]);
    const auto offset = static_cast<typename Space::Address>(op.offset);
    for (unsigned lane = 0; lane < lane_count; ++lane)
        addresses[lane] = static_cast<typename Space::Address>(base[lane] + offset);
}

template <class Space, class Element, class Register> void load(Warp &warp, const Op &op) {
    Addresses addresses;
    find_addresses<Space>(warp, op, addresses);
    Space::touch(warp, op.access, addresses, sizeof(Element) * op.writes);
    for (unsigned i = 0; i < op.writes; ++i) {
        auto *const to = warp.lanes<typename Aliased<Stored<Register>>::type>(op.into[i]);
        for_lanes(warp.active, [&](unsigned lane) {
            Element value;
            memcpy(&value, Space::at(warp, addresses[lane]) + i * sizeof value, sizeof value);
            to[lane] = stored(static_cast<Register>(value));
        });
    }
}

template <class Space, class Element> void store(Warp &warp, const Op &op) {
    Addresses addresses;
    find_addresses<Space>(warp, op, addresses);
    Space::touch(warp, op.access, addresses, sizeof(Element) * (op.reads - 1u));
    for_lanes(warp.active, [&](unsigned lane) {
        std::byte *to = Space::at(warp, addresses[lane]);
        for (unsigned i = 1; i < op.reads; ++i, to += sizeof(Element)) {
            const auto *from = warp.lanes<typename Aliased<Stored<Element>>::type>(op.from[i]);
            const auto value = static_cast<Element>(from[lane]);
            memcpy(to, &value, sizeof value);
        }
    });
}

template <class T, T (*f)(T, T, T)> void update(Warp &warp, const Op &op) {
    Addresses addresses;
    find_addresses<GlobalSpace>(warp, op, addresses);
    GlobalSpace::touch(warp, op.access, addresses, sizeof(T));
    T *const old = warp.lanes<T>(op.into[0]);
    const T *const a = warp.lanes<T>(op.from[1]), *const b = warp.lanes<T>(op.from[2]);
    for_lanes(warp.active, [&](unsigned lane) {
        std::byte *const at = GlobalSpace::at(warp, addresses[lane]);
        T before;
        memcpy(&before, at, sizeof before);
        const T after = f(before, a[lane], b[lane]);
        memcpy(at, &after, sizeof after);
        old[lane] = before;
    });
}

template <class T> T exchange(T, T with, T) {
    return with;
}
template <class T> T exchange_if(T old, T equal, T with) {
    return old == equal ? with : old;
}
template <class T> T sum(T old, T with, T) {
    return old + with;
}

/// The registers that may take an element: those that are no narrower.
template <class Space, class Element> Execute load_into(Width width) {
    if (width == Width::b64) return load<Space, Element, uint64_t>;
    if constexpr (sizeof(Element) <= 4)
        if (width == Width::b32) return load<Space, Element, uint32_t>;
    if constexpr (sizeof(Element) <= 2)
        if (width == Width::b16) return load<Space, Element, uint16_t>;
    return nullptr;
}

template <class Space> Execute load_of(const Memory &memory, Width width) {
    const bool is_signed = memory.type[0] == 's';
    switch (memory.bytes) {
    case 1:
        return is_signed ? load_into<Space, int8_t>(width) : load_into<Space, uint8_t>(width);
    case 2:
        return is_signed ? load_into<Space, int16_t>(width) : load_into<Space, uint16_t>(width);
    case 4:
        return is_signed ? load_into<Space, int32_t>(width) : load_into<Space, uint32_t>(width);
    default:
        return load_into<Space, uint64_t>(width);
    }
}

template <class Space> Execute store_of(const Memory &memory, Width width) {
    if ((width == Width::b64) != (memory.bytes == 8)) return nullptr;
    switch (memory.bytes) {
    case 1:
        return store<Space, uint8_t>;
    case 2:
        return store<Space, uint16_t>;
    case 4:
        return width == Width::b32 ? store<Space, uint32_t> : nullptr;
    default:
        return store<Space, uint64_t>;
    }
}

template <class T> Atomic atomic_of(std::string_view operation) {
    const Width width = width_of<T>();
    if (operation == "exch") return {update<T, exchange<T>>, 1, width};
    if (operation == "cas") return {update<T, exchange_if<T>>, 2, width};
    if (operation == "add") return {update<T, sum<T>>, 1, width};
    return {};
}

} // namespace

Memory memory_of(std::string_view name) {
    Memory memory;
    for (; !name.empty(); name.remove_prefix(std::min(name.find('.') + 1, name.size()))) {
        const std::string part(name.substr(0, name.find('.')));
        if (part == "shared")
            memory.space = Space::shared;
        else if (part == "param")
            memory.space = Space::parameters;
        else if (part == "v2" || part == "v4")
            memory.elements = number(part.substr(1));
        else if (name.find('.') == std::string_view::npos)
            memory.type = part;
        else if (part == "volatile" ||
                 part == "relaxed") // the former is the latter, for the system
            memory.is_relaxed = true;
        else if (part != "global" && part != "gpu" && part != "sys" && part != "nc")
            throw std::runtime_error("what is ." + part + "?");
        if (name.find('.') == std::string_view::npos) break;
    }
    if (memory.type.find_first_of("busf") != 0) throw std::runtime_error("no type");
    memory.bytes = number(memory.type.substr(1)) / 8;
    return memory;
}

Execute load(const Memory &memory, Width into) {
    switch (memory.space) {
    case Space::global:
        return load_of<GlobalSpace>(memory, into);
    case Space::shared:
        return load_of<SharedSpace>(memory, into);
    default:
        return load_of<ParameterSpace>(memory, into);
    }
}

Execute store(const Memory &memory, Width from) {
    switch (memory.space) {
    case Space::global:
        return store_of<GlobalSpace>(memory, from);
    case Space::shared:
        return store_of<SharedSpace>(memory, from);
    default:
        return nullptr;
    }
}

Atomic atomic(std::string_view operation, const Memory &memory) {
    if (memory.space != Space::global || memory.elements != 1) return {};
    if (memory.type[0] == 'f' || (operation == "add" && memory.type[0] == 'b')) return {};
    if (memory.bytes == 4) return atomic_of<uint32_t>(operation);
    return memory.bytes == 8 ? atomic_of<uint64_t>(operation) : Atomic{};
}

} // namespace ptx
