// Package sketch finds out in which lines two multisets differ, with memory
// that follows the number of differences and not the number of lines.
//
// A Sketch is an invertible Bloom lookup table (Goodrich and Mitzenmacher 2011;
// for differences of sets: Eppstein, Goodrich, Uyeda and Varghese 2011). Each
// line is a 128-bit hash that is added to three of its cells. Sketches are
// linear: lines of the one side are added, those of the other taken away, in
// any order and in any number of sketches that are summed up afterwards. Equal
// lines cancel; what is left is the differences. A cell that holds copies of
// one hash alone gives it away, taking it out of its other cells makes more of
// them so, and usually nothing is left in the end.
//
// It promises never to guess: Peel returns what it found and says whether that
// is all. Beside the cells a sketch holds Buckets sums by the first bits of the
// hash, which estimate the number of differences when it is not, and say which
// lines a slower method still has to look at.
package sketch
