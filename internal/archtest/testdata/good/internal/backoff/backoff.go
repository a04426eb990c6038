package backoff

import "math/rand/v2"

func draw() int {
	rand := rand.New(rand.NewPCG(1, 2))
	return rand.IntN(3)
}
