package memory

import (
	_ "github.com/standpipe/standpipe/batcher"
)
