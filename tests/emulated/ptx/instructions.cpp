// What an instruction executes, reads and writes, by its name.
#include "decoder.h"
#include "forms.h"
#include "memory.h"

#include <atomic>
#include <stdexcept>

namespace ptx {

static Forms all_forms() {
    Forms forms;
    add_arithmetic(forms);
    add_integers(forms);
    add_comparisons(forms);
    add_conversions(forms);
    return forms;
}

constexpr uint8_t all_of_them = 0xff;

static bool starts_with(std::string_view text, std::string_view with) {
    return text.substr(0, with.size()) == with;
}

/// The parts of {a, b}, or the one that stands alone.
static std::vector<std::string_view> elements(std::string_view text) {
    if (text.front() != '{') return {text};
    return split(text.substr(1, text.size() - 2));
}

bool Decoder::decode_form(Op &op, const std::string &name, const Operands &operands) {
    static const Forms forms = all_forms();
    const auto found = forms.find(name);
    if (found == forms.end() || operands.size() != found->second.operands + 1) return false;
    for (const std::string_view operand : operands)
        if (operand.front() == '{') return false;
    const Form &form = found->second;
    op.execute = form.execute;
    writes(op, operands[0], form.into);
    for (unsigned i = 0; i < form.operands; ++i) reads(op, operands[i + 1], form.from[i]);
    return true;
}

namespace {

/// mov.b32 d, {low, high} and mov.b64 d, {low, high}
template <class Whole, class Half> Whole join(Half low, Half high) {
    return static_cast<Whole>(low | static_cast<Whole>(high) << 8 * sizeof(Half));
}

/// mov.b32 {low, high}, a
template <class Whole, class Half> void cut(Warp &warp, const Op &op) {
    Stored<Half> low[lane_count], high[lane_count];
    const Whole *const from = warp.lanes<Whole>(op.from[0]);
    for (unsigned lane = 0; lane < lane_count; ++lane) {
        low[lane] = static_cast<Half>(from[lane]);
        high[lane] = static_cast<Half>(from[lane] >> 8 * sizeof(Half));
    }
    put<Half>(warp, op.into[0], low);
    put<Half>(warp, op.into[1], high);
}

} // namespace

bool Decoder::decode_move(Op &op, std::string_view name, const Operands &operands) {
    if ((name != "mov.b32" && name != "mov.b64") || operands.size() != 2) return false;
    const bool is_wide = name == "mov.b64";
    const Width whole = is_wide ? Width::b64 : Width::b32, half = is_wide ? Width::b32 : Width::b16;
    const Operands to = elements(operands[0]), from = elements(operands[1]);
    if (to.size() + from.size() != 3) return false;
    for (const std::string_view part : to) writes(op, part, to.size() == 2 ? half : whole);
    for (const std::string_view part : from) reads(op, part, from.size() == 2 ? half : whole);
    if (to.size() == 2)
        op.execute = is_wide ? cut<uint64_t, uint32_t> : cut<uint32_t, uint16_t>;
    else
        op.execute = is_wide ? form<join<uint64_t, uint32_t>>().execute
                             : form<join<uint32_t, uint16_t>>().execute;
    return true;
}

bool Decoder::decode_memory(Op &op, std::string_view name, const Operands &operands) {
    const bool is_load = starts_with(name, "ld."), is_store = starts_with(name, "st.");
    if ((is_load || is_store) && operands.size() == 2)
        decode_access(op, name.substr(3), operands, is_load);
    else if (starts_with(name, "atom."))
        decode_atomic(op, name.substr(5), operands);
    else
        return false;
    return true;
}

/// ld.global.v2.f32 {a, b}, [address], or st.… [address], {a, b}
void Decoder::decode_access(Op &op, std::string_view name, const Operands &operands, bool is_load) {
    const Memory memory = memory_of(name);
    const Operands values = elements(operands[!is_load]);
    if (values.size() != memory.elements) throw std::runtime_error("another number of elements");
    address(op, operands[is_load], memory.space == Space::shared ? Width::b32 : Width::b64);
    if (memory.space == Space::shared)
        kernel_.shared_unit = std::min(kernel_.shared_unit, memory.bytes);
    op.access = is_load ? Access::read : Access::write;
    if (memory.is_relaxed && memory.space == Space::global) op.access = Access::atomic;
    Register first = {no_cell, memory.bytes == 8   ? Width::b64
                               : memory.bytes == 4 ? Width::b32
                                                   : Width::b16};
    find(values[0], first); // a wider one may take it; a constant is as wide as the element
    for (const std::string_view value : values)
        is_load ? writes(op, value, first.width) : reads(op, value, first.width);
    op.execute = is_load ? load(memory, first.width) : store(memory, first.width);
    if (!op.execute) throw std::runtime_error("no such access");
    op.demands =
        !is_load && memory.space == Space::global ? all_of_them : 1; // at least the address
}

/// atom.global.cas.b64 old, [address], equal, with
void Decoder::decode_atomic(Op &op, std::string_view name, const Operands &operands) {
    std::string rest;
    std::string_view operation;
    for (const std::string_view known : {"exch.", "cas.", "add."}) {
        const size_t at = name.find(known);
        if (at == std::string_view::npos) continue;
        operation = known.substr(0, known.size() - 1);
        rest = std::string(name.substr(0, at)) + std::string(name.substr(at + known.size()));
    }
    const Atomic atomic = rest.empty() ? Atomic() : ptx::atomic(operation, memory_of(rest));
    if (!atomic.execute || operands.size() != atomic.operands + 2)
        throw std::runtime_error("no such atomic operation");
    op.execute = atomic.execute;
    op.access = Access::atomic;
    op.demands = all_of_them;
    writes(op, operands[0], atomic.width);
    address(op, operands[1], Width::b64);
    for (size_t i = 2; i < operands.size(); ++i) reads(op, operands[i], atomic.width);
}

void Decoder::branch_to(Op &op, std::string_view label) {
    op.kind = Op::branch;
    jumps_.emplace_back(static_cast<uint32_t>(kernel_.code.size()), label);
}

bool Decoder::decode_control(Op &op, std::string_view name, const Operands &operands) {
    if ((name == "bra" || name == "bra.uni") && operands.size() == 1)
        branch_to(op, operands[0]);
    else if (name == "ret" || name == "exit")
        op.kind = Op::leave;
    else if (name == "bar.sync" && operands.size() == 1 && operands[0] == "0")
        op.kind = Op::barrier;
    else if (name == "shfl.sync.bfly.b32" && operands.size() == 5)
        decode_shuffle(op, operands);
    else if (name == "griddepcontrol.wait")
        op.execute = [](Warp &warp, const Op &) { warp.waited |= warp.active; };
    else if (starts_with(name, "membar."))
        op.execute = [](Warp &, const Op &) {
            std::atomic_thread_fence(std::memory_order_seq_cst);
        };
    else
        return false;
    return true;
}

/// Each lane takes the value of the one whose number differs by the bits of b, unless that is above
/// the last of its segment: c has the last one's number in its bits 0 to 4, in 8 to 12 which bits of
/// the number stay in the segment.
static void exchange(Warp &warp, const Op &op) {
    const uint32_t *const a = warp.lanes<uint32_t>(op.from[0]);
    const uint32_t *const b = warp.lanes<uint32_t>(op.from[1]);
    const uint32_t *const c = warp.lanes<uint32_t>(op.from[2]);
    uint32_t values[lane_count], inside = 0, unknown = 0;
    for (unsigned lane = 0; lane < lane_count; ++lane) {
        const uint32_t segment = c[lane] >> 8 & 31,
                       last = (lane & segment) | (c[lane] & 31 & ~segment);
        const uint32_t other = lane ^ (b[lane] & 31);
        const bool is_inside = other <= last;
        const uint32_t source = is_inside ? other : lane;
        if ((warp.active >> lane & 1) && !(warp.active >> source & 1))
            warp.fault(lane, "a shuffle from a lane that doesn't take part");
        values[lane] = a[source];
        unknown |= (warp.unknown >> source & 1) << lane;
        inside |= static_cast<uint32_t>(is_inside) << lane;
    }
    warp.unknown = unknown;
    put<uint32_t>(warp, op.into[0], values);
    if (op.writes == 2) warp.set_predicate(op.into[1], inside);
}

/// shfl.sync.bfly.b32 d|p, a, b, c, mask
void Decoder::decode_shuffle(Op &op, const Operands &operands) {
    op.kind = Op::shuffle;
    op.execute = exchange;
    op.demands = 0b1110; // all but the values
    const size_t bar = operands[0].find('|');
    writes(op, operands[0].substr(0, bar), Width::b32);
    if (bar != std::string_view::npos) writes(op, operands[0].substr(bar + 1), Width::predicate);
    for (size_t i = 1; i < 5; ++i) reads(op, operands[i], Width::b32);
}

} // namespace ptx
