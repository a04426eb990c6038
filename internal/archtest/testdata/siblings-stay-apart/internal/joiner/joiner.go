package joiner

import (
	_ "github.com/standpipe/standpipe/sink"
)
