package batcher

import "time"

func due(opened, now time.Time) bool { return now.Sub(opened) > time.Minute }
