/* Labels of which nobody said what they are, and which can't be told: not a guess, but a message. */
#ifndef DKI_LABEL_DOUBTS_H
#define DKI_LABEL_DOUBTS_H

#include "data/labels.h"

/** Different whole numbers that are still taken for classes. */
enum { DKI_MOST_INFERRED = 100 };

/** DK_E_DATA where texts are numbers to the eye that aren't read as such (1,5; 1 000; $3; 50%), or where
 *  a few texts stand among more different numbers than classes have. Names the first line. */
dk_status dki_labels_doubt(const dk_allocator *allocator, const dki_labels *labels);

#endif
