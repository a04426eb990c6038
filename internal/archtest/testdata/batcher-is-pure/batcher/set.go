package batcher

import (
	_ "net/http"
)
