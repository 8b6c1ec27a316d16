// The cycle model's C interface (model.h).
extern "C" {
#include "model.h"
}

#include "../limits.hpp"
#include "../model/command_model.hpp"
#include "../model/resources.hpp"

using strop::model::CommandModel;

static strop::Board BoardAt(uint32_t index) {
  return index < strop_model_boards() ? static_cast<strop::Board>(strop::kPynqZ2 + index) : strop::kBoardCount;
}

extern "C" {

uint32_t strop_model_boards(void) { return strop::kBoardCount - strop::kPynqZ2; }

strop_board strop_model_board(uint32_t index) {
  const strop::Board board = BoardAt(index);
  return board == strop::kBoardCount ? strop_board() : strop::model::kBoards[board];
}

int strop_model_command(uint32_t index, const strop_command *command, strop_cost *cost) {
  const strop::Board board = BoardAt(index);
  *cost = strop_cost();
  if (board == strop::kBoardCount || strop::UsesOf(*command) == 0) return 0;
  if (strop::WordBeyondLimit(*command) != strop::kAllWithinLimits) return 0;
  *cost = CommandModel(board, *command);
  return 1;
}

strop_resources strop_model_resources(uint32_t index) {
  const strop::Board board = BoardAt(index);
  return board == strop::kBoardCount ? strop_resources() : strop::model::ResourcesOf(board);
}

}  // extern "C"
