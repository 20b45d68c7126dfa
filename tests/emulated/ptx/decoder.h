// Makes a kernel's statements into instructions.
#ifndef DELTAK_TESTS_EMULATED_PTX_DECODER_H
#define DELTAK_TESTS_EMULATED_PTX_DECODER_H

#include "code.h"
#include "scan.h"

#include <map>

namespace ptx {

class Decoder {
  public:
    explicit Decoder(Kernel &kernel) : kernel_(kernel), scopes_(1) {}

    /// The declarations between a kernel's name and its body.
    void head(std::string_view text);
    /// A statement of the body.
    void take(const Statement &statement);
    /// Whether the body is over.
    bool is_over() const { return scopes_.empty(); }

  private:
    struct Register {
        Cell cell;
        Width width;
    };
    /// Registers by name; of a family, as %r<8>, which names %r0 to %r7, the first and the count.
    struct Family {
        Register first;
        size_t count;
    };
    struct Scope {
        std::unordered_map<std::string_view, Register> names;
        std::unordered_map<std::string_view, Family> families;
    };
    using Operands = std::vector<std::string_view>;

    // decoder.cpp
    void declare_parameter(std::string_view text);
    void declare_registers(std::string_view text);
    void declare_shared(std::string_view text);
    void instruction(std::string_view text);
    std::string_view guard(std::string_view text, Op &op);
    void finish();

    // operands.cpp
    Cell allot(Width width);
    bool find(std::string_view name, Register &found) const;
    Cell constant(Width width, uint64_t bits);
    Cell special(std::string_view name);
    uint64_t literal(std::string_view text, Width width) const;
    Cell reader(std::string_view text, Width width);
    Cell writer(std::string_view text, Width width);
    void reads(Op &op, std::string_view text, Width width);
    void writes(Op &op, std::string_view text, Width width);
    void address(Op &op, std::string_view text, Width width);

    // instructions.cpp
    bool decode_form(Op &op, const std::string &name, const Operands &operands);
    bool decode_move(Op &op, std::string_view name, const Operands &operands);
    bool decode_memory(Op &op, std::string_view name, const Operands &operands);
    bool decode_control(Op &op, std::string_view name, const Operands &operands);
    void decode_access(Op &op, std::string_view name, const Operands &operands, bool is_load);
    void decode_atomic(Op &op, std::string_view name, const Operands &operands);
    void decode_shuffle(Op &op, const Operands &operands);
    void branch_to(Op &op, std::string_view label);

    Kernel &kernel_;
    std::vector<Scope> scopes_;
    std::unordered_map<std::string_view, uint64_t> addresses_; ///< of parameters and shared memory
    std::unordered_map<std::string_view, uint32_t> labels_;
    std::vector<std::pair<uint32_t, std::string_view>> jumps_; ///< branches whose label may follow
    std::map<std::pair<Width, uint64_t>, Cell> constants_;
    std::map<std::string_view, Cell> specials_;
};

} // namespace ptx

#endif
