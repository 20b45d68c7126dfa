// Names and numbers in a kernel's text, and the cells that hold them.
#include "decoder.h"

#include <charconv>
#include <stdexcept>

namespace ptx {

Cell Decoder::allot(Width width) {
    const Cell cell = kernel_.cells;
    kernel_.cells += width == Width::b64 ? 2 : 1;
    return cell;
}

bool Decoder::find(std::string_view name, Register &found) const {
    const size_t digits = name.find_last_not_of("0123456789") + 1;
    for (size_t i = scopes_.size(); i-- > 0;) {
        const auto exact = scopes_[i].names.find(name);
        if (exact != scopes_[i].names.end()) {
            found = exact->second;
            return true;
        }
        if (digits == name.size()) continue;
        const auto family = scopes_[i].families.find(name.substr(0, digits));
        if (family == scopes_[i].families.end()) continue;
        const size_t index = number(name.substr(digits));
        if (index >= family->second.count) continue;
        found = family->second.first;
        found.cell += static_cast<Cell>(index * (found.width == Width::b64 ? 2 : 1));
        return true;
    }
    return false;
}

Cell Decoder::constant(Width width, uint64_t bits) {
    const auto [found, is_new] = constants_.try_emplace({width, bits}, no_cell);
    if (is_new) {
        found->second = allot(width);
        kernel_.constants.push_back({found->second, width, bits});
    }
    return found->second;
}

/// %tid.x and its like; no_cell if it is none.
Cell Decoder::special(std::string_view name) {
    static const std::map<std::string_view, Special> known = {{"%tid", Special::tid},
                                                              {"%ntid", Special::ntid},
                                                              {"%ctaid", Special::ctaid},
                                                              {"%nctaid", Special::nctaid}};
    const size_t dot = name.find('.');
    const auto found = known.find(name.substr(0, dot));
    if (found == known.end() || dot + 2 != name.size()) return no_cell;
    const int dimension = name.back() - 'x';
    if (dimension < 0 || dimension > 2) return no_cell;
    const auto [cell, is_new] = specials_.try_emplace(name, no_cell);
    if (is_new) {
        cell->second = allot(Width::b32);
        kernel_.specials.push_back({cell->second, found->second, dimension});
    }
    return cell->second;
}

static uint64_t parse_number(std::string_view text, int base) {
    uint64_t value = 0;
    const char *const end = text.data() + text.size();
    const auto [stop, error] = std::from_chars(text.data(), end, value, base);
    if (error != std::errc() || stop != end || text.empty())
        throw std::runtime_error("what is this operand?");
    return value;
}

/// 12, -12, 0x1f, the bits of a float (0f3F800000) or of a double (0d…), or the address of a name.
uint64_t Decoder::literal(std::string_view text, Width width) const {
    const auto named = addresses_.find(text);
    if (named != addresses_.end()) return named->second;
    const std::string_view prefix = text.substr(0, 2);
    if (prefix == "0f" && width == Width::b32) return parse_number(text.substr(2), 16);
    if (prefix == "0d" && width == Width::b64) return parse_number(text.substr(2), 16);
    if (prefix == "0x") return parse_number(text.substr(2), 16);
    const bool is_negative = text.substr(0, 1) == "-";
    const uint64_t size = parse_number(text.substr(is_negative), 10);
    return is_negative ? 0 - size : size;
}

Cell Decoder::reader(std::string_view text, Width width) {
    Register found;
    if (find(text, found)) {
        if (found.width != width) throw std::runtime_error("a register of another width");
        return found.cell;
    }
    if (width == Width::b32) {
        const Cell cell = special(text);
        if (cell != no_cell) return cell;
    }
    if (width == Width::predicate) {
        const uint64_t bits = literal(text, width);
        return constant(Width::predicate, bits ? all_lanes : 0);
    }
    const uint64_t ones = width == Width::b16   ? 0xffff
                          : width == Width::b32 ? 0xffffffff
                                                : ~uint64_t{0};
    return constant(width, literal(text, width) & ones);
}

/// A register, or _ for what nobody wants.
Cell Decoder::writer(std::string_view text, Width width) {
    Register found;
    if (text == "_") return allot(width);
    if (!find(text, found)) throw std::runtime_error("no such register: " + std::string(text));
    if (found.width != width) throw std::runtime_error("a register of another width");
    return found.cell;
}

void Decoder::reads(Op &op, std::string_view text, Width width) {
    op.from[op.reads++] = reader(text, width);
}

void Decoder::writes(Op &op, std::string_view text, Width width) {
    op.into[op.writes++] = writer(text, width);
}

/// [name], [register], either + a number
void Decoder::address(Op &op, std::string_view text, Width width) {
    if (text.size() < 3 || text.front() != '[' || text.back() != ']')
        throw std::runtime_error("no address");
    text = text.substr(1, text.size() - 2);
    const size_t plus = text.find('+');
    if (plus != std::string_view::npos)
        op.offset = static_cast<int64_t>(literal(text.substr(plus + 1), Width::b64));
    reads(op, text.substr(0, plus), width);
}

} // namespace ptx
