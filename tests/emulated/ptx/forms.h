// The instructions that are functions of their operands, by name.
#ifndef DELTAK_TESTS_EMULATED_PTX_FORMS_H
#define DELTAK_TESTS_EMULATED_PTX_FORMS_H

#include "lanes.h"

#include <string>
#include <unordered_map>

namespace ptx {

using Forms = std::unordered_map<std::string, Form>;

void add_arithmetic(Forms &forms);
void add_integers(Forms &forms);
void add_comparisons(Forms &forms);
void add_conversions(Forms &forms);

} // namespace ptx

#endif
