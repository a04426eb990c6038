package consumer

import "time"

func wait() { time.Sleep(time.Second) }
