package batcher

import "time"

var opened = time.Now()

func run() { go run() }
