// Memory for one allocation, with what finds faults around it.
#pragma once
#include <cstddef>

namespace graft {

// `size` bytes on an address that is a multiple of 256 (of 16 with GRAFT_EMULATED_GUARD=1, where the end lies before an
// unreadable page), filled with NaNs unless GRAFT_EMULATED_POISON=0. Null when the machine has no more.
char *block_create(size_t size);
// Gives it back. False if bytes before or behind it were written.
bool block_destroy(char *start, size_t size);
// As if it were given back and made again at the same place: fills it with NaNs. False as for block_destroy.
bool block_renew(char *start, size_t size);

}  // namespace graft
