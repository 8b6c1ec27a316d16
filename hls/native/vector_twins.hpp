// All twins that are written once for vectors of any width, and the table entries that they take. Included inside the namespace of an
// instruction set, after its vectors_*.hpp.
#include "streaming_vectors.hpp"

// after that, whose helpers they use
#include "activation_vectors.hpp"
#include "depthwise_vectors.hpp"
#include "map_vectors.hpp"
#include "sgd_vectors.hpp"

inline void UseVectorTwins(native::LeafTable &table) {
  table.DepthwiseWords = DepthwiseWordsVector;
  table.DepthwiseDitheredWords = DepthwiseDitheredWordsVector;
  table.DepthwiseGradient = DepthwiseGradientVector;
  table.MaxAbsWords = MaxAbsWordsVector;
  table.RequantizeWords = RequantizeWordsVector;
  table.RequantizeDitheredWords = RequantizeDitheredWordsVector;
  table.SumWords = SumWordsVector;
  table.CountAbove = CountAboveVector;
  table.NormalizeWords = NormalizeWordsVector;
  table.MaskedSums = MaskedSumsVector;
  table.NormGradientWords = NormGradientWordsVector;
  table.FillWords = FillWordsVector;
  table.MaxWords = MaxWordsVector;
  table.MaxPool2x2 = MaxPool2x2Vector;
  table.MaxPoolBackward2x2 = MaxPoolBackward2x2Vector;
  table.AddIfFirst = AddIfFirstVector;
  table.SumPositions = SumPositionsVector;
  table.MeansOfWord = MeansOfWordVector;
  table.SpreadDithered = SpreadDitheredVector;
  table.QuarterSums = QuarterSumsVector;
  table.RepeatWords = RepeatWordsVector;
  table.AddWords = AddWordsVector;
  table.MaskWords = MaskWordsVector;
  table.AddDithered = AddDitheredVector;
  table.ActivateWords = ActivateWordsVector;
  table.ActivationGradientWords = ActivationGradientWordsVector;
  table.ConvertPixels = ConvertPixelsVector;
  table.InterleavePixels = InterleavePixelsVector;
  table.InterleaveChannels = InterleaveChannelsVector;
  table.SgdRow = SgdRowVector;
  table.PackQuads = PackQuadsVector;
}
