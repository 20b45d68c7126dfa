// The C++ header, alone, is pedantic C++17; its handles move and don't copy.
#include <deltak/deltak.hpp>

#include <type_traits>

template <typename T>
constexpr bool moves_only =
    std::is_nothrow_move_constructible_v<T> &&std::is_nothrow_move_assignable_v<T> &&
    !std::is_copy_constructible_v<T> && !std::is_copy_assignable_v<T>;

static_assert(moves_only<deltak::context> && moves_only<deltak::dataset> &&
              moves_only<deltak::net> && moves_only<deltak::trainer> &&
              moves_only<deltak::session>);
static_assert(!std::is_convertible_v<dk_context_options, deltak::context>);
