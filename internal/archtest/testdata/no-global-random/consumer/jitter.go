package consumer

import "math/rand/v2"

var jitter = rand.IntN(3)
